"""Read a file of predictions, Parquet or CSV, and check it: its columns, each row, and the file as a whole.

It is read in batches: rows that are refused are never all in memory.
"""

import gzip
import math
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
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
from failmodes.warehouse.errors import DataError, StorageError, StudyError, did_you_mean, first_line
from failmodes.warehouse.schema import CLEAN
from failmodes.warehouse.shards.format import Cell
from failmodes.warehouse.storage.files import check_regular, make_folder, reason_of, storage_errors

pc: Any = pyarrow.compute  # its functions are made as it is imported: no checker knows them

ProgressCallback = Callable[[str, int, int | None], None]  # ("rows" or "cells", how many are done, of how many)
PARQUET_SUFFIXES, CSV_SUFFIXES = (".parquet", ".pq"), (".csv", ".csv.gz")
KEYS, LABEL, FILE = ("image_id", "corruption", "severity"), "label", "file"
COLUMN_PREFIXES: dict[OutputKind, str] = {"logits": "logit_", "probabilities": "probability_"}
EXPECTED = (
    "expected image_id (or file), corruption, severity (columns separated by commas in CSV), and either a list column "
    "'logits' or 'probabilities' (Parquet) or one column a class: logit_0, logit_1 … or probability_0 …, or with class "
    "names behind the underscore; the predicted class alone does not do"
)
TOLERANCE_IF_ROUNDED = 0.2  # of a sum of probabilities
MOST_DECIMALS = 6  # that probabilities are taken for rounded to; float32 has seven digits
NAMED = 5  # cells or images that a message names before it only counts
COMPARED_NAMES = 2000  # that a hint looks through: a file may have many columns

MOST_CELLS = 2000  # that a file may hold rows of beside those of the study
BATCH_VALUES = 1 << 21  # logits a batch: 16 MiB in double precision
CSV_BLOCK_BYTES = 1 << 22
READ_BUFFER_BYTES = 1 << 20
MOST_TEXT_BYTES = 1000  # of a corruption's name, a class's, or a number in letters
MOST_COLUMNS = 100_000  # four for each class of ImageNet-21k; Arrow takes a second for so many


class PredictionColumns(NamedTuple):
    """The columns to read.

    Attributes:
        keys: image_id, or file where there is none, corruption and severity, and label where there is one.
        kind: what the numbers of a row are.
        values: the list column of that name, or a column a class in the data set's order of classes.
    """

    keys: tuple[str, ...]
    kind: OutputKind
    values: tuple[str, ...]


class Predictions(NamedTuple):
    """Checked predictions: one row for each cell and image of a study.

    Attributes:
        kind: what the file holds.
        row_count: of the file, with rows that the study does not ask for.
        rows: in the order of cells and images: cell (its number in the study), image, finite, and stored, the row of
            its logits.
        logits: (N, C) float32; of probabilities log p, −inf where one is 0.
        decimals: that all probabilities are rounded to, from 0, where they all are 0 or 1; None for more than
            MOST_DECIMALS, and for logits.
    """

    kind: OutputKind
    row_count: int
    rows: pl.DataFrame
    logits: np.ndarray
    decimals: int | None

    @property
    def half_step(self) -> float | None:
        """Half the step that probabilities were rounded with; None if they were not, or to votes of 0 and 1."""
        return 0.5 / 10**self.decimals if self.decimals else None

    def of_cell(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Images (N,) int64 of a cell, rising, and their logits (N, C) float32, finite in each row that is.

        A probability of 0 counts as FLOOR. Where probabilities were rounded, those of a row share half a step instead,
        so that no other probability moves by more than that.
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
    """Read a file once, check each row, then the file as a whole.

    Args:
        path: the file; its suffix says whether it is Parquet or CSV.
        data: the images that the study asks for.
        cells: its cells, the clean one first.
        scratch: folder for an anonymous file of logits, which goes with the process however that ends.
        on_progress: called with the number of rows read.
        only_study: leave out images and cells that the study does not name, instead of refusing them.
        renormalize: take probabilities that sum to 1 only roughly, being rounded.

    Raises:
        StudyError: the file does not exist, or has another suffix.
        DataError: the file is damaged, lacks a column, or a row (by its number from 1), cell or image is wrong.
        StorageError: the file cannot be read, or the folder cannot be written.
    """
    (dataset, _, subset), class_count = data, len(data.dataset.class_names)
    columns, batches = _open(path, dataset.class_names)
    numbers = _numbers_of_files(path, dataset) if FILE in columns.keys else None
    images, study_cells = _expected(data, cells)
    asked = study_cells.join(images, on="clean").select("cell", "image")
    most_rows = len(asked) + MOST_CELLS * len(dataset.labels)
    facts = {
        "images": len(subset.clean_ids),
        "subset": subset.description,
        "last_image": max(len(dataset.labels) - 1, *subset.corrupted_ids[-1:]),
        "tolerance": TOLERANCE_IF_ROUNDED if renormalize else SUM_TOLERANCE,
    }
    count, parts, disguised = 0, [], columns.kind == "logits"
    decimals = 0
    with storage_errors(scratch), tempfile.TemporaryFile(dir=make_folder(scratch)) as file:
        for keys, values in batches:
            logits, statistics = _logits(values, columns.kind)
            rows = _placed(keys, images, study_cells, numbers).with_columns(statistics)
            _check_rows(path, rows, columns.kind, facts, only_study=only_study)
            count += len(rows)
            on_progress("rows", count, None)
            requested = rows["requested"].to_numpy()
            parts.append(rows.filter("requested").select("cell", "image", "file_row", "finite", "has_zeros"))
            file.write(logits[requested].data)
            usable = values[requested & rows["finite"].to_numpy()]
            disguised = disguised and are_probabilities(torch.from_numpy(usable))
            while decimals <= MOST_DECIMALS and not _are_rounded(usable, decimals):
                decimals += 1
            if sum(map(len, parts)) > len(asked):
                break  # an image stands twice
            if count > most_rows:
                raise DataError(
                    f"{path} has more than {most_rows:,} rows, and the study asks for {len(asked):,}, one an image and "
                    "cell: leave the others out"
                )
        if not count:
            raise DataError(f"{path} has no rows")
        file.flush()
        found = pl.concat(parts).with_row_index("stored").sort("cell", "image", "file_row")
        _check_complete(path, found, asked, cells)
        if not found["finite"].any():
            raise DataError(f"{path} holds no row of finite numbers: not one prediction could be told from it")
        if disguised:
            raise DataError(
                f"{path} holds probabilities under the name of logits: each row lies in 0 to 1 and sums to 1; name its "
                "columns probability_… (a list: probabilities)"
            )
        stored = np.memmap(file, np.float32, "r", shape=(len(found), class_count))
    are_rounded = columns.kind == "probabilities" and decimals <= MOST_DECIMALS
    return Predictions(columns.kind, count, found, stored, decimals if are_rounded else None)


def _open(
    path: Path, class_names: tuple[str, ...]
) -> tuple[PredictionColumns, Iterator[tuple[pl.DataFrame, np.ndarray]]]:
    """The columns of a file, and its rows in batches, see `_converted`."""
    try:
        check_regular(path)
    except FileNotFoundError as error:
        raise StudyError(f"{path} does not exist: expected one file of predictions, .parquet or .csv") from error
    name = path.name.lower()
    if not name.endswith(PARQUET_SUFFIXES + CSV_SUFFIXES):
        raise StudyError(f"{path} has a name of neither kind: expected {', '.join(PARQUET_SUFFIXES + CSV_SUFFIXES)}")
    with _readable(path):
        columns, batches = (_open_csv if name.endswith(CSV_SUFFIXES) else _open_parquet)(path, class_names)
    return columns, _converted(path, columns, batches, len(class_names))


def find_columns(path: Path, names: Sequence[str], class_names: tuple[str, ...], *, csv: bool) -> PredictionColumns:
    """Find the columns to read; logits are taken where there are probabilities too, for they say more.

    Args:
        path: the file, for messages.
        names: its columns.
        class_names: classes of the data set, in order.
        csv: whether it is a CSV file, which cannot hold lists.

    Raises:
        DataError: a column is missing or stands twice, or there is not one number a class.
    """
    twice = first_duplicate(names)
    if twice is not None:
        raise DataError(f"{path}: column {twice!r} stands twice: leave one out")
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
            raise DataError(f"{path}: a CSV file holds no lists: give one column a class, {prefix}0, {prefix}1 …")
    raise DataError(f"{path}: no logits or probabilities ({_hint('probabilities', names)}); {EXPECTED}")


def _in_order(path: Path, spread: list[str], prefix: str, class_names: tuple[str, ...]) -> tuple[str, ...]:
    """The columns in the order of the classes, by index or by class name."""
    by_index = tuple(f"{prefix}{index}" for index in range(len(class_names)))
    by_name = tuple(f"{prefix}{name}" for name in class_names)
    orders = {order for order in (by_index, by_name) if set(order) == set(spread)}
    if not orders:
        known = by_index if spread[0].removeprefix(prefix).isdigit() else by_name
        foreign = [f"; {name!r} is no class ({_hint(name, known)})" for name in spread if name not in known]
        raise DataError(
            f"{path} has {len(spread)} columns {prefix}…, but the data set has {len(class_names)} classes: expected "
            f"one a class{''.join(foreign[:1])}"
        )
    if len(orders) > 1:
        raise DataError(
            f"{path}: {prefix}0 … may mean a class's number or its name (classes are called "
            f"{', '.join(class_names[:3])} …): give a list column in Parquet instead"
        )
    return orders.pop()


def _hint(name: str, known: Sequence[str]) -> str:
    return did_you_mean(name, known[:COMPARED_NAMES], f"there are {', '.join(map(repr, known[:8]))}", cutoff=0.5)


def _open_csv(path: Path, class_names: tuple[str, ...]) -> tuple[PredictionColumns, Iterable[pa.RecordBatch]]:
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        header = file.readline(CSV_BLOCK_BYTES)
    if header.count(b",") >= MOST_COLUMNS:
        raise DataError(f"{path} has more than {MOST_COLUMNS:,} columns: expected one a class")
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
        thrift_container_size_limit=MOST_COLUMNS,
    )
    columns = find_columns(path, file.schema_arrow.names, class_names, csv=False)
    _check_types(path, columns, file.schema_arrow, len(class_names))
    rows = max(1, BATCH_VALUES // len(class_names))
    return columns, file.iter_batches(rows, columns=[*columns.keys, *columns.values])


def _check_types(path: Path, columns: PredictionColumns, schema: pa.Schema, class_count: int) -> None:
    """Refuse columns that are not of numbers, of lists of numbers, or of text, before they are decoded."""
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
            raise DataError(f"{path} cannot be read as predictions: {name} holds {kind}: expected {expected}")


def _is_number(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal))


def _converted(
    path: Path, columns: PredictionColumns, batches: Iterable[pa.RecordBatch], class_count: int
) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
    """The rows of batches: file_row (from 1) with the keys, and logits or probabilities (N, C) float64.

    Keys are whole numbers, float64, text of at most MOST_TEXT_BYTES, or nulls; a null among the values is NaN.
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
                    if longest > MOST_TEXT_BYTES:
                        raise DataError(
                            f"{path}: {name} holds a text of {longest:,} bytes: expected at most {MOST_TEXT_BYTES:,}"
                        )
            arrays = [column.cast(_plain(column.type)) for column in batch.columns]
            rows = pl.DataFrame(pa.table(arrays, batch.schema.names)).with_row_index("file_row", first_row)
            yield rows.select("file_row", *columns.keys), _values(path, rows, columns, class_count)
            first_row += batch.num_rows


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type that a column is cast to: whole numbers, nulls, float64, lists of it, or text."""
    if pa.types.is_nested(kind):
        return pa.list_(pa.float64())
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return pa.float64()
    return kind if pa.types.is_integer(kind) or pa.types.is_null(kind) else pa.string()


def _values(path: Path, rows: pl.DataFrame, columns: PredictionColumns, class_count: int) -> np.ndarray:
    """Numbers (N, C) float64; a null is NaN, and so is each number of a null list."""
    if columns.kind not in rows.columns:
        return rows.select(pl.col(columns.values).cast(pl.Float64)).to_numpy(order="c")
    lists = pl.col(columns.kind)
    lengths = rows.select("file_row", length=lists.list.len()).filter(pl.col("length") != class_count)
    for row, length in lengths.head(1).iter_rows():
        raise DataError(
            f"{path}, row {row:,}: {length} {columns.kind}, but the data set has {class_count} classes: expected one "
            "a class"
        )
    filled = rows.select(lists.fill_null([np.nan] * class_count)).to_series()
    return filled.explode().to_numpy().reshape(-1, class_count)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what reading a damaged file raises into a DataError of one line.

    Raises:
        StorageError: the system cannot read the file.
        MemoryError: as it was: it says nothing of the file.
    """
    try:
        yield
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, EOFError, zlib.error, ValueError, LookupError, AttributeError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # Arrow's own have no number
            raise StorageError(f"cannot read {path}: {reason_of(error)}") from error
        raise DataError(f"{path} cannot be read as predictions: {first_line(error)}") from error


def _logits(values: np.ndarray, kind: OutputKind) -> tuple[np.ndarray, pl.DataFrame]:
    """Logits (N, C) float32 of values (N, C) float64: log p of probabilities, −inf where one is 0.

    A softmax of log p gives p back; a constant, which no probability shows, is lost. Rows with a value that is not
    finite pass as they are; a logit beyond float32 is infinite, hence not finite.

    Returns:
        The logits, and of each row the sum of its values (total), the one farthest from 0.5 (extreme), whether its
        values are finite, and whether probabilities of 0 are among them, if they are (has_zeros).
    """
    with np.errstate(invalid="ignore", over="ignore"):
        total, extreme = values.sum(1), values[np.arange(len(values)), np.abs(values - 0.5).argmax(1)]
        logits = log_probabilities(torch.tensor(values)).numpy() if kind == "probabilities" else values
        logits = logits.astype(np.float32)
    is_zero = np.isneginf(logits) & (kind == "probabilities")
    finite = (np.isfinite(logits) | is_zero).all(1)
    has_zeros = finite & is_zero.any(1)
    return logits, pl.DataFrame({"total": total, "extreme": extreme, "finite": finite, "has_zeros": has_zeros})


def _are_rounded(values: np.ndarray, decimals: int) -> bool:
    """Whether all values are those nearest to a number of so many decimals, in double or in single precision."""
    rounded = values.round(decimals)
    return bool(((rounded == values) | (rounded.astype(np.float32) == values)).all())


def _expected(data: EvaluationData, cells: Sequence[Cell]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The images that a study asks for, clean and corrupted, with their labels; and its cells by number."""
    class_names, subset = pl.Series(data.dataset.class_names), data.subset
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
    """The image_id of each file of a data set.

    Raises:
        DataError: its images are no files.
    """
    if dataset.files is None:
        raise DataError(
            f"{path} names images by file, and those of {dataset.label} are no files: expected image_id, which "
            "`failmodes ingest --images images.csv` lists"
        )
    return pl.DataFrame({FILE: dataset.files}, {FILE: pl.String}).with_row_index("image_id")


def _placed(
    keys: pl.DataFrame, images: pl.DataFrame, cells: pl.DataFrame, numbers: pl.DataFrame | None
) -> pl.DataFrame:
    """The rows in their order, each beside the cell and the image of the study that it is of.

    `number` and `level` are null where a value is no number, `name` where a corruption is unknown, `cell` where the
    study has no such cell. `numbers` gives the image_id of each file, where these stand instead.
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
    given = keys["corruption"].unique().drop_nulls()
    known = [CLEAN if name in (CLEAN, "clean") else find_corruption_name(name) for name in given]
    names = pl.DataFrame({"corruption": given, "name": pl.Series(known, dtype=pl.String)})
    return (
        keys.join(names, on="corruption", how="left", maintain_order="left")
        .join(cells, on=["name", "thousandths"], how="left", maintain_order="left")
        .join(images, on=["clean", "image"], how="left", maintain_order="left")
        .with_columns(requested=pl.col("true_label").is_not_null())
    )


def _check_rows(path: Path, rows: pl.DataFrame, kind: OutputKind, facts: dict[str, Any], *, only_study: bool) -> None:
    """Refuse the first wrong row; each check takes those before it for granted.

    Args:
        path: the file.
        rows: from `_placed`, with the statistics of `_logits`.
        kind: what the values are.
        facts: what checks and messages need beside the row.
        only_study: allow rows that the study does not ask for.
    """
    col, requested = pl.col, pl.col("requested")
    checks = [
        (
            col("image_id").is_null(),
            "file {file!r} is no image of the data set: expected its path within the folder, which `failmodes ingest "
            "--images images.csv` lists"
            if FILE in rows.columns
            else "no image_id",
        ),
        (~(col("image") == col("number")).fill_null(False), "image_id {image_id!r}: expected a whole number"),
        (col("corruption").is_null(), "no corruption"),
        (col("name").is_null(), "{unknown}"),
        (col("severity").is_null(), "no severity"),
        (col("level").is_null(), "severity {severity!r}: expected a number"),
        (~col("level").is_between(0, 5), "severity {level:g} is out of range: expected 0 (clean) to 5"),
        (
            (col("name") == CLEAN) != (col("thousandths") == 0),
            "corruption {name!r} at severity {level:g}: clean images go by corruption 'none' and severity 0, both or "
            "neither",
        ),
        (
            ~col("image").is_between(0, facts["last_image"]),
            "image_id {image} is no image of the data set: expected 0 to {last_image:,}",
        ),
        (
            col("cell").is_null() & (not only_study),
            "the study has no cell {name} at severity {level:g}: add it to the study's corruptions table, or leave "
            "such rows out with --only-study",
        ),
        (
            ~requested & (not only_study),
            "image_id {image} is not among the {images:,} images of the study ({subset}): set `images` in the study's "
            "dataset table, or leave such rows out with --only-study",
        ),
    ]
    if LABEL in rows.columns:
        true_label = col("true_label" if rows[LABEL].dtype.is_numeric() else "class_name")
        checks += [
            (requested & col(LABEL).is_null(), "no label"),
            (
                requested & (col(LABEL) != true_label),
                "label {label!r} of image {image} is not the data set's, {true_label} ({class_name}): is image_id the "
                "index in the full data set, and are classes in its order?",
            ),
        ]
    if kind == "probabilities":
        summed = requested & col("total").is_finite()
        checks += [
            (
                summed & ~col("extreme").is_between(-1e-6, 1 + 1e-6),  # single precision may round past 1
                "probability {extreme:g} is outside 0 to 1: if these are logits, call them so",
            ),
            (
                summed & ((col("total") - 1).abs() > facts["tolerance"]),
                "probabilities sum to {total:.6g}: expected 1 (± {tolerance:g}) over all classes; rounded ones are "
                "taken with --renormalize",
            ),
        ]
    for wrong, message in checks:
        for row in rows.filter(wrong).head(1).iter_rows(named=True):
            said = message.format(**row, **facts, unknown=unknown_corruption(row["corruption"]))
            raise DataError(f"{path}, row {row['file_row']:,}: {said}")


def _check_complete(path: Path, found: pl.DataFrame, asked: pl.DataFrame, cells: Sequence[Cell]) -> None:
    """Refuse a file that has a row twice, or lacks one.

    Args:
        path: the file.
        found: its rows that the study asks for, in the order of cells and images.
        asked: each cell and image of the study.
        cells: the cells by number.
    """
    names = [f"{cell.corruption} at severity {float(cell.severity):g}" for cell in cells]
    twice = found.filter(pl.struct("cell", "image").is_duplicated()).head(2).rows(named=True)
    if twice:
        first, again = twice
        raise DataError(
            f"{path}: image {first['image']} stands twice in {names[first['cell']]}, in rows {first['file_row']:,} and "
            f"{again['file_row']:,}: keep one"
        )
    missing = asked.join(found, on=["cell", "image"], how="anti").sort("cell", "image")
    if len(missing):
        lacking = [
            f"{names[cell]} (image {_listed(images)}: {len(images):,} of {asked.filter(cell=cell).height:,})"
            for cell, images in missing.group_by("cell", maintain_order=True).agg("image").iter_rows()
        ]
        raise DataError(
            f"{path} lacks images in {len(lacking)} of the study's {len(cells)} cells: {_listed(lacking)}; predict "
            "them too, or leave them out of the study"
        )


def _listed(names: Sequence[object]) -> str:
    return ", ".join(map(str, names[:NAMED])) + (" …" if len(names) > NAMED else "")
