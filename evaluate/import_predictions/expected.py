"""Which cell each row of a batch belongs to, and which image it is of.

What a study expects of a file of predictions: which cells, which images in each, and their labels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pyarrow as pa

from failmodes.evaluate.evaluation import Subset, choose_subset
from failmodes.evaluate.study.study_schema import Study
from failmodes.ingest.corrupted_sets.opening import open_pixel_source
from failmodes.ingest.corruptions.apply import as_severity
from failmodes.ingest.corruptions.catalogue import SEVERITIES, find_corruption_name, unknown_corruption
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.sources import Source
from failmodes.warehouse.errors import DataError, StudyError
from failmodes.warehouse.schema import CLEAN
from failmodes.warehouse.shards.format import CLEAN_CELL, Cell

CLEAN_NAMES = (CLEAN, "clean")

PER_CORRUPTION = 10_000  # codes of a corruption: more than there are thousandths of a severity

RowError = Callable[[int, str], DataError]  # (place in the batch, what is wrong) → the error to raise


def raise_first(wrong: np.ndarray, say: Callable[[int], str], refuse: RowError) -> None:
    """Raise the error of the first row that is wrong (N,), if any is; `say` words it, by place."""
    if wrong.any():
        place = int(wrong.argmax())
        raise refuse(place, say(place))


def whole_numbers(batch: pa.RecordBatch, name: str, refuse: RowError) -> np.ndarray:
    """A column as (N,) int64.

    Raises:
        DataError: a value is missing or no whole number.
    """
    return _numbers(batch, name, pa.int64(), "a whole number", refuse)


def cells_of(batch: pa.RecordBatch, refuse: RowError) -> list[tuple[Cell, np.ndarray]]:
    """Cells of a batch, each with the places of its rows, rising.

    Raises:
        DataError: a corruption is unknown, a severity out of range, or only one of the two says clean.
    """
    names, codes = _corruptions(batch, refuse)
    severities = _numbers(batch, "severity", pa.float64(), "a number", refuse)
    raise_first(
        ~((severities >= 0) & (severities <= SEVERITIES[-1])),
        lambda place: f"severity {severities[place]:g} is out of range: expected 0 (clean) to {SEVERITIES[-1]}",
        refuse,
    )
    thousandths = np.rint(severities * 1000).astype(np.int64)
    clean = np.array([name == CLEAN for name in names])[codes]
    raise_first(
        clean != (thousandths == 0),
        lambda place: (
            f"corruption {names[codes[place]]!r} at severity {severities[place]:g}: "
            f"clean images go by corruption '{CLEAN}' and severity 0, both or neither"
        ),
        refuse,
    )
    combined = codes * PER_CORRUPTION + thousandths
    order = np.argsort(combined, kind="stable")
    found, starts = np.unique(combined[order], return_index=True)
    return [
        (Cell(names[code // PER_CORRUPTION], Decimal(int(code % PER_CORRUPTION)).scaleb(-3)), places)
        for code, places in zip(found, np.split(order, starts[1:]), strict=True)
    ]


def _corruptions(batch: pa.RecordBatch, refuse: RowError) -> tuple[list[str], np.ndarray]:
    """Published names, and the place among them of each row's (N,); aliases of one corruption share it."""
    column = batch.column("corruption")
    raise_first(column.is_null().to_numpy(zero_copy_only=False), lambda _: "no corruption", refuse)
    try:
        given = column.cast(pa.string()).dictionary_encode()
    except pa.ArrowException as error:
        raise refuse(0, f"corruption is a {column.type} column: expected names") from error
    indices = given.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    names = []
    for number, name in enumerate(given.dictionary.to_pylist()):
        known = CLEAN if name in CLEAN_NAMES else find_corruption_name(name)
        if known is None:
            raise refuse(int((indices == number).argmax()), unknown_corruption(name))
        names.append(known)
    unlike = sorted(set(names))
    return unlike, np.array([unlike.index(name) for name in names], dtype=np.int64)[indices]


def _numbers(batch: pa.RecordBatch, name: str, kind: pa.DataType, wanted: str, refuse: RowError) -> np.ndarray:
    column = batch.column(name)
    raise_first(column.is_null().to_numpy(zero_copy_only=False), lambda _: f"no {name}", refuse)
    try:
        found: np.ndarray = column.cast(kind).to_numpy(zero_copy_only=False)
    except pa.ArrowException as error:
        raise refuse(0, f"{name} is a {column.type} column: expected {wanted} in each row") from error
    return found


@dataclass(frozen=True, eq=False)
class ExpectedImages:
    """The images of a cell.

    Attributes:
        ids: (N,) those to be there, rising.
        labels: (M,) labels of all images by number, chosen or not.
        wanted: (M,) whether each is to be there.
    """

    ids: np.ndarray
    labels: np.ndarray
    wanted: np.ndarray


@dataclass(frozen=True, eq=False)
class ExpectedCells:
    """One evaluation's worth of cells, clean first, then in the order of the study."""

    dataset: Dataset
    source: Source
    subset: Subset
    cells: tuple[Cell, ...]
    clean: ExpectedImages
    corrupted: ExpectedImages

    def images(self, cell: Cell) -> ExpectedImages:
        """The images that a cell holds: corrupted ones go by the source's numbers."""
        return self.clean if cell == CLEAN_CELL else self.corrupted


def expected_cells(study: Study, dataset: Dataset, seed: int | None = None) -> ExpectedCells:
    """What the study asks for, under one of its seeds (the first if not given).

    Raises:
        StudyError: it has no such seed.
        DataError: the corrupted set is missing or damaged.
    """
    seeds = study.corruptions.seeds
    if seed is not None and (study.corruptions.published is not None or seed not in seeds):
        known = "a published set has none" if study.corruptions.published else f"it has {', '.join(map(str, seeds))}"
        raise StudyError(f"the study {study.name!r} has no corruption seed {seed}: {known}")
    source = open_pixel_source(study.corruptions, seeds[0] if seed is None else seed, dataset, study.cache)
    subset = choose_subset(dataset, source, source.pairing, study.dataset.images)
    labels = dataset.labels if source.pairing.paired else source.labels(dataset)
    severities = sorted(as_severity(severity) for severity in study.corruptions.severities)
    cells = [Cell(name, severity) for name in study.corruptions.names for severity in severities]
    return ExpectedCells(
        dataset, source, subset, (CLEAN_CELL, *cells),
        _images(subset.clean_ids, dataset.labels), _images(subset.corrupted_ids, labels),
    )  # fmt: skip


def _images(ids: np.ndarray, labels: np.ndarray) -> ExpectedImages:
    wanted = np.zeros(len(labels), bool)
    wanted[ids] = True
    return ExpectedImages(ids.astype(np.int64), labels, wanted)
