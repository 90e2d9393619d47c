"""Filters: SQL conditions that choose images by what is known of them, such as "camera = 'B'"."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray

from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.statistics.attributes import IMAGES_WITH_CLASS, KEYS
from failmodes.analysis.statistics.run_rows import ModelRows, RunRows, read_run
from failmodes.ingest.statements import MAX_FILTER
from failmodes.runtime.errors import QueryError, StudyError, counted, did_you_mean, listed, printable, shown, translated
from failmodes.warehouse.database.connection import fetch_first, isolated, read_once
from failmodes.warehouse.database.query import query_errors, unknown_texts

MAX_NAMED = 12  # columns that an error lists
_EXAMPLE = '"camera = \'B\'" or "image_luminance < 0.2"'
_REFUSED = {  # by class of DuckDB's syntax tree
    "SUBQUERY": "a filter reads no other table: leave out the SELECT",
    "WINDOW": "a filter is about one image at a time: leave out the window function",
    "STAR": "a filter names its columns: leave out the star",
    "PARAMETER": "a filter has no parameters: write the value itself",
}


class FilteredImages(NamedTuple):
    """The images of an evaluation that a filter keeps.

    Attributes:
        condition: the filter.
        image_count: images that it keeps.
        evaluated_count: images of the evaluation.
        unknown_count: images for which the condition is null, which it does not keep.
    """

    condition: str
    image_count: int
    evaluated_count: int
    unknown_count: int

    @property
    def counts(self) -> str:
        """How many images it keeps, and how many lack a value: 64 of 160 images; 32 images have no value for it."""
        lacking = counted(self.unknown_count, "image")
        verb = "has" if self.unknown_count == 1 else "have"
        unknown = f"; {lacking} {verb} no value for it" if self.unknown_count else ""
        return f"{self.image_count:,} of {counted(self.evaluated_count, 'image')}{unknown}"

    @property
    def sentence(self) -> str:
        """The filter with these counts."""
        return f"Filter: {filter_phrase(self.condition)} ({self.counts})."


def filter_phrase(condition: str) -> str:
    """The images that a filter keeps, in words: images where camera = 'B'."""
    return f"images where {printable(' '.join(condition.split()), MAX_FILTER)}"


def among_images(condition: str) -> str:
    """The filter as a condition on any table with `dataset_id` and `image_id`, such as `predictions`."""
    images = f"select dataset_id, image_id from {IMAGES_WITH_CLASS} as images where {condition}\n"
    return f"(dataset_id, image_id) in ({images})"


def check_text(condition: object) -> None:
    """Refuse a filter that is no text.

    Raises:
        QueryError: it is none.
    """
    if not isinstance(condition, str):
        raise QueryError(f"filter {shown(condition)}: expected a condition on images, such as {_EXAMPLE}")


def combine(*conditions: str) -> str:
    """The filter that holds where all conditions do; empty ones hold everywhere."""
    known = [condition for condition in conditions if condition]
    return known[0] if len(known) == 1 else " and ".join(f"({condition}\n)" for condition in known)


def all_but(condition: str) -> str:
    """The filter of all other images, those for which the condition is null among them."""
    return f"not coalesce(({condition}\n), false)"


@read_once
def filtered_images(con: duckdb.DuckDBPyConnection, evaluation_id: str, condition: str) -> FilteredImages:
    """How many images a filter keeps of an evaluation; see `filtered_run`."""
    kept, unknown = _matching(con, _dataset_of(con, evaluation_id), condition)
    evaluated = read_run(con, evaluation_id).every_image
    counts = [int(np.isin(evaluated, ids).sum()) for ids in (kept, unknown)]
    return FilteredImages(condition, counts[0], len(evaluated), counts[1])


@read_once
def filtered_run(con: duckdb.DuckDBPyConnection, evaluation_id: str, condition: str) -> RunRows:
    """The rows of an evaluation on the images that a filter keeps.

    Args:
        con: a locked connection to the warehouse, with `images` and `classes`.
        evaluation_id: of the evaluation.
        condition: SQL over the columns of `images` and `class_name`; "" keeps all images.

    Raises:
        QueryError: it is not a condition, or names a column that images do not have.
        StudyError: no evaluated image matches.
    """
    run = read_run(con, evaluation_id)
    if not condition:
        return run
    kept, unknown = _matching(con, _dataset_of(con, evaluation_id), condition)
    evaluated = run.every_image
    if not np.isin(evaluated, kept).any():
        count = int(np.isin(evaluated, unknown).sum())
        lacking = f" ({counted(count, 'image')} without a value)" if count else ""
        hints = unknown_texts(con, ("images", "classes"), condition)
        raise StudyError("; ".join([f"no evaluated image matches the filter {shown(condition)}{lacking}", *hints]))
    return run.of_images(kept)


def filtered_selection(con: duckdb.DuckDBPyConnection, selection: Selection, condition: str) -> Selection:
    """A selection on the images that a further filter keeps; see `filtered_run`."""
    check_text(condition)
    if not condition:
        return selection
    kept = combine(selection.filter, condition)
    run = filtered_run(con, selection.ids[0], kept)
    if selection.image_ids is not None:
        run = run.of_images(np.array(selection.image_ids))
        if not run.cells:
            raise StudyError(f"no image that all evaluations have matches the filter {shown(condition)}")
    return replace(selection, filter=kept, kept_count=run.image_count)


def filtered(model: ModelRows, condition: str) -> ModelRows:
    """A model's rows on the images that a filter keeps; see `filtered_run`."""
    if not condition:
        return model
    runs = []
    for run in model.runs:
        assert run.con is not None, "a filter requires a warehouse"
        runs.append(filtered_run(run.con, run.evaluation_id, condition))
    return model._replace(runs=tuple(runs), kept=None)


def _check(con: duckdb.DuckDBPyConnection, condition: str, known: Sequence[str]) -> None:
    """Check that a text is one SQL condition over the columns of images.

    Raises:
        QueryError: it is not, or names another column.
    """
    if not condition.strip() or len(condition) > MAX_FILTER:
        raise QueryError(f"expected a condition on images, such as {_EXAMPLE}")
    volatile = con.execute("select function_name from duckdb_functions() where stability = 'VOLATILE'").fetchall()
    for part in _parts(con, condition):
        if refusal := _REFUSED.get(str(part.get("class"))):
            raise QueryError(refusal)
        if ((function := part.get("function_name")),) in volatile:
            raise QueryError(f"{function}() differs from call to call: leave it out")
        for name in part.get("column_names") or ():
            if name.lower() not in ("images", *(column.lower() for column in known)):
                columns = listed(
                    [column for column in reversed(known) if column not in KEYS[:2]], MAX_NAMED
                )  # theirs first
                hint = did_you_mean(name, known, f"expected one of {columns}; text is in single quotes")
                raise QueryError(f"images have no column {shown(name)}: {hint}")


def _parts(con: duckdb.DuckDBPyConnection, condition: str) -> list[dict[str, Any]]:
    """All parts of the syntax tree of a condition.

    Raises:
        QueryError: it is not a condition.
    """
    bare, enclosed = (_syntax_tree(con, sql) for sql in (f"select {condition}", _statement(condition)))
    for tree in (bare, enclosed):  # the one refuses a parenthesis too many, the other any further clause
        if tree["error"]:
            reason = printable(str(tree["error_message"]), 200)
            raise QueryError(f"{reason}: expected a condition such as {_EXAMPLE}")
    if _syntax_tree(con, f"select ({condition})")["error"]:  # what would follow it in a line is not read
        raise QueryError(f"it ends in a comment: leave that out, as in {_EXAMPLE}")
    (statement,) = enclosed["statements"]
    select = statement["node"]
    if len(select["select_list"]) > 1:
        raise QueryError(f"expected one condition, such as {_EXAMPLE}")
    left = [select["select_list"][0]]
    parts: list[dict[str, Any]] = []
    while left:
        part = left.pop()
        if isinstance(part, list):
            left += part
        elif isinstance(part, dict):
            parts.append(part)
            left += part.values()
    return parts


def _syntax_tree(con: duckdb.DuckDBPyConnection, sql: str) -> dict[str, Any]:
    """DuckDB's syntax tree of a statement, or its error."""
    (text,) = fetch_first(con, "select json_serialize_sql($1)", [sql]) or ("",)
    try:
        tree: dict[str, Any] = json.loads(text)
    except RecursionError:
        raise QueryError("the filter is nested too deeply: write a shorter condition") from None
    return tree


def _statement(condition: str, more: str = "") -> str:
    """A select of the condition, whose parentheses keep a clause, such as LIMIT, from being added."""
    return f"select {more}({condition}\n) from images order by image_id"


@read_once
def _matching(
    con: duckdb.DuckDBPyConnection, dataset_id: str, condition: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The image_ids of a dataset for which a condition holds, and those for which it is null.

    It is computed on a connection that has nothing else than these images.
    """
    images = con.sql(f"from {IMAGES_WITH_CLASS} as images where dataset_id = $1", params=[dataset_id]).to_arrow_table()
    of_filter = translated(QueryError, lambda error: QueryError(f"filter {shown(condition)}: {error}"))
    with of_filter, isolated("images", images) as alone, query_errors():
        _check(alone, condition, images.column_names)
        relation = alone.sql(_statement(condition, "image_id::bigint as image_id, "))
        if str(relation.types[1]) != "BOOLEAN":
            raise QueryError(f"expected a condition, such as {_EXAMPLE}")
        rows = relation.to_arrow_table()
    ids = rows[0].to_numpy()
    holds = rows[1].combine_chunks()
    return ids[holds.fill_null(False).to_numpy(zero_copy_only=False)], ids[
        holds.is_null().to_numpy(zero_copy_only=False)
    ]


def _dataset_of(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> str:
    (dataset_id,) = fetch_first(con, "select dataset_id from evaluations where evaluation_id = ?", [evaluation_id]) or (
        "",
    )
    return str(dataset_id)
