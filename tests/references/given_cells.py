"""Cells whose rows are given as arrays, or drawn with all that a record has, without a warehouse."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, logsumexp

from failmodes.warehouse.metrics.cell_rows import OTHER, CellRows, ComparedCell
from failmodes.warehouse.metrics.metric import Evaluated, Metric, Weights, all_metrics, evaluate
from failmodes.warehouse.schema import TARGETS, TEMPERATURES

Array = NDArray[Any]
Columns = Mapping[str, Array]
NAN = np.float32(np.nan)
THRESHOLDS = {"confidence": 0.6, "margin": 0.3, "entropy": 1.0, "energy": 1.8, "logit_gap": 0.5,
              "attention_spread": 0.25, "attention_drift": 0.1}  # fmt: skip


def outcome_rows(correct: ArrayLike, severity: float = 1.0, **columns: ArrayLike) -> CellRows:
    """Rows of images of class 0, predicted as such where `correct`, else as class 1, beside other columns."""
    wrong = ~np.asarray(correct, np.bool_)
    count = len(wrong)
    finite = {} if "finite" in columns else {"finite": np.ones(count, np.bool_)}
    own = {"image_id": np.arange(count), "label": np.zeros(count), "predicted": wrong}
    return CellRows.of(own | finite | columns, severity)


def paired(*curve: CellRows) -> ComparedCell:
    """The last of these rows, compared with those before, from clean on."""
    return ComparedCell(curve[-1], curve[0], curve, curve[0], THRESHOLDS)


def reading_only(rows: CellRows, names: Collection[str]) -> CellRows:
    """The same rows, which refuse to read any other column."""

    def read(name: str) -> Array:
        assert name in names, f"{name} is read, but not declared"
        return rows[name]

    return CellRows(rows.corruption, rows.severity, len(rows), read)


def found_of(
    name: str, cell: ComparedCell | CellRows, score: str | None = None, weights: Weights | None = None
) -> Evaluated:
    """A metric of a cell where it is defined."""
    found = evaluate(
        all_metrics()[name], cell if isinstance(cell, ComparedCell) else ComparedCell(cell), score, weights
    )
    assert not isinstance(found, str), found
    return found


def value_of(name: str, cell: ComparedCell | CellRows, score: str | None = None) -> float:
    """The value of a metric where it is defined."""
    return found_of(name, cell, score).value


def reason_of(name: str, cell: ComparedCell | CellRows, score: str | None = None) -> str:
    """Why a metric is not defined."""
    found = evaluate(all_metrics()[name], cell if isinstance(cell, ComparedCell) else ComparedCell(cell), score)
    assert isinstance(found, str), found
    return found


def jackknife_error(metric: Metric, cell: ComparedCell, score: str | None = None) -> float:
    """Standard error of a metric from its values without one image each (Tukey 1958)."""
    count = len(cell.rows)
    found = [evaluate(metric, cell.taken(np.delete(np.arange(count), place)), score) for place in range(count)]
    values = np.array([one.value for one in found if not isinstance(one, str)])
    assert len(values) == count, "each image can be left out"
    return float(np.sqrt((count - 1) * values.var()))


def contribution_error(images: Array) -> float:
    """Standard error of the mean of contributions (N,)."""
    return float(images.std() / np.sqrt(len(images)))


def random_cell(
    images: int = 300, classes: int = 4, severities: Sequence[float] = (0, 1, 3), seed: int = 0, non_finite: int = 0
) -> ComparedCell:
    """A cell at the last severity with its curve: all columns of a record, ties, and maps that lack something."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    curve = [CellRows.of(random_columns(rng, labels, classes, severity, non_finite), severity)
             for severity in severities]  # fmt: skip
    return paired(*curve)


def random_columns(
    rng: np.random.Generator, labels: Array, classes: int, severity: float, non_finite: int = 0
) -> dict[str, Array]:
    """All columns of a cell, of logits that tie now and then."""
    count = len(labels)
    logits = rng.normal(0, 1, (count, classes)).round(1) + (2.5 - 0.4 * severity) * np.eye(classes)[labels]
    columns = columns_of_logits(logits, labels)
    for target in TARGETS:
        columns |= _random_maps(rng, target, columns["predicted"], classes, severity)
    columns |= {
        "rmse": (rng.uniform(0.8, 1.2, count) * 0.03 * severity).round(3), "ssim": 1 - rng.uniform(0, 0.1, count),
        "images.mask_area": np.where(np.arange(count) % 7 == 0, np.nan, rng.uniform(0.2, 0.4, count)),
        "predicted_output": np.where(np.arange(count) % 3 == 0, columns["predicted"] + 20, OTHER),
    }  # fmt: skip
    broken = rng.permutation(count)[:non_finite]
    return columns if not severity else without_logits(columns, broken)


def columns_of_logits(logits: Array, labels: Array) -> dict[str, Array]:
    """Columns that a run writes of logits (N, K): SciPy's softmax of them."""
    images, count = np.arange(len(labels)), len(labels)
    single = logits.astype(np.float32)
    log_p = log_softmax(single.astype(np.float64), axis=1)
    p, order = np.exp(log_p), np.argsort(-single, axis=1, kind="stable")
    return {
        "image_id": images, "label": labels, "predicted": order[:, 0], "finite": np.ones(count, np.bool_),
        "label_rank": (order == labels[:, None]).argmax(1) + 1, "confidence": p.max(1),
        "label_probability": p[images, labels], "margin": p[images, order[:, 0]] - p[images, order[:, 1]],
        "entropy_nats": -(p * log_p).sum(1), "loss_nats": -log_p[images, labels], "sum_p2": (p**2).sum(1),
        "log_sum_exp": logsumexp(single.astype(np.float64), axis=1), "logits": single,
        "logit_classes": np.zeros(count, np.bool_),
    }  # fmt: skip


def scaled_sums(logits: Array) -> Array:
    """(N, T) log-sum-exp of logits (N, K) at every temperature of the grid."""
    single = logits.astype(np.float32).astype(np.float64)
    return np.stack([logsumexp(single / temperature, axis=1) for temperature in TEMPERATURES], axis=1)


def without_logits(columns: Columns, places: ArrayLike) -> dict[str, Array]:
    """The same columns where the logits of some images are not finite."""
    chosen = np.asarray(places, np.intp)
    found = {name: np.array(values) for name, values in columns.items()}
    for name in ("predicted", "label_rank", "predicted_output"):
        if name in found:
            found[name][chosen] = OTHER
    for name in ("confidence", "label_probability", "margin", "entropy_nats", "loss_nats", "sum_p2", "log_sum_exp",
                 "logits"):  # fmt: skip
        if name in found:
            found[name][chosen] = np.nan
    found["finite"][chosen] = False
    return found


def _random_maps(
    rng: np.random.Generator, target: str, predicted: Array, classes: int, severity: float
) -> dict[str, Array]:
    """Columns of maps: some images have none, some are empty, some have no class, and some no object."""
    count = len(predicted)
    has_map, empty, has_object = rng.random(count) > 0.05, rng.random(count) < 0.08, rng.random(count) > 0.1
    numbers = {
        "mass": rng.uniform(5, 10, count), "spread": rng.uniform(0.2, 0.3, count).round(3),
        "attention_entropy_nats": rng.uniform(2, 3, count),
        "centroid_shift": np.abs(rng.normal(0.03 * severity, 0.02, count)).round(3),
        "null_centroid_shift": rng.uniform(0, 0.4, count), "null_class_centroid_shift": rng.uniform(0, 0.1, count),
        "cosine": rng.uniform(0.6, 1, count), "null_cosine": rng.uniform(0.4, 0.9, count),
        "null_class_cosine": rng.uniform(0.5, 0.9, count),
    }  # fmt: skip
    of_objects = {
        "mask_share": rng.uniform(0.3, 0.7, count), "null_mask_share": rng.uniform(0.2, 0.4, count),
        "pointing_hit": rng.integers(0, 2, count), "null_pointing_hit": rng.random(count) < 0.3,
    }  # fmt: skip
    mask_area = np.where(rng.random(count) > 0.2, rng.uniform(0.2, 0.4, count), np.nan)
    kept = has_map & ~empty
    columns = {name: np.where(kept, values, NAN) for name, values in numbers.items()}
    columns |= {name: np.where(kept & has_object, values, NAN) for name, values in of_objects.items()}
    columns["mass"] = np.where(has_map, np.where(empty, 0, numbers["mass"]), np.nan)
    columns["mask_area"] = np.where(has_map & has_object, mask_area, np.nan)
    classes_shown = np.where(rng.random(count) < 0.05, OTHER, predicted)
    columns |= {"has_map": has_map, "empty": empty & has_map, "target_class": np.where(has_map, classes_shown, OTHER)}
    return {f"{target}.{name}": values for name, values in columns.items()}


def in_choosing_half(image_id: int) -> bool:
    """The first bit of SplitMix64's first output (Steele et al. 2014), in whole numbers of any length."""
    mask = 2**64 - 1
    word = (image_id + 1) * 0x9E3779B97F4A7C15 & mask
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & mask
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB & mask
    return (word ^ (word >> 31)) >> 63 == 1
