"""All findings: those of one selection in the order of a report, and those of a whole warehouse as one sequence."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, overload

import duckdb

from failmodes.analysis.findings.attention import attention_findings
from failmodes.analysis.findings.calibration import confidence_findings
from failmodes.analysis.findings.checkpoint_comparison import comparison_findings
from failmodes.analysis.findings.corruption_drop import drop_findings
from failmodes.analysis.findings.curve_shape import shape_findings
from failmodes.analysis.findings.distortion_shapes import distortion_shape_findings
from failmodes.analysis.findings.early_warning import early_warning_findings
from failmodes.analysis.findings.failure_prediction import failure_findings
from failmodes.analysis.findings.finding import KINDS, Finding, Limitation
from failmodes.analysis.findings.headlines import Headline, headlines
from failmodes.analysis.findings.limitations import limitations
from failmodes.analysis.findings.predictions import class_findings, prediction_findings
from failmodes.analysis.findings.training_seeds import seed_findings
from failmodes.analysis.formatting import format_count
from failmodes.analysis.selection import EvaluationInfo, Selection

if TYPE_CHECKING:
    import polars as pl

OF_EVALUATIONS = (drop_findings, shape_findings, distortion_shape_findings, prediction_findings, class_findings,
                  confidence_findings, failure_findings, early_warning_findings, attention_findings)  # fmt: skip
OF_PAIRS = (seed_findings, comparison_findings)


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
         "other_evaluation_id")  # fmt: skip
FRAME_SCHEMA = {name: str if name in TEXTS else int if name == "n" else float for name in Finding._fields}


def evaluation_findings(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> list[Finding]:
    """Everything that is judged of one evaluation of a selection; needs shapes (see `open_current`)."""
    only = selection.only(evaluation)
    return [finding for of_topic in OF_EVALUATIONS for finding in of_topic(con, only)]


def pair_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """Everything that is judged of pairs of a selection: each finding names another evaluation."""
    return [finding for of_topic in OF_PAIRS for finding in of_topic(con, selection)]


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Findings in the order of `KINDS`, those of a kind as they come."""
    kinds = list(KINDS)
    return sorted(findings, key=lambda finding: kinds.index(finding.kind))


def selection_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """Everything that is judged of a selection, in the order of `KINDS`; needs shapes (see `open_current`)."""
    of_each = (evaluation_findings(con, selection, one) for one in selection.evaluations)
    return in_order([*chain.from_iterable(of_each), *pair_findings(con, selection)])


def collect(con: duckdb.DuckDBPyConnection, selection: Selection, found: Sequence[Finding]) -> Findings:
    """The findings of a selection with what is printed of them and its limitations."""
    return Findings(tuple(found), tuple(headlines(found)), tuple(limitations(con, selection)))
