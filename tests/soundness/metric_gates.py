"""How often a gate on any metric passes or fails a rule whose truth is its limit, and what intervals contain it.

Images of ten classes have logits: those of the label and of a rival class are largest, and their difference is normal,
with a mean that gives the accuracy. Attention columns are skewed shares and distances. The truth of a metric is its
mean over TRUTH_PARTS samples of TRUTH_IMAGES, whose error is a twentieth of that of 2,000 images.
"""

from collections.abc import Iterator
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from claims import COVERAGE, COVERS_AT_LEAST, FALSE, NEVER_FALSE, Answers, Claim, Job, answered
from curves import Floats
from scipy.special import logsumexp, softmax

from failmodes.analysis.judging.judge import decide
from failmodes.analysis.judging.statement import Requirement
from failmodes.analysis.statistics.difference import ModelMetrics, Term
from failmodes.analysis.statistics.run_rows import CLEAN_CELL, CellKey, ModelRows, RunRows
from failmodes.warehouse.metrics.metric import Metric, all_metrics, evaluate

CLASSES = 10
CELLS: list[CellKey] = [CLEAN_CELL, ("fog", 1.0), ("fog", 2.0)]
JUDGED = CELLS[-1]
SPREADS = {0.5: 2.0, 0.9: 2.5, 0.98: 4.0}  # standard deviation of the margin of logits, by accuracy
SHARPNESS = {0.5: 0.6, 0.9: 1.6, 0.98: 1.7}  # factor of logits, with which confidence is nearly calibrated
OF_BASELINE = {0.5: 0.9, 0.9: 0.98, 0.98: 0.98}  # accuracy of the baseline
SHARED = 0.7  # correlation of margins of two models
TRUTH_PARTS, TRUTH_IMAGES = 4, 200_000
SAMPLES = 400  # a metric takes as long as a hundred samples of other rows
PASSES, FAILS, INTERVAL = "a gate passes any metric", "a gate fails any metric", "interval of a metric"
EACH_METHOD = (
    "became_incorrect_share", "overconfidence",  # exact
    "nll_nats", "brier", "mean_confidence", "balanced_accuracy", "augrc", "aurc",  # pseudo-images
    "mean_entropy_nats", "mean_centroid_shift", "incorrect_mean_cosine",  # corrected for skewness
    "median_centroid_shift", "null_q975_centroid_shift",  # order statistics
    "auroc", "attention_responsiveness", "fpr95",  # score intervals
    "ece", "worst_class_accuracy", "top_prediction_share",  # resamples
)  # fmt: skip


OF_FEW = (  # not measurable on the failures of 100 images
    "incorrect_median_centroid_shift", "changed_median_centroid_shift", "failing_mean_margin_before",
)  # fmt: skip


def draw_model(accuracy: float, images: int, labels: Any, common: Floats, rng: np.random.Generator) -> ModelRows:
    """Rows of a model; `common` are (N, C) normal numbers that margins share with those of other models."""
    spread = SPREADS[accuracy]
    own = np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * rng.standard_normal(common.shape)
    margin = spread * own + _mean_of(accuracy) + np.array([2.0, 1.0, 0.0])
    logits = rng.standard_normal((images, len(CELLS), CLASSES), np.float32)
    rival = (labels + rng.integers(1, CLASSES, images)) % CLASSES
    logits[np.arange(images), :, labels] = (3 + margin / 2).astype(np.float32)
    logits[np.arange(images), :, rival] = (3 - margin / 2).astype(np.float32)
    columns = _of_logits(logits * np.float32(SHARPNESS[accuracy]), labels) | _of_attention(own, rng)
    correct = columns["predicted"] == labels[:, None]
    return ModelRows((RunRows("run", True, CELLS, correct, (str(images),) * 3, columns=columns),), "images", "seed 0")


@cache
def _mean_of(accuracy: float) -> float:
    """The mean margin of that accuracy at the last severity, with SPREADS and the other logits."""
    rng = np.random.default_rng(1)
    others = rng.standard_normal((400_000, CLASSES - 2)).max(axis=1)
    own = SPREADS[accuracy] * rng.standard_normal(len(others))
    low, high = -10.0, 20.0
    for _ in range(40):
        middle = (low + high) / 2
        margin = own + middle
        share = ((margin > 0) & (3 + margin / 2 > others)).mean()
        low, high = (middle, high) if share < accuracy else (low, middle)
    return low


def _of_logits(logits: Any, labels: Any) -> dict[str, Any]:
    p = softmax(logits.astype(np.float64), axis=2)
    ordered = np.sort(p, axis=2)
    of_label = np.take_along_axis(p, labels[:, None, None], axis=2)[..., 0]
    rank = 1 + (p > of_label[..., None]).sum(axis=2)
    found = {
        "confidence": ordered[..., -1],
        "margin": ordered[..., -1] - ordered[..., -2],
        "entropy_nats": -(p * np.log(p.clip(1e-300))).sum(axis=2),
        "loss_nats": -np.log(of_label.clip(1e-300)),
        "sum_p2": np.square(p).sum(axis=2),
        "label_probability": of_label,
        "log_sum_exp": logsumexp(logits, axis=2),
        "logits": logits,
    }
    found = {name: values.astype(np.float32) for name, values in found.items()}
    shape = p.shape[:2]
    found |= {
        "image_id": np.repeat(np.arange(len(p))[:, None], len(CELLS), axis=1),
        "label": np.repeat(labels[:, None], len(CELLS), axis=1).astype(np.int16),
        "predicted": p.argmax(axis=2).astype(np.int16),
        "label_rank": rank.astype(np.int16),
        "finite": np.ones(shape, bool),
    }
    return found


def _of_attention(own: Floats, rng: np.random.Generator) -> dict[str, Any]:
    """Distortion and attention maps: of the object a third of the image, drift skewed and larger for small margins."""
    shape = own.shape
    found: dict[str, Any] = {
        "rmse": 0.1 * np.exp(0.5 * rng.standard_normal(shape)),
        "ssim": 1 - rng.beta(1, 9, shape),
        "images.mask_area": np.repeat(rng.beta(2, 4, (shape[0], 1)), shape[1], axis=1),
    }
    for target in ("clean", "predicted"):
        drift = np.minimum(0.05 * np.exp(0.8 * rng.standard_normal(shape) - 0.3 * own), 1.4)
        found |= {
            f"{target}.{name}": values
            for name, values in {
                "has_map": np.ones(shape, bool),
                "target_class": np.zeros(shape, np.int16),
                "empty": rng.random(shape) < 0.02,
                "mass": rng.gamma(1.0, 5.0, shape),
                "spread": 0.3 * rng.beta(4, 4, shape),
                "attention_entropy_nats": 3 * rng.beta(9, 1, shape),
                "centroid_shift": drift,
                "null_centroid_shift": 0.2 * np.exp(0.6 * rng.standard_normal(shape)),
                "null_class_centroid_shift": 0.15 * np.exp(0.6 * rng.standard_normal(shape)),
                "cosine": rng.beta(9, 0.5, shape),
                "null_cosine": rng.beta(2, 2, shape),
                "null_class_cosine": rng.beta(3, 2, shape),
                "mask_share": rng.beta(6, 0.4, shape),
                "null_mask_share": rng.beta(2, 4, shape),
                "mask_area": found["images.mask_area"],
                "pointing_hit": (rng.random(shape) < 0.97).astype(np.float32),
                "null_pointing_hit": (rng.random(shape) < 0.3).astype(np.float32),
            }.items()
        }
    return {
        name: one if one.dtype == bool or one.dtype == np.int16 else one.astype(np.float32)
        for name, one in found.items()
    }


def draw_models(accuracy: float, images: int, rng: np.random.Generator) -> ModelMetrics:
    """Candidate and baseline on the same images."""
    labels, common = rng.integers(0, CLASSES, images), rng.standard_normal((images, 1))
    common = np.sqrt(0.8) * common + np.sqrt(0.2) * rng.standard_normal((images, len(CELLS)))
    sides = [draw_model(one, images, labels, common, rng) for one in (accuracy, OF_BASELINE[accuracy])]
    return ModelMetrics(*sides)


def score_of(metric: Metric) -> str | None:
    return None if not metric.scores else "confidence" if "confidence" in metric.scores else metric.scores[0]


def judged_metrics() -> dict[str, Metric]:
    """Every metric that gates accept, by name."""
    return {name: metric for name, metric in all_metrics().items() if not metric.refusal}


@cache
def truths(accuracy: float) -> dict[str, Floats]:
    """(2,) of each metric by name: that of the candidate and of the baseline."""
    found: dict[str, list[list[float]]] = {name: [] for name in judged_metrics()}
    for part in range(TRUTH_PARTS):
        models = draw_models(accuracy, TRUTH_IMAGES, np.random.default_rng([7, part]))
        assert models.baseline is not None
        cells = [side.runs[0].cell(JUDGED) for side in (models.candidate, models.baseline)]
        for name, metric in judged_metrics().items():
            values = [evaluate(metric, cell, score_of(metric)) for cell in cells]
            found[name].append([one.value for one in values if not isinstance(one, str)])
    return {name: np.mean(values, axis=0) for name, values in found.items()}


class Rule(NamedTuple):
    """A relation to a limit, and the terms that are measured for it."""

    relation: str
    is_relative: bool
    is_least: bool


def rules_of(metric: Metric) -> list[Rule]:
    """An absolute rule, or both without a better direction, and one against the baseline."""
    if metric.higher_is_better is None:
        return [Rule("at_least", False, True), Rule("at_most", False, False)]
    relation = "at_least" if metric.higher_is_better else "at_most"
    return [Rule(relation, False, metric.higher_is_better), Rule("worse_by_at_most", True, metric.higher_is_better)]


@answered
def measure_metrics(
    accuracy: float, names: tuple[str, ...], images: int, rng: np.random.Generator, samples: int
) -> Answers:
    """Of each metric whether its interval holds the truth; of each of its rules whether it passes, and fails."""
    for _ in range(samples):
        models = draw_models(accuracy, images, rng)
        yield [one for name in names for one in _outcomes(models, judged_metrics()[name], truths(accuracy)[name])]


def _outcomes(models: ModelMetrics, metric: Metric, truth: Floats) -> Iterator[float]:
    own = [Term(JUDGED, 1.0)]
    found = {
        False: models.measure(metric.name, own, score_of(metric)),
        True: models.measure(metric.name, [*own, Term(JUDGED, -1.0, of_baseline=True)], score_of(metric)),
    }
    alone = found[False]
    if isinstance(alone, str):
        yield float("nan")
    else:
        _, low, high = alone.interval()[:3]
        yield float(low <= truth[0] <= high)
    for rule in rules_of(metric):
        measured, limit = found[rule.is_relative], truth[0] - truth[1] * rule.is_relative
        word = "" if isinstance(measured, str) else decide(measured, Requirement(limit, rule.is_least)).verdict
        yield from (float(word == "supported"), float(word == "contradicted"))


def _job(accuracy: float, names: tuple[str, ...], images: int) -> Job:
    claims = []
    for name in names:
        truth = f"{name}, accuracy {100 * accuracy:g}%"
        claims.append(Claim(INTERVAL, COVERAGE, truth, images, 0, COVERS_AT_LEAST))
        claims += [
            Claim(kind, FALSE, truth, images, 0, NEVER_FALSE, rule.relation)
            for rule in rules_of(judged_metrics()[name])
            for kind in (PASSES, FAILS)
        ]
    return Job(tuple(claims), partial(measure_metrics, accuracy, names, images), SAMPLES)


def jobs() -> list[Job]:
    """Metrics of each kind of interval in every case, all others in the hardest one and with more failures."""
    others = tuple(name for name in judged_metrics() if name not in EACH_METHOD)
    found = [_job(accuracy, EACH_METHOD, images) for accuracy in SPREADS for images in (100, 500, 2_000)]
    return [*found, _job(0.98, others, 100), _job(0.9, OF_FEW, 500)]
