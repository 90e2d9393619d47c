"""All findings of a warehouse, as a sequence, as a list of lines and as a table."""

from pathlib import Path

import duckdb
import pytest

from failmodes.analysis.cli import print_findings
from failmodes.analysis.findings.collection import Findings, warehouse_findings
from failmodes.analysis.findings.finding import Finding


@pytest.fixture(scope="module")
def found(con: duckdb.DuckDBPyConnection) -> Findings:
    return warehouse_findings(con)


def test_it_prints_what_the_command_prints(shaped_warehouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_findings(shaped_warehouse)
    *lines, last = capsys.readouterr().out.splitlines()
    from failmodes.warehouse.database.connection import open_warehouse

    with open_warehouse(shaped_warehouse) as con:
        found = warehouse_findings(con)
    assert found.bullets == lines
    assert repr(found).splitlines()[:-1] == lines
    assert f"{len(found.limitations)} limits of what these data can say" in last
    assert any(line.endswith("(undecided)") for line in lines)


def test_it_is_a_sequence_that_nobody_changes(found: Findings, all_findings: list[Finding]) -> None:
    assert list(found) == all_findings
    assert found[-1] == all_findings[-1]
    assert isinstance(found[:2], Findings)
    assert repr(found[:2]) == f"- {found[0].headline}\n- {found[1].headline}"
    with pytest.raises(AttributeError):
        found.found = ()  # type: ignore[misc]


def test_limitations_stand_apart(found: Findings) -> None:
    limits = found.limitations
    assert {finding.verdict for finding in limits} == {"limitation"}
    assert len(found) == len(limits) + len(found.bullets)
    assert repr(limits).startswith(f"- {limits[0].headline}\n")
    assert repr(Findings((), ())) == "no findings"


def test_its_table_has_one_row_a_finding(found: Findings) -> None:
    frame = found.to_frame()
    assert frame.columns == ["topic", "headline", "detail", "verdict", "images"]
    assert frame["headline"].to_list() == [finding.headline for finding in found]
    assert set(frame["images"]) == {"400\u00a0images of Synthetic digits"}
    assert Findings((), ()).to_frame().columns == frame.columns


def test_a_notebook_shows_escaped_text() -> None:
    finding = Finding("Cost", "<b>Fog</b> & snow cost most.", "<script>", "undecided", {})
    assert Findings((finding,), ("",))._repr_html_() == (
        "<ul><li><b>&lt;b&gt;Fog&lt;/b&gt; &amp; snow cost most. (undecided)</b> &lt;script&gt;</li></ul>"
    )
