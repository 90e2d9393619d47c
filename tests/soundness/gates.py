"""How often a gate says of a rule whose truth lies exactly on its limit that it holds, or that it is broken.

Models are simulated whose every measure is known: an image has one of four confidences in a cell, and is right with a
chance that depends on it, so that accuracy, calibration error, AUGRC and the accuracy of the worst class are sums. A
training run is right more or less often than its model by one number, which all these measures move with in a line.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from claims import FALSE, NEVER_FALSE, Answers, Claim, Job, answered
from curves import Floats
from scipy.special import ndtr, ndtri

from failmodes.analysis.judging.gate import judge_rules
from failmodes.analysis.judging.judge import worst_of
from failmodes.analysis.statistics.difference import ModelMetrics
from failmodes.analysis.statistics.run_rows import CellKey, ModelRows, RunRows
from failmodes.ingest.statements import AnyStatement, GateSpec, as_statement

PASSES, STOPS = "a gate passes a rule", "a gate fails a rule"
CELLS: list[CellKey] = [(name, severity) for name in ("contrast", "fog", "snow") for severity in (1.0, 2.0)]
ATOMS, SHARES = (
    np.array([0.45, 0.65, 0.85, 0.97]),
    np.array([0.15, 0.2, 0.25, 0.4]),
)  # confidences, and how many have each
CLASSES = 10
MEASURES = ("accuracy", "ece", "augrc", "worst_class_accuracy")
LEVEL = 0.95
MAX_SAMPLES = {50: 1_000, 500: 1_000, 2_000: 500}  # by images; but of accuracy, a draw takes as long as hundreds
SEED_SPREAD = 0.02  # standard deviation of the accuracy of training runs


class Truth(NamedTuple):
    """A model: how far right answers lie below confidence.

    Attributes:
        gaps: (C,) of each cell, 0-1.
        worst: how much farther those of the first class do.
    """

    gaps: tuple[float, ...]
    worst: float = 0.0

    def chances(self) -> Floats:
        """(C, 4, classes) chance to be right by cell, confidence and class."""
        found = np.repeat((ATOMS - np.array(self.gaps)[:, None])[:, :, None], CLASSES, axis=2)
        found[:, :, 0] -= self.worst
        return np.clip(found, 0, 1)

    def measures(self) -> dict[str, Floats]:
        """(C,) of each measure."""
        chances = self.chances()
        of_atoms = chances.mean(axis=2)
        below = np.concatenate([[0], np.cumsum(SHARES)[:-1]])
        return {
            "accuracy": of_atoms @ SHARES,
            "ece": np.abs(of_atoms - ATOMS) @ SHARES,
            "augrc": (1 - of_atoms) @ (SHARES * (below + SHARES / 2)),
            "worst_class_accuracy": np.einsum("cka,k->ca", chances, SHARES).min(axis=1),
        }


class Scenario(NamedTuple):
    """Two models, or one alone.

    Attributes:
        candidate: the model that is judged.
        baseline: what it is compared with; None for absolute limits.
        alike: correlation of what makes an image right by two runs, or in two cells.
        runs: training runs of each model.
        paired: whether both saw the same images.
    """

    candidate: Truth
    baseline: Truth | None
    alike: float = 0.7
    runs: int = 1
    paired: bool = True


def draw_models(scenario: Scenario, images: int, rng: np.random.Generator) -> list[ModelRows]:
    """Rows of the candidate, and of the baseline where there is one."""
    sides = [side for side in (scenario.candidate, scenario.baseline) if side is not None]
    found = []
    common = _common(images, rng)
    for place, side in enumerate(sides):
        if not scenario.paired:
            common = _common(images, rng)
        runs = [_draw_run(side, scenario, common, rng) for _ in range(scenario.runs)]
        found.append(ModelRows(tuple(runs), "images" if scenario.paired else f"images {place}", "seed 0"))
    return found


def _common(images: int, rng: np.random.Generator) -> Floats:
    """(2, N, 1) of each image, for its confidence and for whether it is right."""
    return rng.standard_normal((2, images, 1))


def _draw_run(side: Truth, scenario: Scenario, common: Floats, rng: np.random.Generator) -> RunRows:
    images = common.shape[1]
    own = rng.standard_normal((2, images, len(CELLS)))
    of_confidence, of_correct = np.sqrt(scenario.alike) * common + np.sqrt(1 - scenario.alike) * own
    atom = np.searchsorted(ndtri(np.cumsum(SHARES)[:-1]), of_confidence)
    label = np.arange(images) % CLASSES
    chance = side.chances()[np.arange(len(CELLS)), atom, label[:, None]]
    if scenario.runs > 1:
        chance = chance + np.clip(rng.normal(0, SEED_SPREAD), -3 * SEED_SPREAD, 3 * SEED_SPREAD)
    columns: dict[str, Any] = {
        "label": np.repeat(label[:, None], len(CELLS), axis=1).astype(np.int16),
        "confidence": ATOMS[atom].astype(np.float32),
        "finite": np.ones(atom.shape, bool),
    }
    hashes = (str(images),) * len(CELLS)
    return RunRows("run", True, CELLS, ndtr(of_correct) < chance, hashes, columns=columns)


def rule_at_limit(scenario: Scenario, measure: str, over: str, cell: int | None = None) -> AnyStatement:
    """The rule whose limit is the truth: of the mean, or of one cell (the first, where all are alike)."""
    candidate = scenario.candidate.measures()[measure]
    value = float(candidate.mean() if over == "mean" else candidate[cell or 0])
    is_higher_better = "accuracy" in measure
    content: dict[str, Any] = {"metric": measure, "over": over}
    if scenario.baseline is None:
        relation = "at_least" if is_higher_better else "at_most"
        return as_statement(content | {"relation": relation, "limit": value})
    baseline = scenario.baseline.measures()[measure]
    other = float(baseline.mean() if over == "mean" else baseline[cell or 0])
    worse = other - value if is_higher_better else value - other
    return as_statement(content | {"relation": "worse_by_at_most", "limit": max(0.0, round(worse, 12))})


@answered
def measure_gates(
    scenario: Scenario, gates: Sequence[Sequence[AnyStatement]], images: int, rng: np.random.Generator, samples: int
) -> Answers:
    """(samples, gates * 2) whether each gate is said to hold, and to fail; its rules stop it together."""
    specs = [GateSpec(baseline="B", level=LEVEL, rules=list(rules)) for rules in gates]
    for _ in range(samples):
        models = ModelMetrics(*draw_models(scenario, images, rng))
        verdicts = [worst_of([one.verdict for one in judge_rules(spec, models, None, "rules")]) for spec in specs]
        yield [verdict == wanted for verdict in verdicts for wanted in ("supported", "contradicted")]


def _job(truth: str, scenario: Scenario, over: str, images: int, measure: str) -> Job:
    """A gate of one rule, at its limit."""
    claims = tuple(
        Claim(kind, FALSE, f"{measure}, {over} of 6 cells, {truth}", images, 0, NEVER_FALSE) for kind in (PASSES, STOPS)
    )
    gates = [[rule_at_limit(scenario, measure, over)]]
    samples = None if measure == "accuracy" else MAX_SAMPLES[images]
    return Job(claims, partial(measure_gates, scenario, gates, images), samples)


WORSE = Truth((0.08, 0.1, 0.12, 0.14, 0.16, 0.18))  # 5 points on average
LEVELLY_WORSE, FIRST_WORSE = Truth((0.13,) * 6), Truth((0.13, 0.08, 0.08, 0.08, 0.08, 0.08))
BASE = Truth((0.08,) * 6)
SCENARIOS: dict[str, tuple[Scenario, str]] = {
    "worse than the baseline": (Scenario(WORSE, BASE), "mean"),
    "as the baseline, highly correlated": (Scenario(BASE, BASE, alike=0.99), "mean"),
    "worse, one class 20 points below": (Scenario(WORSE._replace(worst=0.2), BASE._replace(worst=0.2)), "mean"),
    "one class falls by 20 points": (Scenario(BASE._replace(worst=0.2), BASE), "mean"),
    "worse, nearly calibrated": (Scenario(Truth((0.01,) * 6), Truth((0.0,) * 6)), "mean"),
    "worse, different images": (Scenario(WORSE, BASE, paired=False), "mean"),
    "worse, 2 and 2 training runs": (Scenario(WORSE, BASE, runs=2), "mean"),
    "worse, 3 and 3 training runs": (Scenario(WORSE, BASE, runs=3), "mean"),
    "a limit": (Scenario(WORSE, None), "mean"),
    "a limit, one class 20 points below": (Scenario(WORSE._replace(worst=0.2), None), "mean"),
    "a limit, nearly calibrated": (Scenario(Truth((0.01,) * 6), None), "mean"),
    "a limit, 3 training runs": (Scenario(WORSE, None, runs=3), "mean"),
    "all equally worse": (Scenario(LEVELLY_WORSE, BASE), "each"),
    "one worse": (Scenario(FIRST_WORSE, BASE), "each"),
    "all equally worse, different images": (Scenario(LEVELLY_WORSE, BASE, paired=False), "each"),
    "all equally worse, 3 and 3 training runs": (Scenario(LEVELLY_WORSE, BASE, runs=3), "each"),
    "all equal, a limit": (Scenario(LEVELLY_WORSE, None), "each"),
    "one worse, a limit": (Scenario(FIRST_WORSE, None), "each"),
}


OF_MANY_IMAGES = ("worse than the baseline", "worse, nearly calibrated", "a limit", "all equally worse")


def whole_gate_job(images: int) -> Job:
    """A gate of eight rules, of each measure one over the mean and one over each cell, all at their limits."""
    scenario = Scenario(LEVELLY_WORSE, BASE)
    rules = [rule_at_limit(scenario, measure, over) for measure in MEASURES for over in ("mean", "each")]
    claims = tuple(
        Claim(kind, FALSE, "8 rules, each measure over mean and each of 6 cells, worse than the baseline", images, 0,
              NEVER_FALSE, "any rule" if kind == STOPS else "all rules")
        for kind in (PASSES, STOPS)
    )  # fmt: skip
    return Job(claims, partial(measure_gates, scenario, [rules], images), MAX_SAMPLES[images])


def jobs() -> list[Job]:
    found = [
        _job(truth, scenario, over, images, measure)
        for truth, (scenario, over) in SCENARIOS.items()
        for images in ((50, 500, 2_000) if truth in OF_MANY_IMAGES else (50, 500))
        for measure in MEASURES
    ]
    return found + [whole_gate_job(images) for images in (50, 500)]
