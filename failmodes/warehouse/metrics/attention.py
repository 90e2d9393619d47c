"""Metrics of attention: location of a map, drift from the clean map, share on the object.

Each is computed for the map of the class predicted on the clean image, and, as NAME_of_prediction, for that of the
class predicted here. The null is the same comparison with the clean map of another image, of any class or of the same.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from failmodes.warehouse.metrics.cell_rows import CellRows, Undefined
from failmodes.warehouse.metrics.duplicates import effective_counts, kept_groups
from failmodes.warehouse.metrics.failure_prediction import FEWEST_IN_TAIL, auroc_contributions, rank
from failmodes.warehouse.metrics.intervals import Floats
from failmodes.warehouse.metrics.metric import (
    CONTINUOUS,
    POSITIVE,
    UNBOUNDED,
    Counted,
    ExactShare,
    Interval,
    NewcombeAuroc,
    OrderStatistic,
    define,
)
from failmodes.warehouse.schema import TARGETS

Real = NDArray[np.float32]
SUFFIXES = {"clean": "", "predicted": "_of_prediction"}
OfTarget = Callable[[CellRows, str], Real | Floats]
_WIDTHS: dict[str, Any] = {
    "unit": "image widths",
    "range": (0.0, 2**0.5),
    "higher_is_better": None,
    "interval": CONTINUOUS,
}
_SHARE: dict[str, Any] = {"higher_is_better": None, "interval": CONTINUOUS}
_RATE: dict[str, Any] = {"higher_is_better": None}


def _quantile(share: float) -> dict[str, Any]:
    return _WIDTHS | {"interval": OrderStatistic(quantile=share, is_continuous=True)}


_MEDIAN = _quantile(0.5)


def shown(rows: CellRows, target: str) -> NDArray[np.bool_]:
    """(N,) whether the image has a class to explain and a map that is not empty."""
    return has_class(rows, target) & ~rows[f"{target}.empty"]


def has_class(rows: CellRows, target: str) -> NDArray[np.bool_]:
    """(N,) whether the image has a class to explain: an unpaired one has no class predicted on a clean image."""
    found: NDArray[np.bool_] = rows[f"{target}.has_map"] & (rows[f"{target}.target_class"] != -1)
    return found


def area(rows: CellRows, target: str) -> Real:
    """(N,) share of the image that is object; else, if missing, that of the clean image."""
    name, of_clean = f"{target}.mask_area", "images.mask_area"
    if name not in rows or of_clean not in rows:
        areas = rows[name if name in rows else of_clean]
    else:
        areas = np.where(np.isnan(rows[name]), rows[of_clean], rows[name])
    return np.where(has_class(rows, target), areas, np.float32(np.nan))


def on_object(rows: CellRows, target: str, column: str) -> Real:
    """(N,) a column of maps, of images with an object in their mask."""
    has_object = has_class(rows, target) & ~np.isnan(rows[f"{target}.mask_share"])
    return np.where(has_object, rows[f"{target}.{column}"], np.float32(np.nan))


def _even_share(rows: CellRows, target: str) -> Real:
    return np.where(np.isnan(on_object(rows, target, "mask_share")), np.float32(np.nan), area(rows, target))


def _over_even(rows: CellRows, target: str) -> Floats:
    return on_object(rows, target, "mask_share").astype(np.float64) - area(rows, target)


def _over_null(rows: CellRows, target: str) -> Floats:
    return on_object(rows, target, "mask_share").astype(np.float64) - on_object(rows, target, "null_mask_share")


def _hits(rows: CellRows, target: str) -> Real:
    return on_object(rows, target, "pointing_hit")


def _null_hits(rows: CellRows, target: str) -> Real:
    return on_object(rows, target, "null_pointing_hit")


def _hits_over_null(rows: CellRows, target: str) -> Real:
    return _hits(rows, target) - _null_hits(rows, target)


def _empty(rows: CellRows, target: str) -> Floats:
    return np.where(has_class(rows, target), rows[f"{target}.empty"], np.nan)


def _mass(rows: CellRows, target: str) -> Real:
    return np.where(has_class(rows, target), rows[f"{target}.mass"], np.float32(np.nan))


def _column(name: str) -> OfTarget:
    """A column of the maps that are not empty."""

    def values(rows: CellRows, target: str) -> Real:
        return np.where(shown(rows, target), rows[f"{target}.{name}"], np.float32(np.nan))

    return values


_NULL, _NULL_CLASS = "clean map of another image", "clean map of another image of the class"
_ZHANG = "Zhang et al. 2018, pointing game"
_MASKS = ("mask_share", "mask_area", "null_mask_share", "pointing_hit", "null_pointing_hit")
_AREAS = (*_MASKS, "images.mask_area")
_ABOVE: dict[str, Any] = {"range": (-1.0, 1.0), "higher_is_better": True, "interval": CONTINUOUS}
_HIGHER: dict[str, Any] = {"higher_is_better": True}
_OF_MAPS: tuple[tuple[str, str, str, str, tuple[str, ...], dict[str, Any], OfTarget], ...] = (
    ("empty_share", "share of empty maps", "Of images with a class to explain, those whose map is zero", "", (), _RATE,
     _empty),
    ("mean_mass", "mass of the map", "Mean over maps, empty ones too, of the sum of the map", "", ("mass",),
     _WIDTHS | {"unit": "logits", "range": UNBOUNDED}, _mass),
    ("mean_spread", "spread of attention", "Mean over maps of the root mean square distance from the centroid", "",
     ("spread",), _WIDTHS, _column("spread")),
    ("mean_attention_entropy_nats", "entropy of attention", "Mean over maps of -Σ m ln m of the map as a distribution",
     "", ("attention_entropy_nats",), _WIDTHS | {"unit": "nats", "range": POSITIVE}, _column("attention_entropy_nats")),
    ("mean_centroid_shift", "attention drift", "Mean over maps of the distance of the centroid from the clean map's",
     "", ("centroid_shift",), _WIDTHS, _column("centroid_shift")),
    ("null_class_mean_centroid_shift", "null of attention drift",
     f"Mean over maps of the distance of the centroid from that of the {_NULL_CLASS}", "",
     ("null_class_centroid_shift",), _WIDTHS, _column("null_class_centroid_shift")),
    ("median_centroid_shift", "median attention drift", "Median over maps of the distance of the centroid from the "
     "clean map's", "", ("centroid_shift",), _MEDIAN, _column("centroid_shift")),
    ("null_median_centroid_shift", f"median distance from the {_NULL}", f"Median over maps of the distance from the "
     f"{_NULL}", "", ("null_centroid_shift",), _MEDIAN, _column("null_centroid_shift")),
    ("null_q025_centroid_shift", f"2.5% quantile of the distance from the {_NULL}", "2.5% quantile over maps", "",
     ("null_centroid_shift",), _quantile(0.025), _column("null_centroid_shift")),
    ("null_q975_centroid_shift", f"97.5% quantile of the distance from the {_NULL}", "97.5% quantile over maps", "",
     ("null_centroid_shift",), _quantile(0.975), _column("null_centroid_shift")),
    ("mean_cosine", "cosine to the clean map", "Mean over maps of the cosine similarity to the clean map", "",
     ("cosine",), _SHARE, _column("cosine")),
    ("null_mean_cosine", "null of the cosine", f"Mean over maps of the cosine similarity to the {_NULL}", "",
     ("null_cosine",), _SHARE, _column("null_cosine")),
    ("null_class_mean_cosine", "null of the cosine, within the class",
     f"Mean over maps of the cosine similarity to the {_NULL_CLASS}", "", ("null_class_cosine",), _SHARE,
     _column("null_class_cosine")),
    ("mean_mask_share", "share of attention on the object", "Mean over maps of the share of their mass in the mask", "",
     ("mask_share",), _HIGHER | {"interval": CONTINUOUS}, _column("mask_share")),
    ("null_mean_mask_share", "null of the share on the object", "Mean over maps of the share in the mask of another "
     "image's map, of the same cell", "", ("null_mask_share",), _SHARE, _column("null_mask_share")),
    ("mean_mask_area", "share of the image that is object", "Mean of the mask's share of the image", "", _AREAS, _SHARE,
     area),
    ("even_mask_share", "share of an even map on the object", "Mean of the mask's share of the image, over images with "
     "a map and an object", "", _AREAS, _SHARE, _even_share),
    ("mean_over_even", "share of attention on the object above an even map's", "Mean of the share in the mask - the "
     "mask's share of the image", "", _AREAS, _ABOVE, _over_even),
    ("mean_over_null", "share of attention on the object above its null", "Mean of the share in the mask - that of "
     "another image's map", "", _MASKS, _ABOVE, _over_null),
    ("pointing_accuracy", "pointing game", "Share of maps whose maximum lies in the mask", _ZHANG, _MASKS, _HIGHER,
     _hits),
    ("null_pointing_accuracy", "null of the pointing game", "Share of other images' maps whose maximum lies in this "
     "image's mask", _ZHANG, _MASKS, _RATE, _null_hits),
    ("pointing_over_null", "pointing game above its null", "Mean of [own map hits] - [another image's map hits]",
     _ZHANG, _MASKS, _ABOVE | {"interval": Interval()}, _hits_over_null),
)  # fmt: skip


def _define_of_target(target: str) -> None:
    """Define all of them for the map of one class, under their own names."""
    explained = "class predicted here" if SUFFIXES[target] else "class predicted when clean"
    for name, title, formula, source, columns, options, function in _OF_MAPS:
        own = [column if "." in column else f"{target}.{column}" for column in columns]
        define(
            f"{title} ({explained})", formula=formula, source=source, name=name + SUFFIXES[target],
            columns=(f"{target}.has_map", f"{target}.target_class", f"{target}.empty", *own), **options,
        )(_bound(function, target))  # fmt: skip


def _bound(function: OfTarget, target: str) -> Callable[[CellRows], Real | Floats]:
    def of_target(rows: CellRows) -> Real | Floats:
        return function(rows, target)

    return of_target


for _target in reversed(TARGETS):
    _define_of_target(_target)

_DRIFT = ("clean.has_map", "clean.centroid_shift")
_OUTCOMES = ("label", "predicted", "output")


def _drift(rows: CellRows, column: str, chosen: NDArray[np.bool_]) -> Real:
    if rows.is_clean:
        raise Undefined("clean images have no drift")
    return np.where(chosen & rows["clean.has_map"], rows[f"clean.{column}"], np.float32(np.nan))


@define("median attention drift where correct", columns=(*_OUTCOMES, *_DRIFT), **_MEDIAN)
def correct_median_centroid_shift(rows: CellRows, clean: CellRows) -> Real:
    """Median distance of the centroid from the clean map's, of correct predictions.

    >>> rows = CellRows.of({"correct": [1, 0], "clean.has_map": [True, True], "clean.centroid_shift": [0.25, 0.5]})
    >>> correct_median_centroid_shift(rows, clean=rows).tolist()
    [0.25, nan]
    """
    return _drift(rows, "centroid_shift", rows["correct"])


@define("median attention drift where incorrect", columns=(*_OUTCOMES, *_DRIFT), **_MEDIAN)
def incorrect_median_centroid_shift(rows: CellRows, clean: CellRows) -> Real:
    """Median distance of the centroid from the clean map's, of incorrect predictions.

    >>> rows = CellRows.of({"correct": [1, 0], "clean.has_map": [True, True], "clean.centroid_shift": [0.25, 0.5]})
    >>> incorrect_median_centroid_shift(rows, clean=rows).tolist()
    [nan, 0.5]
    """
    return _drift(rows, "centroid_shift", ~rows["correct"])


@define("cosine to the clean map where correct", columns=(*_OUTCOMES, "clean.has_map", "clean.cosine"), **_SHARE)
def correct_mean_cosine(rows: CellRows, clean: CellRows) -> Real:
    """Mean cosine similarity to the clean map, of correct predictions.

    >>> rows = CellRows.of({"correct": [1, 0], "clean.has_map": [True, True], "clean.cosine": [0.25, 0.5]})
    >>> correct_mean_cosine(rows, clean=rows).tolist()
    [0.25, nan]
    """
    return _drift(rows, "cosine", rows["correct"])


@define("cosine to the clean map where incorrect", columns=(*_OUTCOMES, "clean.has_map", "clean.cosine"), **_SHARE)
def incorrect_mean_cosine(rows: CellRows, clean: CellRows) -> Real:
    """Mean cosine similarity to the clean map, of incorrect predictions.

    >>> rows = CellRows.of({"correct": [1, 0], "clean.has_map": [True, True], "clean.cosine": [0.25, 0.5]})
    >>> incorrect_mean_cosine(rows, clean=rows).tolist()
    [nan, 0.5]
    """
    return _drift(rows, "cosine", ~rows["correct"])


@define("median attention drift where the prediction stays", columns=(*_OUTCOMES, *_DRIFT), **_MEDIAN)
def stayed_median_centroid_shift(rows: CellRows, clean: CellRows) -> Real:
    """Median distance of the centroid from the clean map's, of images with the prediction of the clean one.

    >>> rows = CellRows.of({"output": [0, 1], "clean.has_map": [True, True], "clean.centroid_shift": [0.25, 0.5]})
    >>> stayed_median_centroid_shift(rows, CellRows.of({"output": [0, 0]})).tolist()
    [0.25, nan]
    """
    return _drift(rows, "centroid_shift", rows["output"] == clean["output"])


@define("median attention drift where the prediction changes", columns=(*_OUTCOMES, *_DRIFT), **_MEDIAN)
def changed_median_centroid_shift(rows: CellRows, clean: CellRows) -> Real:
    """Median distance of the centroid from the clean map's, of images whose prediction changes.

    >>> rows = CellRows.of({"output": [0, 1], "clean.has_map": [True, True], "clean.centroid_shift": [0.25, 0.5]})
    >>> changed_median_centroid_shift(rows, CellRows.of({"output": [0, 0]})).tolist()
    [nan, 0.5]
    """
    return _drift(rows, "centroid_shift", rows["output"] != clean["output"])


_NULL_COLUMNS = (*_OUTCOMES, *_DRIFT, "clean.null_class_centroid_shift")


@define(f"median distance from the {_NULL_CLASS}", columns=_NULL_COLUMNS, **_MEDIAN)
def null_class_median_centroid_shift(rows: CellRows, clean: CellRows) -> Real:
    """Median distance of the centroid from that of the clean map of another image of the class.

    >>> shifts = {"clean.centroid_shift": [0.25, 0.5], "clean.null_class_centroid_shift": [0.5, 0.5]}
    >>> rows = CellRows.of({"output": [0, 1], "clean.has_map": [True, True], **shifts})
    >>> null_class_median_centroid_shift(rows, rows).tolist()
    [0.5, 0.5]
    """
    shift = _drift(rows, "centroid_shift", np.ones(len(rows), np.bool_))
    return _drift(rows, "null_class_centroid_shift", ~np.isnan(shift))


@define("consistency of attention", columns=_NULL_COLUMNS, interval=ExactShare(of_all=False))
def attention_consistency(rows: CellRows, clean: CellRows) -> Floats:
    """Share of maps closer to their own clean map than to that of another image of the class; .5 is chance.

    Of images whose prediction stays; ties count half.

    >>> shifts = {"clean.centroid_shift": [0.25, 0.5], "clean.null_class_centroid_shift": [0.5, 0.5]}
    >>> rows = CellRows.of({"output": [0, 1], "clean.has_map": [True, True], **shifts})
    >>> attention_consistency(rows, rows).tolist()  # closer; a tie
    [1.0, 0.5]
    """
    shift = _drift(rows, "centroid_shift", rows["output"] == clean["output"])
    null = rows["clean.null_class_centroid_shift"]
    return np.where(np.isnan(shift) | np.isnan(null), np.nan, (shift < null) + (shift == null) / 2)


def _counted_changes(rows: CellRows, clean: CellRows) -> list[Counted]:
    """Effective numbers of predictions that change, and that stay."""
    changed, known = _changes(rows, clean)
    stay, change = effective_counts(kept_groups(rows.groups, known), changed[known], 2).tolist()
    return [Counted(change, "changed prediction"), Counted(stay, "unchanged prediction")]


def _changes(rows: CellRows, clean: CellRows) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    known = rows["clean.has_map"] & ~np.isnan(rows["clean.centroid_shift"])
    return rows["output"] != clean["output"], known


@define(
    "responsiveness of attention",
    source="Mann & Whitney 1947; interval: Newcombe 2006",
    columns=(*_OUTCOMES, *_DRIFT),
    unit="score",
    interval=NewcombeAuroc(minimum=FEWEST_IN_TAIL, counted=_counted_changes),
)
def attention_responsiveness(rows: CellRows, clean: CellRows) -> Floats:
    """AUROC of attention drift for a changed prediction; .5 is chance.

    >>> rows = CellRows.of({"output": [0, 1], "clean.has_map": [True, True], "clean.centroid_shift": [0.25, 0.5]})
    >>> attention_responsiveness(rows, CellRows.of({"output": [0, 0]})).tolist()  # it drifts more where it changes
    [1.0, 1.0]
    """
    shift = _drift(rows, "centroid_shift", np.ones(len(rows), np.bool_))
    changed, known = _changes(rows, clean)
    positives, count = int(np.count_nonzero(changed & known)), int(np.count_nonzero(known))
    if positives in (0, count):
        raise Undefined("no prediction changes" if not positives else "every prediction changes")
    return auroc_contributions(rank(np.where(known, -shift, np.nan), changed), len(rows))
