"""Which cell each row of a batch belongs to, and which image it is of."""

from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pyarrow as pa

from evaluate.imported.scratch import CellKey
from ingest.corruptions.catalogue import unknown_corruption
from ingest.corruptions.definitions import known_name
from ingest.corruptions.recipes import SEVERITIES
from warehouse.errors import DataError
from warehouse.schema import CLEAN

CLEAN_NAMES = (CLEAN, "clean")
PER_CORRUPTION = 10_000  # codes of a corruption: more than there are thousandths of a severity

Refuse = Callable[[int, str], DataError]  # (place in the batch, what is wrong) → the error to raise


def refuse_first(wrong: np.ndarray, say: Callable[[int], str], refuse: Refuse) -> None:
    """Raise the error of the first row that is wrong (N,), if any is; `say` words it, by place."""
    if wrong.any():
        place = int(wrong.argmax())
        raise refuse(place, say(place))


def whole_numbers(batch: pa.RecordBatch, name: str, refuse: Refuse) -> np.ndarray:
    """A column as (N,) int64.

    Raises:
        DataError: a value is missing or no whole number.
    """
    return _numbers(batch, name, pa.int64(), "a whole number", refuse)


def cells_of(batch: pa.RecordBatch, refuse: Refuse) -> list[tuple[CellKey, np.ndarray]]:
    """Cells of a batch, each with the places of its rows, rising.

    Raises:
        DataError: a corruption is unknown, a severity out of range, or only one of the two says clean.
    """
    names, codes = _corruptions(batch, refuse)
    severities = _numbers(batch, "severity", pa.float64(), "a number", refuse)
    refuse_first(
        ~((severities >= 0) & (severities <= SEVERITIES[-1])),
        lambda place: f"severity {severities[place]:g} is out of range: expected 0 (clean) to {SEVERITIES[-1]}",
        refuse,
    )
    thousandths = np.rint(severities * 1000).astype(np.int64)
    clean = np.array([name == CLEAN for name in names])[codes]
    refuse_first(
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
        (CellKey(names[code // PER_CORRUPTION], Decimal(int(code % PER_CORRUPTION)).scaleb(-3)), places)
        for code, places in zip(found, np.split(order, starts[1:]), strict=True)
    ]


def _corruptions(batch: pa.RecordBatch, refuse: Refuse) -> tuple[list[str], np.ndarray]:
    """Published names, and the place among them of each row's (N,); aliases of one corruption share it."""
    column = batch.column("corruption")
    refuse_first(column.is_null().to_numpy(zero_copy_only=False), lambda _: "no corruption", refuse)
    try:
        given = column.cast(pa.string()).dictionary_encode()
    except pa.ArrowException as error:
        raise refuse(0, f"corruption is a {column.type} column: expected names") from error
    indices = given.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    names = []
    for number, name in enumerate(given.dictionary.to_pylist()):
        known = CLEAN if name in CLEAN_NAMES else known_name(name)
        if known is None:
            raise refuse(int((indices == number).argmax()), unknown_corruption(name))
        names.append(known)
    unlike = sorted(set(names))
    return unlike, np.array([unlike.index(name) for name in names], dtype=np.int64)[indices]


def _numbers(batch: pa.RecordBatch, name: str, kind: pa.DataType, wanted: str, refuse: Refuse) -> np.ndarray:
    column = batch.column(name)
    refuse_first(column.is_null().to_numpy(zero_copy_only=False), lambda _: f"no {name}", refuse)
    try:
        found: np.ndarray = column.cast(kind).to_numpy(zero_copy_only=False)
    except pa.ArrowException as error:
        raise refuse(0, f"{name} is a {column.type} column: expected {wanted} in each row") from error
    return found
