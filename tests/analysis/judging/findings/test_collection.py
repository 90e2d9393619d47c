"""All findings of a warehouse, as a sequence, as a list of lines, as a table and in a notebook."""

import duckdb
import pytest

from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.judging.findings.collection import Findings, collect
from failmodes.analysis.judging.findings.headlines import Headline
from failmodes.analysis.judging.findings.kind import Finding, Limitation
from failmodes.warehouse.database_schema import FINDINGS


@pytest.fixture(scope="module")
def found(con: duckdb.DuckDBPyConnection, selection: Selection, all_findings: list[Finding]) -> Findings:
    return collect(con, selection, all_findings)


def test_its_table_has_one_row_a_finding(found: Findings) -> None:
    frame = found.to_frame()
    stored = {column.name for column in FINDINGS.columns}
    assert set(frame.columns) == stored - {"position"}
    assert frame.rows() == [tuple(finding) for finding in found]
    assert Findings(()).to_frame().schema == frame.schema


def test_a_notebook_shows_escaped_text() -> None:
    headline = Headline("largest_drop", "supported", "<b>Fog</b> & snow cost most.", 2, "from shapes")
    page = Findings((), (headline,), (Limitation("Images", "<i>Few.</i>", "<script>"),))._repr_html_()
    assert "&lt;b&gt;Fog&lt;/b&gt; &amp; snow cost most. (and 2 similar)" in page
    assert "<script" not in page
