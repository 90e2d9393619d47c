"""The rows of one cell as arrays: what every metric is a function of."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.warehouse.metrics.columns import OTHER, NotOnRecord
from failmodes.warehouse.metrics.duplicates import Groups, independent_share, kept_groups

Array = NDArray[Any]
CERTAINTY = {  # of each score: the column, and its sign where larger is more certain
    "confidence": ("confidence", 1),
    "margin": ("margin", 1),
    "entropy": ("entropy_nats", -1),
    "energy": ("log_sum_exp", 1),  # energy is minus this
    "logit_gap": ("logit_gap", 1),
    "attention_spread": ("predicted.spread", -1),
    "attention_drift": ("clean.centroid_shift", -1),
}
OF_LOGITS = ("confidence", "margin", "entropy", "energy", "logit_gap")
OF_ATTENTION = ("attention_spread", "attention_drift")
SCORES = (*OF_LOGITS, *OF_ATTENTION)


class CellRows:
    """Columns of the images of one cell, (N,) each, by rising image_id.

    `rows["confidence"]` is a column of `prediction_facts`; `rows["clean.centroid_shift"]` one of `attention` for the
    map of the class predicted on the clean image, `rows["predicted.spread"]` for that of the class predicted here;
    `rows["images.mask_area"]` one of `images`. Missing numbers are NaN, missing classes -1. Beside the columns there
    are `correct` (bool), `output` (the prediction among all outputs of the model) and `logit_gap`.

    Args:
        corruption: of the cell; 'none' for clean images.
        severity: of the cell.
        count: N.
        read: gives a column by name; `NotOnRecord` where there is none.
        given: columns that are at hand.
        groups: gives the groups of duplicates among the images (see `duplicates`); all are distinct if not given.
    """

    def __init__(
        self,
        corruption: str,
        severity: float,
        count: int,
        read: Callable[[str], Array],
        given: Mapping[str, Array] | None = None,
        groups: Callable[[], Groups | None] | None = None,
    ) -> None:
        self.corruption, self.severity, self.count = corruption, severity, count
        self._read, self._groups = read, groups
        self._columns: dict[str, Array] = dict(given or {})
        self._derived: dict[Any, Any] = {}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, name: str) -> Array:
        if name not in self._columns:
            found = _DERIVED[name](self) if name in _DERIVED else self._read(name)
            self._columns[name] = found
        return self._columns[name]

    def __contains__(self, name: str) -> bool:
        try:
            self[name]
        except NotOnRecord:
            return False
        return True

    @property
    def is_clean(self) -> bool:
        """Whether these are the clean images."""
        return self.severity == 0

    @property
    def groups(self) -> Groups | None:
        """(N,) number of the group of duplicates of each image; None where all are distinct."""
        found: Groups | None = self.once("groups", lambda: None if self._groups is None else self._groups())
        return found

    def independent_share(self, chosen: NDArray[np.bool_] | None = None) -> float:
        """Kish's effective number of images as a share of them; of those `chosen`, (N,) bool, where given."""
        return 1.0 if self.groups is None else independent_share(kept_groups(self.groups, chosen))

    def once(self, key: object, compute: Callable[[], Any]) -> Any:
        """What several metrics of the cell need, computed once."""
        if key not in self._derived:
            self._derived[key] = compute()
        return self._derived[key]

    def taken(self, places: NDArray[np.intp]) -> "CellRows":
        """Some of the images, in the order given; an image may be taken several times."""
        groups = None if self._groups is None else lambda: kept_groups(self.groups, places)
        return CellRows(self.corruption, self.severity, len(places), lambda name: self[name][places], groups=groups)

    def certainty(self, score: str) -> Array:
        """(N,) how certain the model is of each prediction by a score; NaN of images that take no part.

        Where logits are not finite, and where a map has no such value but others of the cell have, the model counts as
        uncertain (-inf).
        """
        found: Array = self.once(("certainty", score), lambda: _certainty(self, score))
        return found


class Cell(NamedTuple):
    """A cell with those that it is compared with.

    Attributes:
        rows: its images.
        clean: the same images when clean; None where they do not pair.
        curve: the same images from clean up to this severity, the last of them `rows`; None where they do not pair.
        reference: all clean images of the evaluation, which need not be the same ones; None without a clean cell.
    """

    rows: CellRows
    clean: CellRows | None = None
    curve: tuple[CellRows, ...] | None = None
    reference: CellRows | None = None

    def taken(self, places: NDArray[np.intp]) -> "Cell":
        """The same of some of the images."""
        rows = self.rows.taken(places)
        if self.curve is None:
            return Cell(rows, reference=self.reference)
        curve = (*(one.taken(places) for one in self.curve[:-1]), rows)
        return Cell(rows, curve[0], curve, self.reference)


def paired_cell(curve: Sequence[CellRows]) -> Cell:
    """A cell of paired images: those that all cells of its curve, from clean on, have."""
    ids = [one["image_id"] for one in curve]
    if all(own is ids[0] or np.array_equal(own, ids[0]) for own in ids):
        return Cell(curve[-1], curve[0], tuple(curve), curve[0])
    common = ids[0]
    for own in ids[1:]:
        common = np.intersect1d(common, own)
    kept = tuple(one.taken(np.searchsorted(own, np.unique(common))) for one, own in zip(curve, ids, strict=True))
    return Cell(kept[-1], kept[0], kept, curve[0])


def _correct(rows: CellRows) -> NDArray[np.bool_]:
    predicted, label = rows["predicted"], rows["label"]
    found: NDArray[np.bool_] = (predicted == label) & (predicted != OTHER)
    return found


def _output(rows: CellRows) -> Array:
    predicted = rows["predicted"].astype(np.int32)
    if "predicted_output" not in rows:
        return predicted
    outputs = rows["predicted_output"]
    return np.where(outputs == OTHER, predicted, outputs)


def _logit_gap(rows: CellRows) -> Array:
    """(N,) largest minus second largest logit; NaN where fewer than two are on record."""
    logits = rows["logits"]
    if logits.shape[1] < 2:
        return np.full(len(rows), np.nan, np.float32)
    two = np.partition(np.where(np.isnan(logits), np.float32(-np.inf), logits), -2, axis=1)[:, -2:]
    has_two = rows["finite"] & (two[:, 0] > -np.inf)
    return np.where(has_two, two[:, 1] - np.where(has_two, two[:, 0], 0), np.float32(np.nan))


_DERIVED: dict[str, Callable[[CellRows], Array]] = {"correct": _correct, "output": _output, "logit_gap": _logit_gap}


def _certainty(rows: CellRows, score: str) -> Array:
    column, sign = CERTAINTY[score]
    values = np.full(len(rows), np.nan, np.float32)
    if column in rows and not (score == "attention_drift" and rows.is_clean):  # nothing has drifted from itself
        values = sign * rows[column]
    if score in OF_LOGITS:
        certainty = np.where(rows["finite"] | ~np.isnan(values), values, np.float32(-np.inf))
    elif np.isnan(values).all():
        return values
    else:
        target = column.partition(".")[0]
        certainty = np.where(rows[f"{target}.has_map"] & np.isnan(values), np.float32(-np.inf), values)
    return np.where(np.isinf(certainty), np.float32(-np.inf), certainty)
