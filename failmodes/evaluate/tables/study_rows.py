"""The rows of a table beside the images and cells of a study: each is checked, then that none is missing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from failmodes.evaluate.evaluation_data import EvaluationData
from failmodes.evaluate.study.study_schema import OutputKind
from failmodes.evaluate.tables.checking import are_indices, occurring
from failmodes.evaluate.tables.columns import COMPARED_NAMES, VALUE_PREFIXES, Role
from failmodes.evaluate.tables.outputs import as_logits, check_outputs, filled
from failmodes.evaluate.tables.reading import Limits, PredictionTable, ProgressCallback, Texts, read_tables
from failmodes.ingest.corruptions.catalog import find_corruption_name, unknown_corruption
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.runtime.errors import DataError, did_you_mean, listed
from failmodes.warehouse.schema import CLEAN
from failmodes.warehouse.shards.format import Cell

NEEDED: tuple[Role, ...] = ("image", "corruption", "severity")
FILE = "file"  # name of a column of paths instead of image_id
NAMED = 5  # cells or images listed in a message
MAX_CELLS = 2000  # limit for cells in a file that are not in the study


class Predictions(NamedTuple):
    """Checked predictions: one row per cell and image of a study.

    Attributes:
        kind: kind of the outputs.
        row_count: number of rows of the file, including rows not in the study.
        rows: ordered by cell and image: cell (its index in the study), image, finite, has_zeros, and stored, the row
            of its outputs.
        outputs: (N, C) float64, in the order of the classes.
        decimals: number of decimals of rounded probabilities, 0 if all are 0 or 1; None for more than MAX_DECIMALS,
            and for logits.
    """

    kind: OutputKind
    row_count: int
    rows: pl.DataFrame
    outputs: np.ndarray
    class_order: np.ndarray
    decimals: int | None

    @property
    def half_step(self) -> float | None:
        """Half the rounding step of probabilities; None if they are not rounded, or are all 0 or 1."""
        return 0.5 / 10**self.decimals if self.decimals else None

    def of_cell(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Images (N,) int64 of a cell in ascending order, and their logits (N, C) float32, see `filled`."""
        rows = self.rows.filter(pl.col("cell") == number)
        outputs = np.asarray(self.outputs[rows["stored"].to_numpy()])[:, self.class_order]
        logits = as_logits(outputs, self.kind)
        return rows["image"].to_numpy(), filled(logits, self.half_step) if self.kind == "probabilities" else logits


def read_predictions(
    path: Path,
    data: EvaluationData,
    cells: Sequence[Cell],
    scratch: Path,
    on_progress: ProgressCallback,
    *,
    columns: Mapping[Role, str],
    only_study: bool,
    renormalize: bool,
) -> Predictions:
    """Read a table once, check each row, then its completeness.

    Args:
        path: the file; its suffix determines the format.
        data: images of the study.
        cells: cells of the study, clean first.
        scratch: folder for an anonymous file of outputs, which disappears with the process.
        on_progress: called with the number of rows read.
        columns: columns that the user names, by role.
        only_study: ignore images and cells that are not in the study, instead of refusing them.
        renormalize: accept rounded probabilities, which sum to 1 only approximately.

    Raises:
        StudyError: the file does not exist, or has another suffix.
        DataError: the file is damaged, a column is missing, or a row (named by its line), cell or image is invalid.
        StorageError: the file cannot be read, or the folder cannot be written.
    """
    dataset = data.dataset
    images, study_cells = _expected(data, cells)
    asked = study_cells.join(images, on="clean").select("cell", "image")
    table = read_tables([path], columns, NEEDED, on_progress, limits=_limits(len(asked), dataset), scratch=scratch)
    kind = table.columns.kind
    if kind is None or table.outputs is None:
        raise DataError(
            f"{path}: no logits or probabilities of every class, which an import with a study needs; to import "
            "predicted classes alone, use --to FOLDER instead of the study"
        )
    order = class_order(table, dataset.class_names)
    by_file = table.columns.roles["image"] == FILE
    rows = _placed(_keys(table), images, study_cells, _numbers_of_files(path, dataset) if by_file else None)
    _check_rows(table, rows, _check_facts(data), only_study=only_study, by_file=by_file)
    requested = rows["requested"].to_numpy()
    found = check_outputs(table, requested, renormalize=renormalize)
    placed = (
        rows.with_columns(finite=found.finite, has_zeros=found.has_zeros)
        .filter("requested")
        .select("cell", "image", "stored", "finite", "has_zeros")
        .sort("cell", "image", "stored")
    )
    _check_complete(table, placed, asked, cells)
    return Predictions(kind, len(table), placed, table.outputs, order, found.decimals)


def _limits(asked_count: int, dataset: Dataset) -> Limits:
    return Limits(
        asked_count + MAX_CELLS * len(dataset.labels),
        f"the study has {asked_count:,}, one per image and cell: remove the others",
        len(dataset.class_names),
    )


def class_order(table: PredictionTable, class_names: tuple[str, ...]) -> np.ndarray:
    """(C,) column of the outputs of each class, by index or by class name.

    Raises:
        DataError: the columns are not those of the classes.
    """
    columns = table.columns
    assert columns.kind is not None
    path = table.parts[0].name
    if columns.is_list:
        return np.arange(len(class_names))
    prefix = VALUE_PREFIXES[columns.kind]
    spread = [name.removeprefix(prefix) for name in columns.outputs]
    by_index = tuple(map(str, range(len(class_names))))
    orders = {order for order in (by_index, class_names) if set(order) == set(spread)}
    if not orders:
        known = by_index if spread[0].isdigit() else class_names
        foreign = [f"; {prefix + name!r} is not a class ({_hint(name, known)})" for name in spread if name not in known]
        raise DataError(
            f"{path} has {len(spread)} columns {prefix}…, but the dataset has {len(class_names)} classes: expected one "
            f"per class{''.join(foreign[:1])}"
        )
    if len(orders) > 1:
        raise DataError(
            f"{path}: {prefix}0 … may be the index or the name of a class (the classes are "
            f"{', '.join(class_names[:3])} …): use a list column in Parquet instead"
        )
    (order,) = orders
    return np.array([spread.index(name) for name in order])


def _hint(name: str, known: Sequence[str]) -> str:
    expected = f"expected one of {', '.join(map(repr, known[:NAMED]))}"
    return did_you_mean(name, known[:COMPARED_NAMES], expected, cutoff=0.5)


def _keys(table: PredictionTable) -> pl.DataFrame:
    """The texts of each row by role, null if empty, with its number (stored); labels that are indices as numbers."""
    frame = pl.DataFrame({role: _series(table.texts[role]) for role in (*NEEDED, "label") if role in table.texts})
    if "label" in table.texts and are_indices(occurring(table.texts["label"])):
        frame = frame.with_columns(pl.col("label").cast(pl.Int64))
    return frame.with_row_index("stored")


def _series(column: Texts) -> pl.Series:
    codes = pl.Series(column.codes)
    return pl.Series(column.names, dtype=pl.String).gather(codes.set(codes < 0, None))


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
    return pl.DataFrame({"image": dataset.files}, {"image": pl.String}).with_row_index("number")


def _placed(
    keys: pl.DataFrame, study_images: pl.DataFrame, cells: pl.DataFrame, numbers: pl.DataFrame | None
) -> pl.DataFrame:
    """Join rows, in order, with the cells and images of the study.

    The columns of keys become `image_text`, `corruption`, `severity_text`. `number` and `level` are null if a value is
    not a number, `name` if a corruption is unknown, `cell` if the study has no such cell. `numbers` has the image_id
    of each file, if rows have files.
    """
    if numbers is None:
        keys = keys.with_columns(number=pl.col("image").cast(pl.Float64, strict=False))
    else:
        keys = keys.join(numbers, on="image", how="left", maintain_order="left")
    keys = keys.rename({"image": "image_text", "severity": "severity_text"}).with_columns(
        level=pl.col("severity_text").cast(pl.Float64, strict=False),
        image=pl.col("number").cast(pl.Int64, strict=False),
    )
    keys = keys.with_columns(thousandths=(pl.col("level") * 1000).round().cast(pl.Int64, strict=False))
    corruptions = keys["corruption"].unique().drop_nulls()
    known = [CLEAN if name in (CLEAN, "clean") else find_corruption_name(name) for name in corruptions]
    names = pl.DataFrame({"corruption": corruptions, "name": pl.Series(known, dtype=pl.String)})
    return (
        keys.join(names, on="corruption", how="left", maintain_order="left")
        .join(cells, on=["name", "thousandths"], how="left", maintain_order="left")
        .join(study_images, on=["clean", "image"], how="left", maintain_order="left")
        .with_columns(requested=pl.col("true_label").is_not_null())
    )


Check = tuple[pl.Expr, str]  # which rows are invalid, and the message about one of them


def _check_facts(data: EvaluationData) -> dict[str, Any]:
    """Facts about the study that checks and messages use beside the columns of a row."""
    subset = data.subset
    return {
        "images": len(subset.clean_ids),
        "subset": subset.description,
        "last_image": max(len(data.dataset.labels) - 1, *subset.corrupted_ids[-1:]),
    }


def _check_rows(
    table: PredictionTable, rows: pl.DataFrame, facts: dict[str, Any], *, only_study: bool, by_file: bool
) -> None:
    """Refuse the first invalid row; each check assumes that the earlier ones passed.

    Args:
        table: the rows.
        rows: from `_placed`.
        facts: from `_check_facts`.
        only_study: allow rows that are not in the study.
        by_file: whether images are named by file.
    """
    checks = _key_checks(facts["last_image"], by_file=by_file)
    if not only_study:
        checks += STUDY_CHECKS
    if "label" in rows.columns:
        checks += _label_checks(rows)
    for invalid, message in checks:
        for row in rows.filter(invalid).head(1).iter_rows(named=True):
            reason = message.format(**row, **facts, unknown=unknown_corruption(row["corruption"]))
            raise DataError(f"{table.place(row['stored'])}: {reason}")


def _key_checks(last_image: int, *, by_file: bool) -> list[Check]:
    """Checks that image, corruption and severity are given, known and in their ranges."""
    no_image = (
        "file {image_text!r} is not in the dataset: expected its path within the folder, see `failmodes ingest "
        "--images images.csv`"
    )
    return [
        (pl.col("image_text").is_null(), "no file" if by_file else "no image_id"),
        (
            ~(pl.col("image") == pl.col("number")).fill_null(False),
            no_image if by_file else "image_id {image_text}: expected an integer",
        ),
        (pl.col("corruption").is_null(), "no corruption"),
        (pl.col("name").is_null(), "{unknown}"),
        (pl.col("severity_text").is_null(), "no severity"),
        (pl.col("level").is_null(), "severity {severity_text!r}: expected a number"),
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
    true_label = pl.col("true_label" if rows["label"].dtype.is_numeric() else "class_name")
    return [
        (pl.col("requested") & pl.col("label").is_null(), "no label"),
        (
            pl.col("requested") & (pl.col("label") != true_label),
            "label {label!r} of image {image} differs from the dataset, {true_label} ({class_name}): check that "
            "image_id is the index in the full dataset and that classes are in its order",
        ),
    ]


def _check_complete(table: PredictionTable, rows: pl.DataFrame, asked: pl.DataFrame, cells: Sequence[Cell]) -> None:
    """Refuse a table with duplicate or missing rows.

    Args:
        table: the table.
        rows: its rows in the study, ordered by cell and image.
        asked: all cells and images of the study.
        cells: the cells of the study.
    """
    names = [f"{cell.corruption} at severity {float(cell.severity):g}" for cell in cells]
    twice = rows.filter(pl.struct("cell", "image").is_duplicated()).head(2).rows(named=True)
    if twice:
        first, again = twice
        raise DataError(
            f"{table.place(again['stored'])}: another prediction for image {first['image']} in {names[first['cell']]}, "
            f"beside {table.place(first['stored'])}: keep one"
        )
    missing = asked.join(rows, on=["cell", "image"], how="anti").sort("cell", "image")
    if len(missing):
        lacking = [
            f"{names[cell]} (image {listed(images, NAMED)}: {len(images):,} of {asked.filter(cell=cell).height:,})"
            for cell, images in missing.group_by("cell", maintain_order=True).agg("image").iter_rows()
        ]
        raise DataError(
            f"{table.parts[0].name}: images are missing in {len(lacking)} of the study's {len(cells)} cells: "
            f"{listed(lacking, NAMED)}; add their predictions, or remove them from the study"
        )
