"""How often a gate on a user's metric of one number is wrong at its limit: extremes over classes, and means."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from claims import FALSE, NEVER_FALSE, NO_LIMIT, POWER, Answers, Claim, Job, Limit, answered
from curves import Floats

from failmodes.analysis.judging.judge import decide
from failmodes.analysis.judging.statement import Requirement
from failmodes.analysis.statistics.difference import ModelMetrics, Term
from failmodes.analysis.statistics.run_rows import CLEAN_CELL, ModelRows, RunRows
from failmodes.warehouse.metrics.custom import metric

CLASSES, SAMPLES = 10, 300
KIND = "a gate on a user's metric"
OF_RANGES = Limit(high=0.07)  # as docs/gate.md says: its minimum may be clear while its maximum is not


def of_classes(preds: Any, target: Any) -> Floats:
    """(K,) accuracy of each class that is present."""
    counts = np.bincount(target)
    found: Floats = np.bincount(target, preds == target)[counts > 0] / counts[counts > 0]
    return found


STATISTICS: dict[str, Callable[[Floats], float]] = {
    "minimum": lambda accuracies: float(accuracies.min()),
    "range": lambda accuracies: float(np.ptp(accuracies)),
    "mean": lambda accuracies: float(accuracies.mean()),
}
ACCURACIES = {
    "equal classes": (0.9,) * CLASSES,
    "one class 5 points below": (0.85, *(0.9,) * 9),
    "one class 20 points below": (0.7, *(0.9,) * 9),
}


@answered
def measure_gate(
    name: str, accuracies: tuple[float, ...], images: int, rng: np.random.Generator, samples: int
) -> Answers:
    """Whether a rule at its limit passes, whether it fails, and whether it is measurable."""
    statistic = STATISTICS[name]

    def statistic_of_classes(preds: Any, target: Any) -> float:
        return statistic(of_classes(preds, target))

    own = metric(statistic_of_classes, name="own", higher_is_better=True, range=(0, 1))
    limit, labels = statistic(np.array(accuracies)), np.arange(images) % CLASSES
    for _ in range(samples):
        correct = rng.random(images) < np.array(accuracies)[labels]
        columns = {
            "label": labels[:, None].astype(np.int16),
            "predicted": np.where(correct, labels, (labels + 1) % CLASSES)[:, None].astype(np.int16),
        }
        run = RunRows("run", True, [CLEAN_CELL], correct[:, None], ("",), columns=columns)
        found = ModelMetrics(ModelRows((run,)), metrics={"own": own}).measure("own", [Term(CLEAN_CELL, 1.0)])
        word = "" if isinstance(found, str) else decide(found, Requirement(limit, True)).verdict
        yield word == "supported", word == "contradicted", bool(word)


def jobs() -> list[Job]:
    found = []
    for name in STATISTICS:
        for classes, accuracies in ACCURACIES.items():
            for images in (100, 500, 2_000):
                truth = f"{name} of the accuracies of {CLASSES} classes, {classes}"
                claims = (
                    Claim(KIND, FALSE, truth, images, 0, OF_RANGES if name == "range" else NEVER_FALSE, "passes"),
                    Claim(KIND, FALSE, truth, images, 0, NEVER_FALSE, "fails"),
                    Claim(KIND, POWER, truth, images, 0, NO_LIMIT, "measurable"),
                )
                found.append(Job(claims, partial(measure_gate, name, accuracies, images), SAMPLES))
    return found
