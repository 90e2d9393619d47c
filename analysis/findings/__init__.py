"""Findings: sentences built from figures and their intervals; undecided is a verdict like any other."""

import duckdb

from analysis.findings.attending import attention_findings
from analysis.findings.comparing import comparison_findings
from analysis.findings.confiding import confidence_findings
from analysis.findings.falling import cost_findings, shape_findings
from analysis.findings.finding import Finding
from analysis.findings.limits import limit_findings
from analysis.selection import Selection

__all__ = ["Finding", "findings"]


def findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """Everything that can be said of a selection, in the order of a report; needs shapes (see `ensure_shapes`)."""
    parts = (
        cost_findings,
        shape_findings,
        confidence_findings,
        attention_findings,
        comparison_findings,
        limit_findings,
    )
    found = [finding for part in parts for finding in part(con, selection)]
    topics = list(dict.fromkeys(finding.topic for finding in found))
    return sorted(found, key=lambda finding: topics.index(finding.topic))
