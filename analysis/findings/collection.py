"""All findings: those of one selection in the order of a report, and those of a whole warehouse as one sequence."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import duckdb

from failmodes.analysis.findings.answers import answer_findings
from failmodes.analysis.findings.attention import attention_findings
from failmodes.analysis.findings.calibration import confidence_findings
from failmodes.analysis.findings.corruption_cost import cost_findings
from failmodes.analysis.findings.curve_shape import shape_findings
from failmodes.analysis.findings.failure_prediction import failure_findings
from failmodes.analysis.findings.finding import Finding
from failmodes.analysis.findings.limitations import limitation_findings
from failmodes.analysis.findings.model_comparison import comparison_findings
from failmodes.analysis.formatting import format_count
from failmodes.analysis.selection import Selection, select

if TYPE_CHECKING:
    import polars as pl

TOPICS = (cost_findings, shape_findings, answer_findings, confidence_findings, failure_findings, attention_findings,
          comparison_findings, limitation_findings)  # fmt: skip


@dataclass(frozen=True, repr=False)
class Findings(Sequence[Finding]):
    """What a warehouse says, finding by finding: a sequence that prints as a list and shows itself in a notebook.

    Attributes:
        found: the findings, each a named tuple of topic, headline, detail, verdict and figures.
        images: for each of them, the images that it is about.
    """

    found: tuple[Finding, ...]
    images: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.found)

    @overload
    def __getitem__(self, index: int) -> Finding: ...

    @overload
    def __getitem__(self, index: slice) -> "Findings": ...

    def __getitem__(self, index: int | slice) -> "Finding | Findings":
        if isinstance(index, slice):
            return Findings(self.found[index], self.images[index])
        return self.found[index]

    @property
    def limitations(self) -> "Findings":
        """Only what must not be claimed."""
        return self._only(is_limitation=True)

    @property
    def bullets(self) -> list[str]:
        """The headlines without the limitations, each a line that begins with a dash."""
        return [f"- {_headline(finding)}" for finding in self._only(is_limitation=False)]

    def to_frame(self) -> "pl.DataFrame":
        """One row a finding; topic, headline, detail, verdict (found, undecided or limitation) and images as text."""
        import polars as pl

        rows = [(*finding[:4], images) for finding, images in zip(self.found, self.images, strict=True)]
        return pl.DataFrame(rows, ("topic", "headline", "detail", "verdict", "images"), orient="row")

    def _only(self, *, is_limitation: bool) -> "Findings":
        pairs = zip(self.found, self.images, strict=True)
        kept = [pair for pair in pairs if (pair[0].verdict == "limitation") == is_limitation]
        return Findings(tuple(finding for finding, _ in kept), tuple(images for _, images in kept))

    def __repr__(self) -> str:
        bullets, limits = self.bullets, self.limitations
        if bullets and limits:
            bullets.append(f"and {format_count(len(limits), 'limit')} of what these data can say: see .limitations")
        return "\n".join(bullets or [f"- {finding.headline}" for finding in limits]) or "no findings"

    def _repr_html_(self) -> str:
        parts = (("", self._only(is_limitation=False)), ("<p>What cannot be claimed:</p>", self.limitations))
        return "".join(f"{title}<ul>{''.join(map(_list_item, part))}</ul>" for title, part in parts if part)


def selection_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """Everything that can be said of a selection, in the order of a report; needs shapes (see `open_with_shapes`)."""
    found = [finding for topic_findings in TOPICS for finding in topic_findings(con, selection)]
    topics = list(dict.fromkeys(finding.topic for finding in found))
    return sorted(found, key=lambda finding: topics.index(finding.topic))


def warehouse_findings(con: duckdb.DuckDBPyConnection) -> Findings:
    """Everything that can be said of all evaluations, selection by selection; needs shapes."""
    pairs = [(finding, selection.images) for selection in select(con) for finding in selection_findings(con, selection)]
    return Findings(tuple(finding for finding, _ in pairs), tuple(images for _, images in pairs))


def _headline(finding: Finding) -> str:
    return f"{finding.headline} (undecided)" if finding.verdict == "undecided" else finding.headline


def _list_item(finding: Finding) -> str:
    return f"<li><b>{html.escape(_headline(finding))}</b> {html.escape(finding.detail)}</li>"
