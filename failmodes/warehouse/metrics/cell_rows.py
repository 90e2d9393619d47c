"""The rows of one cell as arrays, the input of every metric."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from failmodes.warehouse.metrics.duplicates import Groups, independent_share, kept_groups

Array = NDArray[Any]
T = TypeVar("T")
BINS = 15  # of confidence, equally wide
ATTRIBUTE = "attribute."  # and an attribute of images: a column with the group of each image, -1 without a value
OTHER = -1  # in place of null: no class of the dataset, or no output
ALWAYS = ("predicted", "confidence")  # always stored: null throughout if no logits of a cell are finite
CERTAINTY = {  # of each score: the column, and its sign such that larger is more certain
    "confidence": ("confidence", 1),
    "margin": ("margin", 1),
    "entropy": ("entropy_nats", -1),
    "energy": ("log_sum_exp", 1),  # energy is minus this
    "logit_gap": ("logit_gap", 1),
    "attention_spread": ("predicted.spread", -1),
    "attention_drift": ("clean.centroid_shift", -1),
}
_TYPES = {  # of columns that are not float32
    "image_id": np.int32, "label": np.int16, "predicted": np.int16, "label_rank": np.int16,
    "predicted_output": np.int32, "output": np.int32, "finite": np.bool_, "logit_classes": np.bool_,
    "has_map": np.bool_, "empty": np.bool_, "target_class": np.int16, "correct": np.bool_,
}  # fmt: skip
SCORES = tuple(CERTAINTY)
OF_ATTENTION = tuple(score for score, (column, _) in CERTAINTY.items() if "." in column)
OF_LOGITS = tuple(score for score in SCORES if score not in OF_ATTENTION)


class Undefined(Exception):
    """A metric that is not defined in a cell, with the reason."""


class NotStored(Undefined):
    """A column that is missing in the results, or null throughout."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not stored")


class CellRows:
    """Columns of the images of one cell, (N,) each, by ascending image_id.

    `rows["confidence"]` is a column of `prediction_facts`; `rows["clean.centroid_shift"]` one of `attention` for the
    map of the class predicted on the clean image, `rows["predicted.spread"]` for that of the class predicted here;
    `rows["images.mask_area"]` one of `images`; `rows["attribute.camera"]` numbers the groups of images by it.
    Missing numbers are NaN, missing classes -1. Beside the columns there are `correct` (bool), `output` (the prediction
    among all outputs of the model) and `logit_gap`.

    Args:
        corruption: of the cell; 'none' for clean images.
        severity: of the cell.
        count: N.
        read: returns a column by name, or raises `NotStored`.
        given: columns that are known.
        groups: returns the groups of duplicates among the images (see `duplicates`); default: all are distinct.
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
        self.corruption: str = corruption
        self.severity: float = severity
        self.count: int = count
        self._read, self._groups = read, groups
        self._columns: dict[str, Array] = dict(given or {})
        self._derived: dict[Any, Any] = {}

    @classmethod
    def of(cls, columns: Mapping[str, ArrayLike], severity: float = 1.0, corruption: str = "fog") -> "CellRows":
        """Rows of these columns alone, in the types of the results, as for an example.

        >>> CellRows.of({"label": [3, 3], "predicted": [3, 5]})["correct"].tolist()
        [True, False]
        """
        typed: dict[str, Array] = {
            name: np.asarray(values, _TYPES.get(name.rpartition(".")[2], np.float32))
            for name, values in columns.items()
        }

        def read(name: str) -> Array:
            raise NotStored(name)

        return cls(corruption if severity else "none", severity, len(next(iter(typed.values()))), read, typed)

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
        except NotStored:
            return False
        return True

    @property
    def is_clean(self) -> bool:
        """Whether these are the clean images."""
        return self.severity == 0

    @property
    def groups(self) -> Groups | None:
        """(N,) number of the group of duplicates of each image; None if all are distinct."""
        return self.once("groups", lambda: None if self._groups is None else self._groups())

    @property
    def originals(self) -> Array:
        """(N,) image_id of the first image of the same pixels, so that a split of images keeps copies together."""
        ids: Array = self["image_id"]
        return ids if self.groups is None else ids[np.unique(self.groups, return_index=True)[1]][self.groups]

    def independent_share(self, chosen: NDArray[np.bool_] | None = None) -> float:
        """Kish's effective number of images as a share of them; optionally of those `chosen`, (N,) bool."""
        return 1.0 if self.groups is None else independent_share(kept_groups(self.groups, chosen))

    def once(self, key: object, compute: Callable[[], T]) -> T:
        """A value that several metrics of the cell need, computed once."""
        if key not in self._derived:
            self._derived[key] = compute()
        found: T = self._derived[key]
        return found

    def taken(self, places: NDArray[np.intp]) -> "CellRows":
        """Some of the images, in the order given; an image may be taken several times."""
        groups = None if self._groups is None else lambda: kept_groups(self.groups, places)
        return CellRows(self.corruption, self.severity, len(places), lambda name: self[name][places], groups=groups)

    def certainty(self, score: str) -> Array:
        """(N,) certainty of each prediction by a score; NaN for images that take no part.

        It is -inf if logits are not finite, or if a map lacks a value that others of the cell have.
        """
        return self.once(("certainty", score), lambda: _certainty(self, score))


class ComparedCell(NamedTuple):
    """A cell with the cells it is compared with.

    Attributes:
        rows: its images.
        clean: the same images when clean; None if they do not pair.
        curve: the same images from clean up to this severity, the last of them `rows`; None if they do not pair.
        reference: all clean images of the evaluation, which need not be the same ones; None without a clean cell.
        thresholds: stored threshold by score, in the unit of its column (see `abstention`).
    """

    rows: CellRows
    clean: CellRows | None = None
    curve: tuple[CellRows, ...] | None = None
    reference: CellRows | None = None
    thresholds: Mapping[str, float] = MappingProxyType({})

    def taken(self, places: NDArray[np.intp]) -> "ComparedCell":
        """The cell with some of the images."""
        rows = self.rows.taken(places)
        if self.curve is None:
            return self._replace(rows=rows)
        curve = (*(one.taken(places) for one in self.curve[:-1]), rows)
        return self._replace(rows=rows, clean=curve[0], curve=curve)


def paired_cell(curve: Sequence[CellRows]) -> ComparedCell:
    """A cell of paired images: those in all cells of its curve, from clean on."""
    ids = [one["image_id"] for one in curve]
    if all(own is ids[0] or np.array_equal(own, ids[0]) for own in ids):
        return ComparedCell(curve[-1], curve[0], tuple(curve), curve[0])
    common = ids[0]
    for own in ids[1:]:
        common = np.intersect1d(common, own)
    kept = tuple(one.taken(np.searchsorted(own, np.unique(common))) for one, own in zip(curve, ids, strict=True))
    return ComparedCell(kept[-1], kept[0], kept, curve[0])


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
    """(N,) largest minus second largest logit; NaN if fewer than two are stored."""
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
    if column in rows and not (score == "attention_drift" and rows.is_clean):  # no drift on clean images
        values = sign * rows[column]
    is_lacking = bool(np.isnan(values).all())
    if score in OF_LOGITS and is_lacking and rows["finite"].any():  # predictions of a table without this score
        return values
    if score in OF_LOGITS:
        certainty = np.where(rows["finite"] | ~np.isnan(values), values, np.float32(-np.inf))
    elif is_lacking:
        return values
    else:
        target = column.partition(".")[0]
        certainty = np.where(rows[f"{target}.has_map"] & np.isnan(values), np.float32(-np.inf), values)
    return np.where(np.isinf(certainty), np.float32(-np.inf), certainty)


def column_of(rows: pa.Table, name: str) -> NDArray[Any]:
    """A column as an array: of flags and whole numbers (null: -1), else float32 (null: NaN); lists as (N, K).

    Images without a map have none that is empty.

    Raises:
        NotStored: the column is missing, or null throughout and not in ALWAYS.
    """
    if name not in rows.column_names:
        raise NotStored(name)
    if rows.num_rows and rows[name].null_count == rows.num_rows and name not in ALWAYS:
        raise NotStored(name)
    column = rows[name].combine_chunks()
    if pa.types.is_list(column.type):
        return _matrix(column)
    if pa.types.is_integer(column.type):
        whole = column.fill_null(OTHER) if column.null_count else column
        return np.asarray(whole.to_numpy(zero_copy_only=False))
    if name.endswith((".has_map", ".empty")):
        column = column.fill_null(False)
    if pa.types.is_boolean(column.type) and not column.null_count:
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.bool_)
    if pa.types.is_boolean(column.type):  # Arrow would convert them to objects
        column = column.cast(pa.float32())
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float32)


def _matrix(column: Any) -> NDArray[np.float32]:
    """(N, K) a column of lists of numbers; NaN beyond the end of shorter ones."""
    lengths = np.asarray(column.value_lengths().fill_null(0), np.int64)
    values = np.asarray(column.flatten(), np.float32)
    width = int(lengths.max(initial=0))
    if len(values) == width * len(lengths):
        return values.reshape(len(lengths), width)
    found = np.full((len(lengths), width), np.nan, np.float32)
    found[np.arange(width) < lengths[:, None]] = values
    return found


def bins_of(confidence: NDArray[np.float64], count: int = BINS) -> NDArray[np.int64]:
    """(N,) bin of each confidence, [low, high), 1.0 in the last; values out of range are in the nearest."""
    return np.clip(np.floor(confidence * count), 0, count - 1).astype(np.int64)


def hash_of_ids(image_ids: NDArray[np.int32]) -> str:
    """The hash of image_ids in cell_predictions: MD5 of their decimal digits, separated by commas."""
    digits = ",".join(map(str, image_ids.tolist()))
    return hashlib.md5(digits.encode(), usedforsecurity=False).hexdigest()


def pattern_of(correct: NDArray[np.bool_]) -> str:
    """(N,) as text: 1 correct, 0 incorrect."""
    return (correct.astype(np.uint8) + ord("0")).tobytes().decode("ascii")


def decode_pattern(pattern: str) -> NDArray[np.bool_]:
    """The flags of a text of `pattern_of`."""
    found: NDArray[np.bool_] = np.frombuffer(pattern.encode("ascii"), np.uint8) == ord("1")
    return found
