"""What is wrong with a file of predictions: one query a refusal, which gives the offending row, and its message.

The keys of the file are joined with what the study expects; each query runs over the result, the table `placed`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from failmodes.evaluate.evaluation_data import EvaluationData
from failmodes.evaluate.import_predictions.columns import LABEL
from failmodes.evaluate.import_predictions.file_batches import readable
from failmodes.evaluate.import_predictions.predictions_file import Predictions
from failmodes.evaluate.models.outputs import SUM_TOLERANCE
from failmodes.ingest.corruptions.catalog import find_corruption_name, unknown_corruption
from failmodes.warehouse.errors import DataError
from failmodes.warehouse.schema import CLEAN
from failmodes.warehouse.shards.format import Cell

CLEAN_NAMES = (CLEAN, "clean")

# One row a row of the file: what it says (`given`), and of which cell and image of the study it is. `image`, `level`
# and `thousandths` are null where a value is no number, `cell` where the study has no such cell, `true_label` where
# the data set has no such image. `requested` says whether the study asks for this image in this cell.
PLACED = """
create table placed as
with numbers as (
    select *, try_cast(image_id as bigint) as image, try_cast(severity as double) as level,
        round_even(level * 1000, 0) as thousandths
    from given
)
select numbers.*, names.name, names.unknown, cells.cell, cells.last_image, images.true_label, images.class_name,
    images.expected_label, images.requested,
    format('{} at severity {:g}', names.name, numbers.thousandths / 1000) as cell_name
from numbers
left join names on names.given = numbers.corruption::varchar
left join cells on cells.name = names.name and cells.thousandths = numbers.thousandths
left join images on images.clean = (cells.cell = 0) and images.image_id = numbers.image
"""

# (which rows are wrong, the message for the first one)
ROW_CHECKS = (
    ("image_id is null", "no image_id"),
    (
        "image is null or image <> try_cast(image_id as double)",
        "image_id is a {types[image_id]} column: expected a whole number in each row",
    ),
    ("length <> $classes", "{length} {kind}, but the data set has {classes} classes: expected one a class"),
    ("corruption is null", "no corruption"),
    ("unknown is not null", "{unknown}"),
    ("severity is null", "no severity"),
    ("level is null", "severity is a {types[severity]} column: expected a number in each row"),
    ("not level between 0 and 5", "severity {level:g} is out of range: expected 0 (clean) to 5"),
    (
        "(name = 'none') <> (thousandths = 0)",
        "corruption {name!r} at severity {level:g}: clean images go by corruption 'none' and severity 0, both or "
        "neither",
    ),
    (
        "cell is not null and true_label is null",
        "image_id {image} is no image of the data set: expected 0 to {last_image:,}",
    ),
    (
        "not requested and not $only_study",
        "image_id {image} is not among the {images:,} images of the study ({subset}): set `images` in the study's "
        "dataset table, or leave such rows out with --only-study",
    ),
    ("requested and $labeled and label is null", "no label"),
    (
        "requested and label <> expected_label",
        "label {label!r} of image {image} is not the data set's, {true_label} ({class_name}): is image_id the index "
        "in the full data set, and are classes in its order?",
    ),
    (
        # single precision may round past 1
        "$kind = 'probabilities' and requested and isfinite(total) and not extreme between -1e-6 and 1 + 1e-6",
        "probability {extreme:g} is outside 0 to 1: if these are logits, call them so",
    ),
    (
        "$kind = 'probabilities' and requested and isfinite(total) and abs(total - 1) > $tolerance",
        "probabilities sum to {total:.6g}: expected 1 (± {tolerance:g}) over all classes; rounded ones are taken with "
        "--renormalize",
    ),
)

# (query that gives a row where something is wrong, the message for it)
FILE_CHECKS = (
    (
        "select 1 where not exists (from placed where cell = 0 and requested)",
        " has no clean predictions: add rows with corruption 'none' and severity 0, which every curve and change is "
        "measured from",
    ),
    (
        "select count(*) as lacking, (select count(*) from cells) as cells, list(cell_name order by cell) as named "
        "from cells where cell not in (select cell from placed where requested) having lacking > 0",
        " lacks {lacking} of the study's {cells} cells: {named}; predict them too, or leave them out of the study's "
        "corruptions table",
    ),
    (
        "select count(*) as cells, list(cell_name order by name, thousandths) as named from "
        "(select distinct name, thousandths, cell_name from placed where cell is null) having cells > 0 "
        "and not $only_study",
        " holds {cells} cells that the study does not name: {named}; add them to the study's corruptions table, or "
        "leave them out with --only-study",
    ),
    (
        "select 1 where not exists (from placed where requested and finite)",
        " holds no row of finite numbers: not one prediction could be told from it",
    ),
    (
        "select 1 where $kind = 'logits' and $classes > 1 and (select bool_and(extreme between 0 and 1 and "
        f"abs(total - 1) < {SUM_TOLERANCE}) from placed where requested and finite)",
        " holds probabilities under the name of logits: each row lies in 0 to 1 and sums to 1; name its columns "
        "probability_… (a list: probabilities)",
    ),
    (
        "select cell_name, image, file_row, lead(file_row) over (partition by cell, image order by file_row) as again "
        "from placed where requested qualify again is not null order by cell, image, file_row limit 1",
        ": image {image} stands twice in {cell_name}, in rows {file_row:,} and {again:,}: keep one",
    ),
    (
        "select cell_name, count(*) as expected, count(*) filter (file_row is null) as lacking, "
        "list(image_id order by image_id) filter (file_row is null) as named "
        "from cells join images on clean = (cells.cell = 0) and requested "
        "left join (select cell, image, file_row from placed where requested) as found "
        "on found.cell = cells.cell and image = image_id "
        "group by cells.cell, cell_name having lacking > 0 order by cells.cell limit 1",
        ": {cell_name} lacks {lacking:,} of {expected:,} images: {named}; predict them too, or set fewer `images` in "
        "the study",
    ),
)

TOLERANCE_IF_ROUNDED = 0.2  # of a sum of probabilities
NAMED = 5  # cells or images that a message names before it only counts
MOST_NAMES = 500  # of corruptions in a file; there are some twenty


class ImportCounts(NamedTuple):
    """Rows of a file, those of them that the study does not ask for, and those whose logits are not finite."""

    rows: int
    left_out: int
    not_finite: int


def check_predictions(
    predictions: Predictions,
    data: EvaluationData,
    cells: Sequence[Cell],
    *,
    only_study: bool,
    renormalize: bool,
) -> ImportCounts:
    """Check every row, then the file as a whole; adds the table `placed` to `predictions.keys`.

    Args:
        predictions: the file's rows.
        data: the images that the study asks for.
        cells: its cells, the clean one first.
        only_study: leave out images and cells that the study does not name, instead of refusing them.
        renormalize: take probabilities that sum to 1 only roughly, being rounded.

    Raises:
        DataError: a row (by its number from 1), a cell or an image is wrong.
    """
    con, columns = predictions.keys, predictions.columns
    constants = {
        "classes": len(data.dataset.class_names),
        "only_study": only_study,
        "labeled": columns.label,
        "kind": columns.kind,
        "tolerance": TOLERANCE_IF_ROUNDED if renormalize else SUM_TOLERANCE,
    }
    names = {
        "types": predictions.types,
        "images": len(data.subset.clean_ids),
        "subset": data.subset.description,
        **constants,
    }
    with readable(predictions.path):
        _place(predictions, data, cells)
        for condition, message in ROW_CHECKS:
            wrong = _first(con, f"from placed where {condition} order by file_row limit 1", constants)
            if wrong:
                said = message.format(**names | wrong)
                raise DataError(f"{predictions.path}, row {wrong['file_row']:,}: {said}")
        if not predictions.complete:
            expected = count_expected(data, cells)
            raise DataError(
                f"{predictions.path} has more than {len(predictions.logits):,} rows, and the study asks for "
                f"{expected:,}, one an image and cell: leave the others out"
            )
        for query, message in FILE_CHECKS:
            wrong = _first(con, query, constants)
            if wrong:
                raise DataError(f"{predictions.path}{message.format(**names | wrong)}")
        counts = "select count(*), count(*) - count_if(requested), count_if(requested and not finite) from placed"
        return ImportCounts(*con.execute(counts).fetchall()[0])


def count_expected(data: EvaluationData, cells: Sequence[Cell]) -> int:
    """How many rows a study asks for: one for each of its images in each of its cells."""
    return sum(len(data.subset.clean_ids if cell.is_clean else data.subset.corrupted_ids) for cell in cells)


def _place(predictions: Predictions, data: EvaluationData, cells: Sequence[Cell]) -> None:
    """Join the keys of the file with what the study expects of it."""
    con, subset, labels = predictions.keys, data.subset, data.dataset.labels
    corrupted_labels = labels if data.paired else data.source.labels(data.dataset)
    kind = predictions.types.get(LABEL, pa.int64())
    by_name = not (pa.types.is_integer(kind) or pa.types.is_floating(kind))
    images = [
        _images(data.dataset.class_names, subset.clean_ids, labels, clean=True, by_name=by_name),
        _images(data.dataset.class_names, subset.corrupted_ids, corrupted_labels, clean=False, by_name=by_name),
    ]
    con.register("images", pa.concat_tables(images))
    con.register("cells", pa.Table.from_pylist([
        {
            "cell": number,
            "name": cell.corruption,
            "thousandths": int(cell.severity * 1000),
            "cell_name": f"{cell.corruption} at severity {cell.severity.normalize():f}",
            "last_image": len(labels if cell.is_clean else corrupted_labels) - 1,
        }
        for number, cell in enumerate(cells)
    ]))  # fmt: skip
    con.register("names", _corruption_names(predictions))
    con.execute(PLACED)


def _images(
    class_names: Sequence[str], requested_ids: np.ndarray, labels: np.ndarray, *, clean: bool, by_name: bool
) -> pa.Table:
    """Every image of the data set or the corrupted set: its label, and whether the study asks for it."""
    names = pa.array(class_names).take(pa.array(labels))
    return pa.table({
        "clean": [clean] * len(labels),
        "image_id": np.arange(len(labels)),
        "requested": np.isin(np.arange(len(labels)), requested_ids),
        "true_label": labels,
        "class_name": names,
        "expected_label": names if by_name else labels,
    })  # fmt: skip


def _corruption_names(predictions: Predictions) -> pa.Table:
    """Published name of each corruption of the file (aliases share one), or the message for an unknown one.

    Raises:
        DataError: there are more than MOST_NAMES.
    """
    query = f"select distinct corruption::varchar from given limit {MOST_NAMES + 1}"
    given = [name for (name,) in predictions.keys.execute(query).fetchall() if name]
    if len(given) > MOST_NAMES:
        raise DataError(f"{predictions.path} names more than {MOST_NAMES} corruptions: expected the study's")
    names = [CLEAN if name in CLEAN_NAMES else find_corruption_name(name) for name in given]
    unknown = [unknown_corruption(name) if known is None else None for name, known in zip(given, names, strict=True)]
    text = pa.string()
    return pa.table({"given": pa.array(given, text), "name": pa.array(names, text), "unknown": pa.array(unknown, text)})


def _first(con: duckdb.DuckDBPyConnection, query: str, constants: dict[str, Any]) -> dict[str, Any] | None:
    """The first row of a query by column, if it has one; lists become text, and are cut short."""
    used = {name: value for name, value in constants.items() if f"${name}" in query}
    found = con.execute(query, used).fetchone()
    if found is None:
        return None
    row = dict(zip([name for name, *_ in con.description], found, strict=True))
    for name, value in row.items():
        if isinstance(value, list):
            row[name] = ", ".join(map(str, value[:NAMED])) + (" …" if len(value) > NAMED else "")
    return row
