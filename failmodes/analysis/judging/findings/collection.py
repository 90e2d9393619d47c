"""All findings of a warehouse as one sequence, with the sentences that are printed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import duckdb

from failmodes.analysis.judging.findings.headlines import Headline, headlines
from failmodes.analysis.judging.findings.kind import Finding, Limitation
from failmodes.analysis.judging.findings.limitations import limitations
from failmodes.analysis.render.blocks import Document, Sentence
from failmodes.analysis.render.documents import Rendered
from failmodes.analysis.render.formatting import format_count
from failmodes.analysis.selection import Selection

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, repr=False)
class Findings(Rendered, Sequence[Finding]):
    """A sequence of all judged statements, which prints as the sentences of a report.

    Attributes:
        found: the findings, each a named tuple (see `Finding`).
        headlines: the sentences that are printed, supported and inconclusive ones.
        limitations: of these data.
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
    def document(self) -> Document:
        """The headlines as a list, and a note on limitations; its data are `findings`, `headlines`, `limitations`."""
        items = [Sentence(headline.text, "item") for headline in self.headlines]
        if self.limitations:
            count = format_count(len(self.limitations), "limitation")
            items.append(Sentence(f"{count} of these data: see the report, or `limitations` in Python.", "note"))
        data = {name: [one._asdict() for one in found] for name, found in self._parts().items()}
        return Document("Findings", tuple(items or [Sentence("No findings.")]), data)

    def _parts(self) -> "dict[str, tuple[Finding | Headline | Limitation, ...]]":
        return {"findings": self.found, "headlines": self.headlines, "limitations": self.limitations}

    def to_frame(self) -> "pl.DataFrame":
        """One row a finding, with the columns of the table `findings`."""
        import polars as pl

        return pl.DataFrame(self.found, FRAME_SCHEMA, orient="row")


TEXTS = ("kind", "claim", "verdict", "evaluation_id", "model_label", "corruption", "unit", "sentence", "query",
         "other_evaluation_id", "verdict_alone")  # fmt: skip
FRAME_SCHEMA = {name: str if name in TEXTS else int if name == "n" else float for name in Finding._fields}


def collect(con: duckdb.DuckDBPyConnection, selection: Selection, found: Sequence[Finding]) -> Findings:
    """The findings of a selection, with headlines and limitations."""
    return Findings(tuple(found), tuple(headlines(found)), tuple(limitations(con, selection)))
