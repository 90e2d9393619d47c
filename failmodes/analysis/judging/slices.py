"""Verdicts on slices: each that a search finds is a statement, judged at the error rate of the search."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import duckdb

from failmodes.analysis.evaluations.selection import Selection, corruption_labels, select
from failmodes.analysis.judging.judge import Question, Value, Verdict, judge
from failmodes.analysis.render.formatting import lower_label
from failmodes.analysis.statistics.difference import Measured
from failmodes.analysis.statistics.estimate import Estimate, Word
from failmodes.analysis.statistics.filters import among_images, combine
from failmodes.analysis.statistics.run_rows import CLEAN_CELL
from failmodes.analysis.statistics.shares import ALPHA
from failmodes.analysis.statistics.slices import SearchedSlices, Slice, SliceOptions, find_slices
from failmodes.ingest.statements import RestDifference
from failmodes.sql import sql_literal
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.metrics.accuracy import accuracy
from failmodes.warehouse.schema import CLEAN, DIFFERENCE_OF_SHARES

HALF = 0.5  # of the difference under a corruption must be excluded on clean images: it arises under the corruption


class SliceRow(NamedTuple):
    """A slice of a model under a corruption, with its verdict; shares are 0-1, differences of shares -1 to 1.

    Attributes:
        model_label: the model.
        evaluation_id: its evaluation.
        slice: the slice in words: camera = B and image_luminance below 0.2.
        corruption: its name, 'none' for clean images.
        severity: at which the slice deviates most.
        images: distinct ones in the slice.
        accuracy: of these.
        rest_accuracy: of all other images.
        difference: accuracy minus rest_accuracy.
        low: lower bound of the difference, one-sided at the level; it holds for everything searched together.
        high: upper bound, likewise.
        p: one-sided p value of no lower accuracy (Fisher's exact test), corrected for everything searched.
        verdict: 'supported' or 'inconclusive'.
        on_clean: 'worse': the slice is worse on clean images too; 'not worse': worse only under the corruption;
            'inconclusive'; None for clean images, or without any.
        clean_difference: the same difference on clean images.
        clean_low: its lower bound, as `low`.
        clean_high: its upper bound.
        extra_drop: accuracy drop from clean images in the slice minus that of all other images.
        extra_drop_low: its lower bound, as `low`.
        extra_drop_high: its upper bound.
        explained: further supported slices that it explains, such as its parts.
        condition: the slice in SQL, a filter of images.
        query: SQL that selects its predictions.
    """

    model_label: str
    evaluation_id: str
    slice: str
    corruption: str
    severity: float
    images: int
    accuracy: float
    rest_accuracy: float
    difference: float
    low: float
    high: float
    p: float
    verdict: Word
    on_clean: str | None
    clean_difference: float | None
    clean_low: float | None
    clean_high: float | None
    extra_drop: float | None
    extra_drop_low: float | None
    extra_drop_high: float | None
    explained: int
    condition: str
    query: str

    @property
    def estimate(self) -> Estimate:
        """The difference with its bounds."""
        return Estimate(self.difference, self.low, self.high, 1 - ALPHA, self.images, DIFFERENCE_OF_SHARES, self.p)


class SlicesOfSelection(NamedTuple):
    """The slices of models that were evaluated on the same images.

    Attributes:
        selection: the models.
        searched: what was searched.
        rows: by p value.
        labels: human name by corruption, within a sentence.
        options: what was asked.
    """

    selection: Selection
    searched: SearchedSlices
    rows: tuple[SliceRow, ...]
    labels: dict[str, str]
    options: SliceOptions


def warehouse_slices(
    warehouse: Path, options: SliceOptions, *, models: Sequence[str] = (), evaluations: Sequence[str] = ()
) -> list[SlicesOfSelection]:
    """Search and judge the slices of a warehouse.

    Args:
        warehouse: the DuckDB file.
        options: what is searched.
        models: only these, by label.
        evaluations: only these, by ID or its start.

    Raises:
        StudyError: a name is unknown, no cell or image is left, or images have no attributes.
        QueryError: the filter is not a condition on images.
        WarehouseError: the warehouse is missing, in use, or has no finished evaluation.
    """
    with open_warehouse(warehouse, one_thread=True) as con:
        selections = select(con, models=models, evaluations=evaluations, corruptions=options.corruptions)
        return judge_slices(con, selections, options)


def judge_slices(
    con: duckdb.DuckDBPyConnection, selections: Sequence[Selection], options: SliceOptions
) -> list[SlicesOfSelection]:
    """Search the slices of selections, and judge those that are found; see `warehouse_slices`."""
    family = sum(len(selection.evaluations) for selection in selections)
    labels = {name: lower_label(label) for name, label in corruption_labels(con).items()}
    judged = []
    for selection in selections:
        searched = find_slices(con, selection, options, family=family)
        verdicts = judge([question_of(found) for found in searched.slices], 1 - ALPHA, correction="search")
        rows = [_row(*pair, options) for pair in zip(searched.slices, verdicts, strict=True)]
        rows.sort(key=lambda row: row.p)
        judged.append(SlicesOfSelection(selection, searched, tuple(rows), labels, options))
    return judged


def question_of(found: Slice) -> Question:
    """The statement that a slice is less accurate than all other images, with what measures it."""
    corruption, severity = found.cell
    statement = RestDifference.model_construct(  # group names may hold characters that a file of claims may not
        model=found.evaluation.label,
        metric=accuracy.name,
        filter=found.condition,
        corruptions=[corruption],
        severities=None if corruption == CLEAN else [Decimal(str(severity))],
        relation="worse_than_rest",
    )
    value = Value((found.cell,), lambda: found.difference)
    return Question(statement, accuracy, (value,), measured=frozenset({found.cell}), searched=found.comparisons)


def _row(found: Slice, verdict: Verdict, options: SliceOptions) -> SliceRow:
    decision = verdict.decisions[0]
    assert decision.estimate is not None, "a difference of two shares is always defined"
    corruption, severity = found.cell
    value, low, high, *_ = decision.estimate
    clean = _bounds(found.on_clean, found.comparisons)
    extra = _bounds(found.extra_drop, found.comparisons)
    evaluation_id = found.evaluation.evaluation_id
    return SliceRow(
        found.evaluation.label, evaluation_id, found.name, corruption, severity, found.images,
        found.accuracy, found.rest_accuracy, value, low, high, decision.estimate.p_value or 0.0, decision.verdict,
        on_clean(found), clean[0], clean[1], clean[2], extra[0], extra[1], extra[2], found.explained,
        found.condition,
        _query(found, options),
    )  # fmt: skip


def _query(found: Slice, options: SliceOptions) -> str:
    """SQL that selects the predictions of a slice in its cell."""
    corruption, severity = found.cell
    evaluation = f"evaluation_id = {sql_literal(found.evaluation.evaluation_id)}"
    conditions = [
        evaluation,
        f"corruption = {sql_literal(corruption)}",
        f"severity = {severity:g}",
        " ".join(among_images(combine(options.filter, found.condition)).split()),
    ]
    if options.clean_prediction:
        kept = {"correct": "correct", "incorrect": "not correct"}.get(
            options.clean_prediction, f"predicted_name = {sql_literal(options.clean_prediction)}"
        )
        clean = f"select image_id from predictions where {evaluation} and corruption = {sql_literal(CLEAN)} and {kept}"
        conditions.append(f"image_id in ({clean})")
    return f"from predictions where {' and '.join(conditions)}"


def _bounds(measured: Measured | None, comparisons: int) -> tuple[float | None, float | None, float | None]:
    """A value with both one-sided bounds, for all comparisons; None of each without a value."""
    if measured is None:
        return None, None, None
    low, high = (bound(1 - ALPHA, comparisons=comparisons) for bound in (measured.low, measured.high))
    return measured.value, low, high


def on_clean(found: Slice) -> str | None:
    """Whether a slice is worse on clean images too, or only under its corruption.

    It is worse only under the corruption if its accuracy drops more than that of all other images, and if less than
    half of the difference can be there on clean images.
    """
    if found.on_clean is None or found.extra_drop is None or found.cell == CLEAN_CELL:
        return None
    level, among = 1 - ALPHA, found.comparisons
    if found.on_clean.high(level, comparisons=among) < 0:
        return "worse"
    low = found.on_clean.low(level, comparisons=among)
    drops_more = found.extra_drop.low(level, comparisons=among) > 0
    return "not worse" if drops_more and low > HALF * found.difference.value else "inconclusive"
