"""All claims of a study judged: each on every model that it is about, in every set of evaluations that has it."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import duckdb

from failmodes.analysis.claims.attention_claims import judge_attention
from failmodes.analysis.claims.drop_claims import judge_drop_comparison, judge_drop_limit, judge_largest_drop
from failmodes.analysis.claims.judged_claim import ClaimContext, JudgedClaim
from failmodes.analysis.claims.model_claims import judge_accuracy_limit, judge_better_model
from failmodes.analysis.claims.shape_claims import judge_shape
from failmodes.analysis.model_names import UnknownModelError
from failmodes.analysis.once import read_once
from failmodes.analysis.selection import LABELS, Selection, corruption_labels, particulars, select
from failmodes.ingest.claim_forms import (
    AccuracyLimit,
    AttentionClaim,
    BetterModel,
    DropComparison,
    DropLimit,
    LargestDrop,
    ShapeClaim,
)
from failmodes.ingest.claim_grammar import MOST_LETTERS, ClaimText, read_claims
from failmodes.warehouse.errors import StudyError, printable

UNKNOWN = "unknown"  # the form of a stored claim that is not understood
JUDGES: dict[type, tuple[str, Callable[[ClaimContext, Any], Iterator[JudgedClaim]]]] = {
    DropComparison: ("drop_comparison", judge_drop_comparison),
    DropLimit: ("drop_limit", judge_drop_limit),
    LargestDrop: ("largest_drop", judge_largest_drop),
    ShapeClaim: ("shape", judge_shape),
    BetterModel: ("better_model", judge_better_model),
    AccuracyLimit: ("accuracy_limit", judge_accuracy_limit),
    AttentionClaim: ("attention", judge_attention),
}


def judge_stored(con: duckdb.DuckDBPyConnection, claims: Sequence[str]) -> list[JudgedClaim]:
    """Claims that a warehouse holds; one that is not understood is inconclusive, and so is one about nothing here.

    Args:
        con: the warehouse, with shapes.
        claims: in their order.
    """
    found: list[JudgedClaim] = []
    selections = select(con)
    for number, claim in enumerate(claims, start=1):
        try:
            (stated,) = claims_of_warehouse(con, [claim])
        except StudyError as error:
            found.append(_not_understood(number, claim, error))
        else:
            found += _judged(con, selections, number, stated)
    return found


def judge_given(con: duckdb.DuckDBPyConnection, claims: Sequence[str]) -> list[JudgedClaim]:
    """Claims that somebody asks about now.

    Args:
        con: the warehouse, with shapes.
        claims: in their order.

    Raises:
        StudyError: one is not understood, or names a model that was not evaluated.
    """
    selections, found = select(con), []
    for number, stated in enumerate(claims_of_warehouse(con, claims), start=1):
        rows = _judged(con, selections, number, stated)
        if unknown := [row for row in rows if row.form == UNKNOWN]:
            raise StudyError(f"claim {stated.text!r}: {unknown[0].reason}")
        found += rows
    return found


def claims_of_warehouse(con: duckdb.DuckDBPyConnection, claims: Sequence[str]) -> list[ClaimText]:
    """Claims as data, about the corruptions and models of a warehouse.

    Raises:
        StudyError: one is not understood, or there are too many.
    """
    return read_claims(claims, list(corruption_labels(con).items()), _model_labels(con))


@read_once
def _model_labels(con: duckdb.DuckDBPyConnection) -> list[str]:
    """All that models are called, with and without their training seed."""
    query = " union ".join(f"select {column} from evaluation_labels where {column} is not null" for column in LABELS)
    return [label for (label,) in con.execute(query).fetchall()]


def _judged(
    con: duckdb.DuckDBPyConnection, selections: Sequence[Selection], number: int, stated: ClaimText
) -> list[JudgedClaim]:
    """A claim on every selection; those that have nothing of it are told of only where all have nothing."""
    form, judge = JUDGES[type(stated.claim)]
    by_selection = []
    for selection in selections:
        context = ClaimContext(con, selection, number, stated, form)
        try:
            by_selection.append(list(judge(context, stated.claim)))
        except UnknownModelError as error:
            by_selection.append([context.without(None, str(error))._replace(form=UNKNOWN)])
    if len(selections) > 1:
        by_selection = _distinguished(selections, by_selection)
    having = [rows for rows in by_selection if any(row.n is not None for row in rows)]
    named = [rows for rows in by_selection if any(row.form != UNKNOWN for row in rows)]
    return [row for rows in having or named or by_selection[:1] for row in rows]


def _distinguished(selections: Sequence[Selection], by_selection: list[list[JudgedClaim]]) -> list[list[JudgedClaim]]:
    """The rows; models that are called alike in several selections with images and corrupted pixels in brackets."""
    labels = [{row.model_label for row in rows} for rows in by_selection]
    counts = Counter(label for of_selection in labels for label in of_selection if label is not None)
    return [
        [
            row._replace(model_label=f"{row.model_label} ({particulars(selection)})")
            if counts[str(row.model_label)] > 1
            else row
            for row in rows
        ]
        for selection, rows in zip(selections, by_selection, strict=True)
    ]


def _not_understood(number: int, claim: str, error: StudyError) -> JudgedClaim:
    reason = printable(str(error))
    return JudgedClaim(
        number, printable(claim, MOST_LETTERS), UNKNOWN, "inconclusive", None, None, None, None, None, None, "", None,
        reason, f"Inconclusive: {reason}.", "from stated_claims",
    )  # fmt: skip
