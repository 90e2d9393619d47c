"""Logits of a study's images, stored once and imported on both sides: pixels, distortion and thumbnails of a study."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
from drawn import CLASSES, drawn, known
from everything import OF_PREDICTIONS, OF_TEXT, Subject, everything, lacking
from side import Side

COUNTED = {"rows": 25947, "values": 42578, "sentences": 2730, "files": 214, "exits": 80}

IMAGES = 96
HARM = {"contrast": 1.2, "gaussian_blur": 0.8, "pixelate": 0.3, "gaussian_noise": 1.0}
SEVERITIES = (1, 2.5, 5)
STUDY = """name = "Shapes"
output = "shapes"
baseline = "Steady net"
[dataset]
kind = "arrays"
path = "{inputs}/shapes"
masks = "{inputs}/masks.npy"
[dataset.metadata]
path = "{inputs}/known.csv"
[corruptions]
names = ["contrast", "gaussian_blur", "pixelate", "gaussian_noise"]
severities = [1, 2.5, 5]
seeds = [4]
[[claims]]
metric = "accuracy"
corruptions = ["contrast"]
relation = "less_than"
other = {{ corruptions = ["pixelate"] }}
[[claims]]
shape = "late"
corruptions = ["contrast"]
[gate]
candidate = "Steady net"
[[gate.rules]]
metric = "accuracy"
corruptions = ["none"]
relation = "at_least"
limit = 0.6
"""
ABOUT = Subject(
    "shapes", "Steady net", "Brittle net", "contrast", dataset="shapes", by="camera", condition="camera = 'B'",
    near=0.45,
    refused=lacking("WarehouseError", "chart.attention", "chart.object-attention", "chart.shifts"),
    # BASE names any of the corruptions that are equally common in a class
    skipped=(*OF_TEXT, *OF_PREDICTIONS, "query.confident_failures_by_class"),
)  # fmt: skip


def inputs(folder: Path) -> None:
    images, labels, masks = drawn(IMAGES)
    (folder / "shapes").mkdir()
    np.save(folder / "shapes/images.npy", images)
    np.save(folder / "shapes/labels.npy", labels)
    (folder / "shapes/classes.json").write_text(json.dumps(CLASSES))
    np.save(folder / "masks.npy", masks)
    known(IMAGES).with_row_index("image").write_csv(folder / "known.csv")
    _logits(labels, loss=0.6, seed=1).write_parquet(folder / "steady.parquet")
    brittle = _logits(labels, loss=1.1, seed=2)
    shares = [np.exp(row) / np.exp(row).sum() for row in brittle["logits"].to_numpy()]
    brittle.drop("logits").with_columns(probabilities=pl.Series(shares)).write_parquet(folder / "brittle.parquet")


def run(side: Side) -> None:
    (side.work / "study.toml").write_text(STUDY.format(inputs=side.inputs))
    side.command("ingest", "ingest", "study.toml", "--images", "-")
    side.command("status.empty", "status", "study.toml", exits=2)
    for name in ("steady", "brittle"):
        label = f"{name.title()} net"
        file = side.inputs / f"{name}.parquet"
        side.command(f"import.{name}", "import", file, "study.toml", "--label", label)
    for label in ("Another name", "Steady net"):
        name = label.split()[0].lower()
        side.command(f"import.{name}.again", "import", side.inputs / "steady.parquet", "study.toml", "--label", label)
    side.command("run", "run", "study.toml", "--json", out="shapes/report.html")
    side.command("status.study", "status", "study.toml")
    side.command("claims.study", "claims", "study.toml")
    side.command("gate.study", "gate", "study.toml")
    side.command("seal.study", "seal", "study.toml")
    everything(side, ABOUT)
    side.command("rebuild", "load", "study.toml", "--into", "again.duckdb", "--rebuild", "--json")
    side.tables("rebuilt", "again.duckdb", only=("evaluation_labels", "findings", "claims"))


def _logits(labels: np.ndarray, loss: float, seed: int) -> pl.DataFrame:
    """A row for each image and cell."""
    rng = np.random.default_rng(seed)
    easy = np.random.default_rng(0).normal(0, 1, IMAGES)
    parts = []
    for corruption, severity in [("none", 0), *product(HARM, SEVERITIES)]:
        logits = rng.normal(0, 1, (IMAGES, len(CLASSES))).round(2)
        logits[range(IMAGES), labels] += (4 + easy - loss * HARM.get(corruption, 0) * severity).round(2)
        cell = {"corruption": pl.lit(corruption), "severity": pl.lit(float(severity))}
        parts.append(pl.DataFrame({"image_id": range(IMAGES), "logits": logits}).with_columns(**cell))
    return pl.concat(parts)
