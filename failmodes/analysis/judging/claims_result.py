"""Judged claims as Python gets them: a sequence, a data frame, a table in every output format."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from failmodes.analysis.judging.claims import ClaimRow
from failmodes.analysis.judging.wording import CASE_OUTCOMES, MARKS, tally_verdicts
from failmodes.analysis.render.blocks import EMPTY, Case, Cell, Document, Sentence, Table
from failmodes.analysis.render.documents import Rendered
from failmodes.analysis.render.formatting import (
    format_count,
    format_number_interval,
    format_percent_interval,
    format_points_interval,
)

if TYPE_CHECKING:
    import polars as pl

POINTS = ("difference of shares", "accuracy", "share of attention", "confidence minus accuracy")
SHARES = ("share", "share of images", "share of answers", "share of predictions", "share of log-loss")
TEXTS = ("Model", "Verdict", "Value")  # columns of words


def claim_groups(claims: Sequence[ClaimRow]) -> list[list[ClaimRow]]:
    """The rows of each claim, in the order of the claims."""
    groups: dict[int, list[ClaimRow]] = {}
    for row in claims:
        groups.setdefault(row.claim_number, []).append(row)
    return list(groups.values())


def number_text(row: ClaimRow) -> str:
    """The value that decides with its interval in its unit, such as 43.1 points [40.1, 45.0]; else an en dash."""
    estimate = row.estimate
    if estimate is None:
        return EMPTY
    if row.unit in SHARES:
        return format_percent_interval(estimate)
    if row.unit in POINTS:
        return format_points_interval(estimate)
    if row.unit == "curvature":
        return f"curvature {format_number_interval(estimate, 2)}"
    return format_number_interval(estimate)


def counts_sentence(claims: Sequence[ClaimRow]) -> str:
    """How many claims there are, and how often they have each verdict."""
    if not claims:
        return "No claims are stated."
    groups = format_count(len({row.claim_number for row in claims}), "claim")
    return f"{groups}, judged {format_count(len(claims), 'time')}: {tally_verdicts([row.verdict for row in claims])}."


def claim_table(claims: Sequence[ClaimRow]) -> Table:
    """A row a claim and model; the claim stands in the first of its rows, a reason beneath the number."""
    rows = [
        (
            Cell("" if place else row.claim),
            Cell(row.model_label or EMPTY),
            Cell(f"{MARKS[row.verdict]} {row.verdict.replace('_', ' ')}"),
            Cell(number_text(row), row.reason or ""),
            Cell(EMPTY if row.n is None else f"{row.n:,}"),
        )
        for group in claim_groups(claims)
        for place, row in enumerate(group)
    ]
    note = (
        "Supported: the whole interval lies on the side of the claim; contradicted: on the other side; otherwise "
        "inconclusive. Each claim is judged by itself."
    )
    return Table("Claims", note, ("Claim", "Model", "Verdict", "Value", "Images"), tuple(rows), texts=TEXTS)


class ClaimsResult(Rendered, Sequence[ClaimRow]):
    """Judged claims: a sequence that prints as a table and converts to a data frame.

    What `Warehouse.claims` returns: a row a claim and model, in the order of the claims.

    Examples:
        >>> found = w.claims([{"shape": "near_linear", "corruptions": ["contrast"]}])
        >>> print(found)                                         # a notebook shows a table
        >>> found[0].verdict, found[0].estimate, found[0].sentence
        >>> found.to_frame().filter(verdict="contradicted")
    """

    def __init__(self, claims: Sequence[ClaimRow]) -> None:
        """Hold judged claims; `Warehouse.claims` makes them."""
        self._claims = tuple(claims)

    def __len__(self) -> int:
        return len(self._claims)

    @overload
    def __getitem__(self, index: int) -> ClaimRow: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[ClaimRow, ...]: ...

    def __getitem__(self, index: int | slice) -> ClaimRow | tuple[ClaimRow, ...]:
        return self._claims[index]

    def to_frame(self) -> "pl.DataFrame":
        """One row a claim and model, with the columns of the table `claims`."""
        import polars as pl

        numbers: dict[str, type] = dict.fromkeys(("claim_number", "n", "images_needed"), int)
        numbers |= dict.fromkeys(("value", "low", "high"), float)
        return pl.DataFrame(self._claims, {name: numbers.get(name, str) for name in ClaimRow._fields}, orient="row")

    @property
    def document(self) -> Document:
        """The counts and a table; its data are `claims`, a list of rows of the table `claims`; a test case a row."""
        table = (claim_table(self._claims),) if self._claims else ()
        cases = tuple(
            Case(
                name=row.model_label or EMPTY,
                group=f"failmodes.claims.{row.claim}",
                outcome=CASE_OUTCOMES[row.verdict],
                message=row.sentence,
                kind=row.verdict,
            )
            for row in self._claims
        )
        data = {"claims": [row._asdict() for row in self._claims]}
        return Document("Claims", (Sentence(counts_sentence(self._claims), "lead"), *table), data, cases)
