"""Read and check a predictions file, Parquet or CSV: columns, each row, and completeness.

It is read in batches, so that a refused file is never in memory as a whole.
"""

import gzip
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet as pq
import torch

from failmodes.evaluate.evaluation_data import EvaluationData
from failmodes.evaluate.models.outputs import FLOOR, SUM_TOLERANCE, are_probabilities, fill_zeros, log_probabilities
from failmodes.evaluate.study.study_schema import OutputKind
from failmodes.ingest.corruptions.catalog import find_corruption_name, unknown_corruption
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.study_types import first_duplicate
from failmodes.runtime.errors import DataError, StudyError, did_you_mean, listed
from failmodes.runtime.storage.files import check_regular, make_folder, parsing_errors, storage_errors
from failmodes.warehouse.schema import CLEAN
from failmodes.warehouse.shards.format import Cell

pc: Any = pyarrow.compute  # its functions are generated on import, so type checkers do not know them

ProgressCallback = Callable[[str, int, int | None], None]  # ("rows" or "cells", how many are done, of how many)
PARQUET_SUFFIXES, CSV_SUFFIXES = (".parquet", ".pq"), (".csv", ".csv.gz")
KEYS, LABEL, FILE = ("image_id", "corruption", "severity"), "label", "file"
COLUMN_PREFIXES: dict[OutputKind, str] = {"logits": "logit_", "probabilities": "probability_"}
EXPECTED = (
    "expected image_id (or file), corruption, severity (columns separated by commas in CSV), and either a list column "
    "'logits' or 'probabilities' (Parquet) or one column per class: logit_0, logit_1 … or probability_0 …, or with "
    "class names after the underscore; the predicted class alone is not enough"
)
TOLERANCE_IF_ROUNDED = 0.2  # for a sum of rounded probabilities
MAX_DECIMALS = 6  # for detecting rounded probabilities; float32 has seven digits
NAMED = 5  # cells or images listed in a message
COMPARED_NAMES = 2000  # column names searched for a hint

MAX_CELLS = 2000  # limit for cells in a file that are not in the study
BATCH_VALUES = 1 << 21  # logits per batch: 16 MiB in double precision
CSV_BLOCK_BYTES = 1 << 22
READ_BUFFER_BYTES = 1 << 20
MAX_TEXT_BYTES = 1000  # for the name of a corruption or class, or a number as text
MAX_COLUMNS = 100_000  # four per class of ImageNet-21k; Arrow takes a second for these


class PredictionColumns(NamedTuple):
    """The columns to read.

    Attributes:
        keys: image_id (or file if missing), corruption, severity, and label if present.
        kind: kind of the values.
        values: the list column of that name, or one column per class in the dataset's order.
    """

    keys: tuple[str, ...]
    kind: OutputKind
    values: tuple[str, ...]


class Predictions(NamedTuple):
    """Checked predictions: one row per cell and image of a study.

    Attributes:
        kind: kind of the values.
        row_count: number of rows of the file, including rows not in the study.
        rows: ordered by cell and image: cell (its index in the study), image, finite, and stored, the row of its
            logits.
        logits: (N, C) float32; log p for probabilities, −inf for 0.
        decimals: number of decimals of rounded probabilities, 0 if all are 0 or 1; None for more than MAX_DECIMALS,
            and for logits.
    """

    kind: OutputKind
    row_count: int
    rows: pl.DataFrame
    logits: np.ndarray
    decimals: int | None

    @property
    def half_step(self) -> float | None:
        """Half the rounding step of probabilities; None if they are not rounded, or are all 0 or 1."""
        return 0.5 / 10**self.decimals if self.decimals else None

    def of_cell(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Images (N,) int64 of a cell in ascending order, and their logits (N, C) float32.

        Probabilities of 0 are replaced by FLOOR. If probabilities are rounded, those of a row share half a step
        instead, so that no other probability changes by more.
        """
        rows = self.rows.filter(pl.col("cell") == number)
        logits = torch.from_numpy(self.logits[rows["stored"].to_numpy()])
        if self.kind == "probabilities":
            zeros = (logits == -math.inf).sum(1, keepdim=True).clamp(min=1)
            floor = torch.full(zeros.shape, FLOOR) if self.half_step is None else self.half_step / zeros
            logits = fill_zeros(logits, floor.log())
        return rows["image"].to_numpy(), logits.numpy()


def read_predictions(
    path: Path,
    data: EvaluationData,
    cells: Sequence[Cell],
    scratch: Path,
    on_progress: ProgressCallback,
    *,
    only_study: bool,
    renormalize: bool,
) -> Predictions:
    """Read a file once, check each row, then its completeness.

    Args:
        path: the file; its suffix determines the format.
        data: images of the study.
        cells: cells of the study, clean first.
        scratch: folder for an anonymous file of logits, which disappears with the process.
        on_progress: called with the number of rows read.
        only_study: ignore images and cells that are not in the study, instead of refusing them.
        renormalize: accept rounded probabilities, which sum to 1 only approximately.

    Raises:
        StudyError: the file does not exist, or has another suffix.
        DataError: the file is damaged, a column is missing, or a row (numbered from 1), cell or image is invalid.
        StorageError: the file cannot be read, or the folder cannot be written.
    """
    dataset = data.dataset
    columns, batches = _open(path, dataset.class_names)
    numbers = _numbers_of_files(path, dataset) if FILE in columns.keys else None
    images, study_cells = _expected(data, cells)
    asked = study_cells.join(images, on="clean").select("cell", "image")
    facts = _check_facts(data, TOLERANCE_IF_ROUNDED if renormalize else SUM_TOLERANCE)
    parts: list[pl.DataFrame] = []
    value_format = _ValueFormat()
    row_count = 0
    with storage_errors(scratch), tempfile.TemporaryFile(dir=make_folder(scratch)) as file:
        for keys, values in batches:
            logits, statistics = _logits(values, columns.kind)
            rows = _placed(keys, images, study_cells, numbers).with_columns(statistics)
            _check_rows(path, rows, columns.kind, facts, only_study=only_study)
            row_count += len(rows)
            on_progress("rows", row_count, None)
            requested = rows["requested"].to_numpy()
            parts.append(rows.filter("requested").select("cell", "image", "file_row", "finite", "has_zeros"))
            file.write(logits[requested].data)
            value_format.update(values[requested & rows["finite"].to_numpy()])
            if sum(map(len, parts)) > len(asked):
                break  # a duplicate image
            _check_row_count(path, row_count, len(asked), len(dataset.labels))
        if not row_count:
            raise DataError(f"{path} has no rows")
        file.flush()
        placed = pl.concat(parts).with_row_index("stored").sort("cell", "image", "file_row")
        _check_complete(path, placed, asked, cells)
        _check_values(path, placed, columns.kind, value_format)
        stored = np.memmap(file, np.float32, "r", shape=(len(placed), len(dataset.class_names)))
    are_rounded = columns.kind == "probabilities" and value_format.decimals <= MAX_DECIMALS
    return Predictions(columns.kind, row_count, placed, stored, value_format.decimals if are_rounded else None)


@dataclass
class _ValueFormat:
    """What the values of a file have in common, batch by batch.

    Attributes:
        decimals: number of decimals of all values; above MAX_DECIMALS if some have more.
        are_probabilities: whether all rows are in 0 to 1 and sum to 1.
    """

    decimals: int = 0
    are_probabilities: bool = True

    def update(self, values: np.ndarray) -> None:
        """Take in finite values (N, C)."""
        self.are_probabilities = self.are_probabilities and are_probabilities(torch.from_numpy(values))
        while self.decimals <= MAX_DECIMALS and not _are_rounded(values, self.decimals):
            self.decimals += 1


def _check_row_count(path: Path, row_count: int, asked_count: int, image_count: int) -> None:
    """Refuse a file with far more rows than the study has, before it is read to its end."""
    most_rows = asked_count + MAX_CELLS * image_count
    if row_count > most_rows:
        raise DataError(
            f"{path} has more than {most_rows:,} rows, but the study has {asked_count:,}, one per image and cell: "
            "remove the others"
        )


def _check_values(path: Path, rows: pl.DataFrame, kind: OutputKind, value_format: _ValueFormat) -> None:
    """Refuse a file without finite values, or with probabilities in the columns of logits."""
    if not rows["finite"].any():
        raise DataError(f"{path} has no row of finite values, so no prediction is defined")
    if kind == "logits" and value_format.are_probabilities:
        raise DataError(
            f"{path} has probabilities in the columns of logits: each row is in 0 to 1 and sums to 1; name the "
            "columns probability_… (a list: probabilities)"
        )


def _open(
    path: Path, class_names: tuple[str, ...]
) -> tuple[PredictionColumns, Iterator[tuple[pl.DataFrame, np.ndarray]]]:
    """Open a file: its columns, and its rows in batches, see `_converted`."""
    try:
        check_regular(path)
    except FileNotFoundError as error:
        raise StudyError(f"{path} does not exist: expected a predictions file, .parquet or .csv") from error
    name = path.name.lower()
    if not name.endswith(PARQUET_SUFFIXES + CSV_SUFFIXES):
        raise StudyError(f"{path} has an unknown suffix: expected {', '.join(PARQUET_SUFFIXES + CSV_SUFFIXES)}")
    with _readable(path):
        columns, batches = (_open_csv if name.endswith(CSV_SUFFIXES) else _open_parquet)(path, class_names)
    return columns, _converted(path, columns, batches, len(class_names))


def find_columns(path: Path, names: Sequence[str], class_names: tuple[str, ...], *, csv: bool) -> PredictionColumns:
    """Find the columns to read; logits are preferred to probabilities, since they are more exact.

    Args:
        path: the file, for messages.
        names: its columns.
        class_names: classes of the dataset, in order.
        csv: whether it is a CSV file, which cannot contain lists.

    Raises:
        DataError: a column is missing or duplicate, or the values do not match the classes.
    """
    twice = first_duplicate(names)
    if twice is not None:
        raise DataError(f"{path}: duplicate column {twice!r}: remove one")
    wanted = tuple(FILE if key == "image_id" and key not in names and FILE in names else key for key in KEYS)
    for key in wanted:
        if key not in names:
            raise DataError(f"{path}: no column {key!r} ({_hint(key, names)}); {EXPECTED}")
    keys = (*wanted, LABEL) if LABEL in names else wanted
    for kind, prefix in COLUMN_PREFIXES.items():
        if kind in names and not csv:
            return PredictionColumns(keys, kind, (kind,))
        spread = [name for name in names if name.startswith(prefix)]
        if spread:
            return PredictionColumns(keys, kind, _in_order(path, spread, prefix, class_names))
        if kind in names:
            raise DataError(f"{path}: CSV files have no lists: use one column per class, {prefix}0, {prefix}1 …")
    raise DataError(f"{path}: no logits or probabilities ({_hint('probabilities', names)}); {EXPECTED}")


def _in_order(path: Path, spread: list[str], prefix: str, class_names: tuple[str, ...]) -> tuple[str, ...]:
    """The columns in the order of the classes, by index or by class name."""
    by_index = tuple(f"{prefix}{index}" for index in range(len(class_names)))
    by_name = tuple(f"{prefix}{name}" for name in class_names)
    orders = {order for order in (by_index, by_name) if set(order) == set(spread)}
    if not orders:
        known = by_index if spread[0].removeprefix(prefix).isdigit() else by_name
        foreign = [f"; {name!r} is not a class ({_hint(name, known)})" for name in spread if name not in known]
        raise DataError(
            f"{path} has {len(spread)} columns {prefix}…, but the dataset has {len(class_names)} classes: expected one "
            f"per class{''.join(foreign[:1])}"
        )
    if len(orders) > 1:
        raise DataError(
            f"{path}: {prefix}0 … may be the index or the name of a class (the classes are "
            f"{', '.join(class_names[:3])} …): use a list column in Parquet instead"
        )
    return orders.pop()


def _hint(name: str, known: Sequence[str]) -> str:
    return did_you_mean(name, known[:COMPARED_NAMES], f"expected one of {', '.join(map(repr, known[:8]))}", cutoff=0.5)


def _open_csv(path: Path, class_names: tuple[str, ...]) -> tuple[PredictionColumns, Iterable[pa.RecordBatch]]:
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        header = file.readline(CSV_BLOCK_BYTES)
    if header.count(b",") >= MAX_COLUMNS:
        raise DataError(f"{path} has more than {MAX_COLUMNS:,} columns: expected one per class")
    blocks = pyarrow.csv.ReadOptions(block_size=CSV_BLOCK_BYTES)
    with pyarrow.csv.open_csv(path, blocks) as reader:
        columns = find_columns(path, reader.schema.names, class_names, csv=True)
    types = dict(zip(KEYS, (pa.int64(), pa.string(), pa.float64()), strict=True))
    types |= dict.fromkeys(columns.values, pa.float64())
    options = pyarrow.csv.ConvertOptions(column_types=types, include_columns=[*columns.keys, *columns.values])
    return columns, pyarrow.csv.open_csv(path, read_options=blocks, convert_options=options)


def _open_parquet(path: Path, class_names: tuple[str, ...]) -> tuple[PredictionColumns, Iterable[pa.RecordBatch]]:
    file = pq.ParquetFile(
        path,
        buffer_size=READ_BUFFER_BYTES,
        page_checksum_verification=True,
        thrift_container_size_limit=MAX_COLUMNS,
    )
    columns = find_columns(path, file.schema_arrow.names, class_names, csv=False)
    _check_types(path, columns, file.schema_arrow, len(class_names))
    rows = max(1, BATCH_VALUES // len(class_names))
    return columns, file.iter_batches(rows, columns=[*columns.keys, *columns.values])


def _check_types(path: Path, columns: PredictionColumns, schema: pa.Schema, class_count: int) -> None:
    """Refuse columns of other types than numbers, lists of numbers, or text, before decoding them."""
    for name in (*columns.keys, *columns.values):
        kind = schema.field(name).type
        if name in columns.keys:
            fits, expected = not pa.types.is_nested(kind), "numbers or text"
        elif name == columns.kind:
            is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
            fits, expected = is_list and _is_number(kind.value_type), f"a list of {class_count} numbers"
        else:
            fits, expected = _is_number(kind), "numbers"
        if not fits:
            raise DataError(f"{path} cannot be read as predictions: {name} has type {kind}: expected {expected}")


def _is_number(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal))


def _converted(
    path: Path, columns: PredictionColumns, batches: Iterable[pa.RecordBatch], class_count: int
) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
    """Convert batches to file_row (from 1) with the keys, and logits or probabilities (N, C) float64.

    Keys are integers, float64, text of at most MAX_TEXT_BYTES, or nulls; nulls among the values become NaN.
    """
    first_row = 1
    with _readable(path):
        for batch in batches:
            for name in columns.keys:
                column = batch.column(name)
                texts = column.dictionary if pa.types.is_dictionary(column.type) else column
                if _plain(texts.type) == pa.string():
                    texts.validate(full=True)
                    longest = pc.max(pc.binary_length(texts.cast(pa.string()))).as_py() or 0
                    if longest > MAX_TEXT_BYTES:
                        raise DataError(
                            f"{path}: {name} has a text of {longest:,} bytes: expected at most {MAX_TEXT_BYTES:,}"
                        )
            arrays = [column.cast(_plain(column.type)) for column in batch.columns]
            rows = pl.DataFrame(pa.table(arrays, batch.schema.names)).with_row_index("file_row", first_row)
            yield rows.select("file_row", *columns.keys), _values(path, rows, columns, class_count)
            first_row += batch.num_rows


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type that a column is cast to: integer, null, float64, list of float64, or text."""
    if pa.types.is_nested(kind):
        return pa.list_(pa.float64())
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return pa.float64()
    return kind if pa.types.is_integer(kind) or pa.types.is_null(kind) else pa.string()


def _values(path: Path, rows: pl.DataFrame, columns: PredictionColumns, class_count: int) -> np.ndarray:
    """Values (N, C) float64; nulls and values of null lists become NaN."""
    if columns.kind not in rows.columns:
        return rows.select(pl.col(columns.values).cast(pl.Float64)).to_numpy(order="c")
    lists = pl.col(columns.kind)
    lengths = rows.select("file_row", length=lists.list.len()).filter(pl.col("length") != class_count)
    for row, length in lengths.head(1).iter_rows():
        raise DataError(
            f"{path}, row {row:,}: {length} {columns.kind}, but the dataset has {class_count} classes: expected one "
            "per class"
        )
    filled = rows.select(lists.fill_null([np.nan] * class_count)).to_series()
    return filled.explode().to_numpy().reshape(-1, class_count)


def _readable(path: Path) -> AbstractContextManager[None]:
    return parsing_errors(path, lambda reason: DataError(f"{path} cannot be read as predictions: {reason}"))


def _logits(values: np.ndarray, kind: OutputKind) -> tuple[np.ndarray, pl.DataFrame]:
    """Logits (N, C) float32 of values (N, C) float64: log p for probabilities, −inf for 0.

    A softmax of log p returns p; the constant of the original logits is lost. Rows with non-finite values are kept; a
    logit beyond float32 becomes infinite, hence not finite.

    Returns:
        The logits, and for each row the sum of its values (total), the value farthest from 0.5 (extreme), whether its
        values are finite, and whether it has probabilities of 0 (has_zeros).
    """
    with np.errstate(invalid="ignore", over="ignore"):
        total = values.sum(1)
        extreme = values[np.arange(len(values)), np.abs(values - 0.5).argmax(1)]
        logits = log_probabilities(torch.tensor(values)).numpy() if kind == "probabilities" else values
        logits = logits.astype(np.float32)
    is_zero = np.isneginf(logits) & (kind == "probabilities")
    finite = (np.isfinite(logits) | is_zero).all(1)
    has_zeros = finite & is_zero.any(1)
    return logits, pl.DataFrame({"total": total, "extreme": extreme, "finite": finite, "has_zeros": has_zeros})


def _are_rounded(values: np.ndarray, decimals: int) -> bool:
    """Whether all values are numbers of that many decimals, in double or single precision."""
    rounded = values.round(decimals)
    return bool(((rounded == values) | (rounded.astype(np.float32) == values)).all())


def _expected(data: EvaluationData, cells: Sequence[Cell]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The images of a study, clean and corrupted, with their labels; and its cells by index."""
    class_names = pl.Series(data.dataset.class_names)
    subset = data.subset
    sides = [
        (True, subset.clean_ids, data.dataset.labels[subset.clean_ids]),
        (False, subset.corrupted_ids, subset.corrupted_labels),
    ]
    images = pl.concat(
        pl.DataFrame({"image": ids, "true_label": labels, "class_name": class_names.gather(labels)}).with_columns(
            clean=pl.lit(clean)
        )
        for clean, ids, labels in sides
    )
    study_cells = pl.DataFrame(
        [(number, cell.corruption, int(cell.severity * 1000), cell.is_clean) for number, cell in enumerate(cells)],
        schema=["cell", "name", "thousandths", "clean"],
        orient="row",
    )
    return images, study_cells


def _numbers_of_files(path: Path, dataset: Dataset) -> pl.DataFrame:
    """The image_id of each file of a dataset.

    Raises:
        DataError: the images of the dataset are not files.
    """
    if dataset.files is None:
        raise DataError(
            f"{path} identifies images by file, but those of {dataset.label} are not files: expected image_id, see "
            "`failmodes ingest --images images.csv`"
        )
    return pl.DataFrame({FILE: dataset.files}, {FILE: pl.String}).with_row_index("image_id")


def _placed(
    keys: pl.DataFrame, images: pl.DataFrame, cells: pl.DataFrame, numbers: pl.DataFrame | None
) -> pl.DataFrame:
    """Join rows, in order, with the cells and images of the study.

    `number` and `level` are null if a value is not a number, `name` if a corruption is unknown, `cell` if the study has
    no such cell. `numbers` has the image_id of each file, if rows have files.
    """
    if numbers is not None:
        named = keys.with_columns(pl.col(FILE).cast(pl.String))
        keys = named.join(numbers, on=FILE, how="left", maintain_order="left")
    keys = keys.with_columns(
        pl.col("corruption").cast(pl.String),
        number=pl.col("image_id").cast(pl.Float64, strict=False),
        level=pl.col("severity").cast(pl.Float64, strict=False),
    ).with_columns(
        image=pl.col("number").cast(pl.Int64, strict=False),
        thousandths=(pl.col("level") * 1000).round().cast(pl.Int64, strict=False),
    )
    corruptions = keys["corruption"].unique().drop_nulls()
    known = [CLEAN if name in (CLEAN, "clean") else find_corruption_name(name) for name in corruptions]
    names = pl.DataFrame({"corruption": corruptions, "name": pl.Series(known, dtype=pl.String)})
    return (
        keys.join(names, on="corruption", how="left", maintain_order="left")
        .join(cells, on=["name", "thousandths"], how="left", maintain_order="left")
        .join(images, on=["clean", "image"], how="left", maintain_order="left")
        .with_columns(requested=pl.col("true_label").is_not_null())
    )


Check = tuple[pl.Expr, str]  # which rows are invalid, and the message about one of them


def _check_facts(data: EvaluationData, tolerance: float) -> dict[str, Any]:
    """Facts about the study and the file that checks and messages use beside the columns of a row."""
    subset = data.subset
    return {
        "images": len(subset.clean_ids),
        "subset": subset.description,
        "last_image": max(len(data.dataset.labels) - 1, *subset.corrupted_ids[-1:]),
        "tolerance": tolerance,
    }


def _check_rows(path: Path, rows: pl.DataFrame, kind: OutputKind, facts: dict[str, Any], *, only_study: bool) -> None:
    """Refuse the first invalid row; each check assumes that the earlier ones passed.

    Args:
        path: the file.
        rows: from `_placed`, with the statistics of `_logits`.
        kind: kind of the values.
        facts: from `_check_facts`.
        only_study: allow rows that are not in the study.
    """
    checks = _key_checks(rows, facts["last_image"])
    if not only_study:
        checks += STUDY_CHECKS
    if LABEL in rows.columns:
        checks += _label_checks(rows)
    if kind == "probabilities":
        checks += _probability_checks(facts["tolerance"])
    for invalid, message in checks:
        for row in rows.filter(invalid).head(1).iter_rows(named=True):
            reason = message.format(**row, **facts, unknown=unknown_corruption(row["corruption"]))
            raise DataError(f"{path}, row {row['file_row']:,}: {reason}")


def _key_checks(rows: pl.DataFrame, last_image: int) -> list[Check]:
    """Checks that image, corruption and severity are given, known and in their ranges."""
    no_image = (
        "file {file!r} is not in the dataset: expected its path within the folder, see `failmodes ingest "
        "--images images.csv`"
    )
    return [
        (pl.col("image_id").is_null(), no_image if FILE in rows.columns else "no image_id"),
        (~(pl.col("image") == pl.col("number")).fill_null(False), "image_id {image_id!r}: expected an integer"),
        (pl.col("corruption").is_null(), "no corruption"),
        (pl.col("name").is_null(), "{unknown}"),
        (pl.col("severity").is_null(), "no severity"),
        (pl.col("level").is_null(), "severity {severity!r}: expected a number"),
        (~pl.col("level").is_between(0, 5), "severity {level:g} is out of range: expected 0 (clean) to 5"),
        (
            (pl.col("name") == CLEAN) != (pl.col("thousandths") == 0),
            "corruption {name!r} at severity {level:g}: clean images have corruption 'none' and severity 0, both or "
            "neither",
        ),
        (
            ~pl.col("image").is_between(0, last_image),
            "image_id {image} is not in the dataset: expected 0 to {last_image:,}",
        ),
    ]


STUDY_CHECKS: list[Check] = [
    (
        pl.col("cell").is_null(),
        "the study has no cell {name} at severity {level:g}: add it to the study's corruptions table, or ignore such "
        "rows with --only-study",
    ),
    (
        ~pl.col("requested"),
        "image_id {image} is not among the {images:,} images of the study ({subset}): set `images` in the study's "
        "dataset table, or ignore such rows with --only-study",
    ),
]


def _label_checks(rows: pl.DataFrame) -> list[Check]:
    """Checks that labels are those of the dataset, by index or by class name."""
    true_label = pl.col("true_label" if rows[LABEL].dtype.is_numeric() else "class_name")
    return [
        (pl.col("requested") & pl.col(LABEL).is_null(), "no label"),
        (
            pl.col("requested") & (pl.col(LABEL) != true_label),
            "label {label!r} of image {image} differs from the dataset, {true_label} ({class_name}): check that "
            "image_id is the index in the full dataset and that classes are in its order",
        ),
    ]


def _probability_checks(tolerance: float) -> list[Check]:
    """Checks that probabilities are in 0 to 1 and sum to 1."""
    summed = pl.col("requested") & pl.col("total").is_finite()
    return [
        (
            summed & ~pl.col("extreme").is_between(-1e-6, 1 + 1e-6),  # single precision may round past 1
            "probability {extreme:g} is outside 0 to 1: if these are logits, name the columns logit_…",
        ),
        (
            summed & ((pl.col("total") - 1).abs() > tolerance),
            "probabilities sum to {total:.6g}: expected 1 (± {tolerance:g}) over all classes; for rounded "
            "probabilities use --renormalize",
        ),
    ]


def _check_complete(path: Path, rows: pl.DataFrame, asked: pl.DataFrame, cells: Sequence[Cell]) -> None:
    """Refuse a file with duplicate or missing rows.

    Args:
        path: the file.
        rows: its rows in the study, ordered by cell and image.
        asked: all cells and images of the study.
        cells: the cells of the study.
    """
    names = [f"{cell.corruption} at severity {float(cell.severity):g}" for cell in cells]
    twice = rows.filter(pl.struct("cell", "image").is_duplicated()).head(2).rows(named=True)
    if twice:
        first, again = twice
        raise DataError(
            f"{path}: duplicate image {first['image']} in {names[first['cell']]}, in rows {first['file_row']:,} and "
            f"{again['file_row']:,}: keep one"
        )
    missing = asked.join(rows, on=["cell", "image"], how="anti").sort("cell", "image")
    if len(missing):
        lacking = [
            f"{names[cell]} (image {listed(images, NAMED)}: {len(images):,} of {asked.filter(cell=cell).height:,})"
            for cell, images in missing.group_by("cell", maintain_order=True).agg("image").iter_rows()
        ]
        raise DataError(
            f"{path}: images are missing in {len(lacking)} of the study's {len(cells)} cells: "
            f"{listed(lacking, NAMED)}; add their predictions, or remove them from the study"
        )
