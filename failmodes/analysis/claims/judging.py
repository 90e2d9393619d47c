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
from failmodes.analysis.selection import Selection, particulars, select
from failmodes.ingest.claim_forms import (
    AccuracyLimit,
    AttentionClaim,
    AttentionKind,
    BetterModel,
    Claim,
    DropComparison,
    DropLimit,
    LargestDrop,
    Relation,
    ShapeClaim,
)
from failmodes.ingest.claim_grammar import MOST_LETTERS, ClaimText
from failmodes.ingest.statements import Statement, from_stored
from failmodes.warehouse.database.stated_claims import StatedClaim
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


def judge_stored(con: duckdb.DuckDBPyConnection, claims: Sequence[StatedClaim]) -> list[JudgedClaim]:
    """Claims that a warehouse holds; one that is not understood is inconclusive, and so is one about nothing here.

    Args:
        con: the warehouse, with shapes.
        claims: in their order.
    """
    found: list[JudgedClaim] = []
    selections = select(con)
    for number, (claim, statement) in enumerate(claims, start=1):
        try:
            stated = as_claim(from_stored(statement))
        except StudyError as error:
            found.append(_not_understood(number, claim, error))
        else:
            found += _judged(con, selections, number, stated)
    return found


def judge_given(con: duckdb.DuckDBPyConnection, claims: Sequence[Statement]) -> list[JudgedClaim]:
    """Claims that somebody asks about now.

    Args:
        con: the warehouse, with shapes.
        claims: in their order.

    Raises:
        StudyError: one is not understood, or names a model that was not evaluated.
    """
    selections, found = select(con), []
    for number, stated in enumerate(map(as_claim, claims), start=1):
        rows = _judged(con, selections, number, stated)
        if unknown := [row for row in rows if row.form == UNKNOWN]:
            raise StudyError(f"claim {stated.text!r}: {unknown[0].reason}")
        found += rows
    return found


RELATIONS: dict[str, Relation] = {
    "at_least": "at least", "at_most": "at most", "more_than": "more than", "less_than": "less than",
    "drop_at_least": "at least", "drop_at_most": "at most",
}  # fmt: skip
ATTENTION: dict[tuple[str | None, bool], AttentionKind] = {
    ("attention_on_object", False): "on_object",
    ("attention_off_object", False): "leaves_object",
    ("attention_drift", False): "keeps_place",
    ("attention_drift", True): "loses_place",
}


def as_claim(statement: Statement) -> ClaimText:
    """A statement as one of the forms that are judged here.

    Raises:
        StudyError: it is none of them.
    """
    found = _of_accuracy(statement) if statement.metric == "accuracy" else None
    (name,) = statement.corruptions if len(statement.corruptions or ()) == 1 else (None,)
    if statement.shape is not None:
        found = ShapeClaim(str(name), statement.shape, statement.model)
    elif (statement.kind, statement.negate) in ATTENTION:
        found = AttentionClaim(ATTENTION[statement.kind, statement.negate], str(name), statement.model)
    if found is None:
        raise StudyError(f"claim {statement.title!r} cannot be judged")
    return ClaimText(statement.title, found)


def _of_accuracy(statement: Statement) -> Claim | None:
    (name,) = statement.corruptions if len(statement.corruptions or ()) == 1 else (None,)
    levels = statement.severities
    at = float(levels[0]) if isinstance(levels, list) else levels or "average"
    relation, points = statement.relation, 100 * statement.bound
    if relation == "largest_drop":
        return LargestDrop(str(name), "last" if at == "last" else "average", statement.model)
    if statement.is_drop:
        return DropLimit(str(name), RELATIONS[str(relation)], points, at, statement.model)
    if statement.other is not None:
        other = (statement.other.corruptions or [""])[0]
        return DropComparison(str(name), other, relation == "less_than", at, statement.model)
    if relation == "better_by_at_least":
        return BetterModel(str(statement.model), str(statement.baseline), name, at)
    if relation in RELATIONS:
        return AccuracyLimit(RELATIONS[relation], points, name, at, statement.model)
    return None


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
