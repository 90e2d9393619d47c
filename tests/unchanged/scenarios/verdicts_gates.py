"""Gates on simulated models: rules of every relation that pass, fail, are open or not measurable."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import simulated
import tomli_w
from judged import CLEAN, FOG, LAST, NOISE, metric
from side import Side
from simulated import FALLING, Model, Report, shifted

COUNTED = {"values": 10302, "sentences": 18, "files": 51, "exits": 51}

PLAIN = Model()
MODELS = {
    "Alder": PLAIN,
    "Birch": Model(shifted(FALLING, -0.01)),
    "Cedar": Model(shifted(FALLING, -0.15), insight=0.3, dark=0.2),
    "Dill": Model(shifted(FALLING, 0.08), overconfidence=0.08),
}
SINGLE = Report(MODELS, images=300)
RUNS = Report({"Elm": PLAIN, "Fir": Model(shifted(FALLING, -0.12))}, images=300, runs=3)


@dataclass(frozen=True)
class Gate:
    """A file of rules.

    Attributes:
        exits: the exit code at BASE.
        words: further words of the command.
    """

    exits: int
    rules: tuple[dict[str, Any], ...]
    candidate: str = "Birch"
    baseline: str = "Alder"
    level: float = 0.95
    words: tuple[str, ...] = ()


def gate(exits: int, *rules: dict[str, Any], **more: Any) -> Gate:
    """A gate of these rules."""
    return Gate(exits, rules, **more)


GATES = {
    "accuracy": gate(
        0,
        metric("accuracy", "at_least", 0.48, **FOG),
        metric("accuracy", "at_least", 0.8, **CLEAN, name="clean"),
        metric("accuracy", "more_than", 0.5),
        metric("error", "at_most", 0.45),
    ),
    "accuracy-fails": gate(
        1,
        metric("accuracy", "at_least", 0.9, **FOG),
        metric("error", "at_most", 0.1),
        metric("accuracy", "less_than", 0.3),
    ),
    "accuracy-open": gate(3, metric("accuracy", "at_least", 0.54, **FOG), metric("error", "at_most", 0.45, **FOG)),
    "each": gate(
        0, metric("accuracy", "at_least", 0.3, over="each"), metric("accuracy", "drop_at_most", 0.6, over="each")
    ),
    "each-fails": gate(
        1, metric("accuracy", "at_least", 0.6, over="each"), metric("error", "at_most", 0.3, over="each", **LAST)
    ),
    "each-open": gate(3, metric("accuracy", "at_least", 0.41, over="each", **NOISE)),
    "no-cells": gate(
        3,
        metric("accuracy", "at_least", 0.1, corruptions=["headline"]),
        metric("accuracy", "at_least", 0.1, severities=[2.5]),
        metric("accuracy", "at_least", 0.1, corruptions=["snow"], **LAST),
        metric("attention_consistency", "at_least", 0.1),
    ),
    "classes": gate(
        0,
        metric("balanced_accuracy", "at_least", 0.5, severities=[1, 2]),
        metric("worst_class_accuracy", "at_least", 0.2),
        metric("top5_accuracy", "at_least", 0.99),
        metric("top_prediction_share", "at_most", 0.45, **FOG),
    ),
    "classes-fail": gate(
        1,
        metric("worst_class_accuracy", "at_least", 0.9, **FOG),
        metric("top_prediction_share", "at_most", 0.05),
        metric("balanced_accuracy", "worse_by_at_most", 0.01),
        candidate="Cedar",
    ),
    "worse": gate(
        0,
        metric("accuracy", "worse_by_at_most", 0.08),
        metric("accuracy", "worse_by_at_most", 0.1, **FOG),
        metric("accuracy", "worse_by_at_most", 0.3, over="each"),
    ),
    "worse-fails": gate(
        1,
        metric("accuracy", "worse_by_at_most", 0.01),
        metric("error", "worse_by_at_most", 0.02, **LAST),
        candidate="Cedar",
    ),
    "worse-open": gate(
        3, metric("accuracy", "worse_by_at_most", 0.0), metric("accuracy", "worse_by_at_most", 0.01, **CLEAN)
    ),
    "better": gate(
        0,
        metric("accuracy", "better_by_at_least", 0.05),
        metric("accuracy", "better_by_at_least", **NOISE),
        candidate="Dill",
        baseline="Cedar",
    ),
    "better-fails": gate(1, metric("accuracy", "better_by_at_least", 0.02), candidate="Cedar"),
    "better-at-most": gate(
        1,
        metric("accuracy", "better_by_at_most", 0.05),
        metric("accuracy", "better_by_at_most", 0.5),
        candidate="Dill",
        baseline="Cedar",
    ),
    "drop": gate(
        0,
        metric("accuracy", "drop_at_most", 0.5),
        metric("accuracy", "drop_at_least", 0.1, **NOISE),
        metric("brier", "drop_at_most", 0.5),
        metric("nll_nats", "drop_at_most", 1.5, **FOG),
    ),
    "drop-fails": gate(
        1, metric("accuracy", "drop_at_most", 0.05, **FOG), metric("brier", "drop_at_most", 0.05, severities=[5])
    ),
    "calibration": gate(
        0,
        metric("ece", "at_most", 0.2),
        metric("overconfidence", "at_most", 0.1),
        metric("overconfidence", "at_least", -0.1),
        metric("mean_confidence", "at_least", 0.4),
        metric("mean_confidence", "less_than", 0.95),
    ),
    "calibration-fails": gate(
        1,
        metric("ece", "at_most", 0.02, over="each"),
        metric("overconfidence", "at_most", 0.01),
        candidate="Dill",
    ),
    "calibration-compared": gate(
        3,
        metric("ece", "worse_by_at_most", 0.02),
        metric("brier", "worse_by_at_most", 0.1),
        metric("nll_nats", "worse_by_at_most", 0.3),
        metric("ece", "more_than", other=CLEAN, **LAST),
    ),
    "losses": gate(
        0,
        metric("brier", "at_most", 0.8),
        metric("nll_nats", "at_most", 1.6),
        metric("brier", "better_by_at_most", 0.2),
    ),
    "failures": gate(
        0,
        metric("auroc", "at_least", 0.7, **FOG),
        metric("auroc", "at_least", 0.65, score="margin"),
        metric("augrc", "at_most", 0.25, score="entropy"),
        metric("aurc", "at_most", 0.4, **LAST),
    ),
    "failures-fail": gate(
        1,
        metric("auroc", "at_least", 0.85, **FOG),
        metric("augrc", "at_most", 0.05),
        metric("fpr95", "at_most", 0.3, over="each", **FOG),
        candidate="Cedar",
    ),
    "failures-compared": gate(
        3,
        metric("auroc", "worse_by_at_most", 0.01),
        metric("augrc", "worse_by_at_most", 0.02, score="margin"),
        metric("auroc", "at_least", 0.5, score="energy", **FOG),
    ),
    "fpr95": gate(3, metric("fpr95", "at_most", 0.8, over="each"), metric("fpr95", "at_most", 0.8)),
    "accepted": gate(
        0,
        metric("accepted_share", "at_least", 0.2, threshold=0.8),
        metric("error_accepted", "at_most", 0.25, threshold=0.8),
        metric("error_accepted", "at_most", 0.3, threshold=0.5, score="margin", **FOG),
    ),
    "accepted-fails": gate(
        1,
        metric("error_accepted", "at_most", 0.02, threshold=0.3),
        metric("accepted_share", "at_least", 0.95, threshold=0.9, over="each"),
    ),
    "changes": gate(
        0,
        metric("became_incorrect_share", "at_most", 0.5),
        metric("onset_severity", "at_least", 1.5, **FOG),
        metric("changed_share", "at_most", 0.6),
        metric("surviving_share", "at_least", 0.3, **FOG),
    ),
    "changes-fail": gate(
        1,
        metric("became_incorrect_share", "at_most", 0.05, **NOISE),
        metric("onset_severity", "at_least", 5.5),
        metric("became_incorrect_share", "worse_by_at_most", 0.01),
        candidate="Cedar",
    ),
    "filter": gate(
        0,
        metric("accuracy", "at_least", 0.5, filter="camera = 'A'"),
        metric("accuracy", "worse_by_at_most", 0.2, filter="class_name = 'bee'"),
        metric("accuracy", "drop_at_most", 0.6, filter="camera = 'B' and class_name in ('cat', 'dog')"),
    ),
    "rest": gate(0, metric("accuracy", "worse_than_rest", 0.05, filter="camera = 'B'"), candidate="Cedar"),
    "rest-fails": gate(
        1,
        metric("accuracy", "worse_than_rest", 0.3, filter="camera = 'B'"),
        metric("error", "worse_than_rest", filter="camera = 'A'"),
    ),
    "few-images": gate(3, metric("accuracy", "at_least", 0.1, filter="camera = 'B' and class_name = 'bee'")),
    "other-cells": gate(
        0,
        metric("accuracy", "more_than", other=LAST, severities=[1]),
        metric("accuracy", "less_than", 0.1, other=NOISE, **FOG),
        metric("mean_confidence", "more_than", other={"corruptions": ["fog"]}, **CLEAN),
    ),
    "shapes": gate(
        1,
        {"shape": "late", **NOISE},
        {"shape": "flat", **FOG},
        metric("accuracy", "largest_drop", **NOISE, **LAST),
        {"kind": "prediction_collapse", **NOISE, "negate": True},
        {"kind": "early_warning", "score": "margin"},
    ),
    "strict": gate(
        3, metric("accuracy", "at_least", 0.56, **FOG), metric("accuracy", "worse_by_at_most", 0.03), level=0.999
    ),
    "lenient": gate(
        0, metric("accuracy", "at_least", 0.53, **FOG), metric("accuracy", "worse_by_at_most", 0.04), level=0.7
    ),
    "passing-open": gate(0, metric("accuracy", "at_least", 0.54, **FOG), words=("--inconclusive", "pass")),
    "named": gate(
        1, metric("accuracy", "worse_by_at_most", 0.02), words=("--candidate", "Cedar", "--baseline", "Dill")
    ),
    "alone": gate(0, metric("accuracy", "at_least", 0.5), metric("ece", "at_most", 0.3, **CLEAN), baseline=""),
    "runs": gate(
        1, metric("accuracy", "worse_by_at_most", 0.02), metric("ece", "at_most", 0.3), candidate="Fir", baseline="Elm"
    ),
    "run": gate(3, metric("accuracy", "worse_by_at_most", 0.02), candidate="Elm", baseline="Alder"),
    "exported": gate(
        0,
        metric("accuracy", "worse_by_at_most", 0.08),
        metric("ece", "worse_by_at_most", 0.2),
        baseline="baseline.duckdb",
    ),
    "of-file": gate(
        1,
        metric("accuracy", "better_by_at_least", 0.01),
        candidate="w/warehouse.duckdb::Cedar",
        baseline="baseline.duckdb",
    ),
}
WINTER = {"shift": "Winter"}
OF_SHIFT = {
    "shift": gate(
        0,
        metric("accuracy", "at_least", 0.5, **WINTER),
        metric("accuracy", "gap_at_most", 0.4, **WINTER),
        metric("accuracy", "worse_by_at_most", 0.2, **WINTER),
    ),
    "shift-fails": gate(
        1,
        metric("accuracy", "gap_at_most", 0.05, **WINTER),
        metric("accuracy", "better_by_at_least", 0.1, **WINTER),
        metric("ece", "at_most", 0.01, **WINTER),
    ),
}
GAPS = [
    metric("accuracy", "gap_at_least", 0.05, **WINTER),
    metric("accuracy", "gap_at_most", 0.05, **WINTER),
    metric("ece", "gap_at_least", 0.02, **WINTER),
    metric("accuracy", "less_than", 0.9, **WINTER),
    metric("accuracy", "worse_by_at_most", 0.05, model="Birch", baseline="Alder", **WINTER),
]
IMAGES, LEVELS, SHIFTED = 200, 6, 6  # the shift is the level after the last severity


def inputs(folder: Path) -> None:
    simulated.table(SINGLE, 30).write_parquet(folder / "single.parquet")
    simulated.table(RUNS, 31).write_parquet(folder / "runs.parquet")
    rng = np.random.default_rng(32)
    logits = rng.normal(size=(2, LEVELS + 1, IMAGES, 3))
    easy = 3 - 0.5 * np.array([*range(LEVELS), 2.5])[:, None] - 0.3 * np.arange(2)[:, None, None]
    logits[:, :, np.arange(IMAGES), np.arange(IMAGES) % 3] += easy + rng.normal(size=IMAGES)
    np.save(folder / "logits.npy", logits.astype(np.float32))


def run(side: Side) -> None:
    side.command("import", "import", side.inputs / "single.parquet", "--to", "w")
    side.command("import.runs", "import", side.inputs / "runs.parquet", "--to", "w")
    side.command("load", "load", "w")
    side.command("export", "export", "baseline.duckdb", "w", "--evaluation", "Alder")
    for name, asked in GATES.items():
        judged(side, name, asked, "w")
    evaluate(np.load(side.inputs / "logits.npy"))
    for name, asked in OF_SHIFT.items():
        judged(side, name, asked, "shifted")
    import failmodes

    w = failmodes.open("shifted")
    side.python("gaps", lambda: json.loads(w.claims(GAPS).to_json()))


def judged(side: Side, name: str, asked: Gate, where: str) -> None:
    """The verdicts of a gate, and its exit code."""
    models = {"candidate": asked.candidate, "baseline": asked.baseline}
    header = {key: value for key, value in models.items() if value} | {"level": asked.level}
    path = side.work / f"{name}.toml"
    path.write_text(tomli_w.dumps({"gate": header | {"rules": list(asked.rules)}}))
    side.command(name, "gate", path.name, where, "--json", "-", *asked.words, exits=asked.exits)


def evaluate(logits: np.ndarray) -> None:
    """Two models on images that tell their number and level, with a natural shift."""
    import failmodes

    def numbered(level: int) -> np.ndarray:
        images = np.zeros((IMAGES, 32, 32, 3), np.uint8)
        images[:, 0, 0, 0], images[:, 0, 0, 1] = np.arange(IMAGES), level
        return images

    def mark(images: np.ndarray, parameters: tuple[float, ...]) -> np.ndarray:
        marked = images.copy()
        marked[:, 0, 0, 1] = round(parameters[0])
        return marked

    def model(number: int) -> Any:
        return lambda batch: logits[number, batch[:, 0, 0, 1] % (LEVELS + 1), batch[:, 0, 0, 0] % IMAGES]

    failmodes.benchmark(
        {"Alder": model(0), "Birch": model(1)},
        numbered(0),
        np.arange(IMAGES) % 3,
        to="shifted",
        corruptions=[failmodes.CustomCorruption("marked", mark)],
        shifts={"Winter": (numbered(SHIFTED), np.arange(IMAGES) % 3)},
        progress=False,
        options=failmodes.Options(attention=False, thumbnails=False, version="1"),
    )
