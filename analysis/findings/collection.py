"""Findings: sentences built from figures and their intervals; undecided is a verdict like any other."""

import duckdb

from failmodes.analysis.findings.attention import attention_findings
from failmodes.analysis.findings.calibration import confidence_findings
from failmodes.analysis.findings.corruption_cost import cost_findings
from failmodes.analysis.findings.curve_shape import shape_findings
from failmodes.analysis.findings.finding import Finding
from failmodes.analysis.findings.limits import limitation_findings
from failmodes.analysis.findings.model_comparison import comparison_findings
from failmodes.analysis.selection import Selection

__all__ = ["Finding", "findings"]


def findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """Everything that can be said of a selection, in the order of a report; needs shapes (see `ensure_shapes`)."""
    parts = (
        cost_findings,
        shape_findings,
        confidence_findings,
        attention_findings,
        comparison_findings,
        limitation_findings,
    )
    found = [finding for part in parts for finding in part(con, selection)]
    topics = list(dict.fromkeys(finding.topic for finding in found))
    return sorted(found, key=lambda finding: topics.index(finding.topic))
