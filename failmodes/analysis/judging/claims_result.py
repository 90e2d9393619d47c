"""Judged claims as a table, a data frame, text for a terminal, Markdown for a pull request, HTML for a notebook."""

import json
import os
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, overload

from failmodes.analysis.judging.claims import ClaimRow
from failmodes.analysis.render.blocks import EMPTY, Cell, Table
from failmodes.analysis.render.formatting import (
    NO_BREAK,
    format_count,
    format_number_interval,
    format_percent_interval,
    format_points_interval,
    join_names,
)
from failmodes.analysis.statistics.bootstrap import Word
from failmodes.analysis.text_tables import html_table, markdown_table, terminal_text
from failmodes.warehouse.errors import printable
from failmodes.warehouse.markdown import harmless

if TYPE_CHECKING:
    import polars as pl

MARKS: dict[Word, str] = {"supported": "✓", "contradicted": "✗", "inconclusive": "?", "not_measurable": "–"}
POINTS = ("difference of shares", "accuracy", "share of attention", "confidence minus accuracy")
SHARES = ("share", "share of images", "share of answers", "share of predictions", "share of log-loss")
TEXTS = ("Model", "Verdict", "Value")  # columns of words
MOST_LETTERS = 400  # of a claim, or of a reason


def as_text(claims: Sequence[ClaimRow], width: int) -> str:
    """A table and the sum, for a terminal of so many letters a line."""
    found = claim_table(claims)
    parts: list[str | Table] = [found, ""] if found.rows else []
    return terminal_text([*parts, counts_sentence(claims)], width, lambda text: printable(text, MOST_LETTERS))


def as_markdown(claims: Sequence[ClaimRow]) -> str:
    """The sum and a table; texts from outside hold no markup."""
    found = claim_table(claims, lambda text: harmless(text, MOST_LETTERS))
    lines = [f"**{counts_sentence(claims)}**", *(["", *markdown_table(found)] if found.rows else [])]
    return "\n".join(lines).replace(NO_BREAK, " ") + "\n"


def as_html(claims: Sequence[ClaimRow]) -> str:
    """The sum and a table."""
    return f"<p>{escape(counts_sentence(claims))}</p>{html_table(claim_table(claims))}"


def claim_groups(claims: Sequence[ClaimRow]) -> list[list[ClaimRow]]:
    """The rows of each claim, in the order of the claims."""
    groups: dict[int, list[ClaimRow]] = {}
    for row in claims:
        groups.setdefault(row.claim_number, []).append(row)
    return list(groups.values())


def number_text(row: ClaimRow) -> str:
    """The number that decides with its interval in its unit, such as 43.1 points [40.1, 45.0]; else an en dash."""
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


def counts_text(claims: Sequence[ClaimRow]) -> str:
    """How often claims have each verdict: 3 supported and 1 inconclusive."""
    counts = {word: sum(row.verdict == word for row in claims) for word in MARKS}
    return join_names(f"{count:,} {word.replace('_', ' ')}" for word, count in counts.items() if count)


def counts_sentence(claims: Sequence[ClaimRow]) -> str:
    """How many claims there are, and how often they have each verdict."""
    if not claims:
        return "No claims are stated."
    groups = format_count(len({row.claim_number for row in claims}), "claim")
    return f"{groups}, judged {format_count(len(claims), 'time')}: {counts_text(claims)}."


def claim_table(claims: Sequence[ClaimRow], quote: Callable[[str], str] = str) -> Table:
    """A row a claim and model; the claim stands in the first of its rows, a reason beneath the number.

    Args:
        claims: judged.
        quote: how texts from outside are written.
    """
    rows = [
        (
            Cell("" if place else quote(row.claim)),
            Cell(quote(row.model_label) if row.model_label else EMPTY),
            Cell(f"{MARKS[row.verdict]} {row.verdict.replace('_', ' ')}"),
            Cell(number_text(row), quote(row.reason or "")),
            Cell(EMPTY if row.n is None else f"{row.n:,}"),
        )
        for group in claim_groups(claims)
        for place, row in enumerate(group)
    ]
    note = (
        "Supported: the whole interval is on the side of the claim; contradicted: on the other side; else "
        "inconclusive. Each claim is judged by itself."
    )
    return Table("Claims", note, ("Claim", "Model", "Verdict", "Value", "Images"), tuple(rows), texts=TEXTS)


class ClaimsResult(Sequence[ClaimRow]):
    """Judged claims: they print as a table, show themselves in notebooks, and become a data frame.

    What `Warehouse.claims` returns: a row a claim and model, in the order of the claims.

    Examples:
        >>> found = w.claims([{"shape": "near_linear", "corruptions": ["contrast"]}])
        >>> print(found)                                         # in a notebook it shows itself
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

    def to_text(self, width: int = 110) -> str:
        """The table for a terminal of so many letters a line."""
        return as_text(self._claims, width)

    def to_markdown(self) -> str:
        """Markdown for a pull request."""
        return as_markdown(self._claims)

    def to_json(self) -> str:
        """Everything as JSON: an object with `claims`, a list of rows of the table `claims`."""
        from failmodes.warehouse.runner_commands import json_without_commands

        document = {"claims": [row._asdict() for row in self._claims]}
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False).replace("\u00a0", " ")
        return json_without_commands(text) + "\n"

    def save(self, path: "str | os.PathLike[str]", *, force: bool = False) -> Path:
        """Write it as .md, .json or .txt.

        Args:
            path: the file.
            force: replace even a study, warehouse or results shard that has one of these suffixes.

        Raises:
            StudyError: another suffix, or a file that must not be replaced.
            StorageError: the file could not be written.
        """
        from failmodes.warehouse.output_files import check_output, write_output

        target = Path(path)
        formats = {".txt": self.to_text, ".json": self.to_json, ".md": self.to_markdown}
        check_output(target, formats, force=force)
        write_output(target, formats[target.suffix.lower()]().encode(), formats, force=force)
        return target

    def __repr__(self) -> str:
        return self.to_text().rstrip("\n")

    def _repr_html_(self) -> str:
        return as_html(self._claims)
