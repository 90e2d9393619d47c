"""All findings of a warehouse as one sequence, with what is printed of them."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import duckdb

from failmodes.analysis.judging.findings.headlines import Headline, headlines
from failmodes.analysis.judging.findings.kind import Finding, Limitation
from failmodes.analysis.judging.findings.limitations import limitations
from failmodes.analysis.render.formatting import format_count
from failmodes.analysis.selection import Selection

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, repr=False)
class Findings(Sequence[Finding]):
    """What a warehouse says: a sequence of everything that was judged, which prints as the sentences of a report.

    Attributes:
        found: the findings, each a named tuple (see `Finding`).
        headlines: the sentences that are printed, of what is supported and of what is inconclusive.
        limitations: what must not be claimed.
    """

    found: tuple[Finding, ...]
    headlines: tuple[Headline, ...] = ()
    limitations: tuple[Limitation, ...] = ()

    def __len__(self) -> int:
        return len(self.found)

    @overload
    def __getitem__(self, index: int) -> Finding: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Finding, ...]: ...

    def __getitem__(self, index: int | slice) -> Finding | tuple[Finding, ...]:
        return self.found[index]

    @property
    def bullets(self) -> list[str]:
        """The printed sentences, each a line that begins with a dash."""
        return [f"- {headline.text}" for headline in self.headlines]

    def to_frame(self) -> "pl.DataFrame":
        """One row a finding, with the columns of the table `findings`."""
        import polars as pl

        return pl.DataFrame(self.found, FRAME_SCHEMA, orient="row")

    def __repr__(self) -> str:
        limits = [f"and {format_count(len(self.limitations), 'limit')} of what these data can say: see .limitations"]
        return "\n".join(self.bullets + limits * bool(self.limitations)) or "no findings"

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{html.escape(headline.text)}</li>" for headline in self.headlines)
        limits = "".join(f"<li><b>{html.escape(x.sentence)}</b> {html.escape(x.detail)}</li>" for x in self.limitations)
        return f"<ul>{items}</ul>" + (f"<p>What cannot be claimed:</p><ul>{limits}</ul>" if limits else "")


TEXTS = ("kind", "claim", "verdict", "evaluation_id", "model_label", "corruption", "unit", "sentence", "query",
         "other_evaluation_id", "verdict_alone")  # fmt: skip
FRAME_SCHEMA = {name: str if name in TEXTS else int if name == "n" else float for name in Finding._fields}


def collect(con: duckdb.DuckDBPyConnection, selection: Selection, found: Sequence[Finding]) -> Findings:
    """The findings of a selection with what is printed of them and its limitations."""
    return Findings(tuple(found), tuple(headlines(found)), tuple(limitations(con, selection)))
