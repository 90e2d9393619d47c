"""All findings of a warehouse, as a sequence, a table and in a notebook, and the limitations of its data."""

from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from opened_results import opened
from rewritten_shards import cell_of, make_non_finite
from synthetic_results import Synthetic

from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.evaluations.shared_cells import LeftOut
from failmodes.analysis.judging.findings.collection import Findings, collect, limitations
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


def by_topic(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[str, Limitation]:
    return {limitation.topic: limitation for limitation in limitations(con, selection)}


def test_they_say_what_is_on_record(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    found = by_topic(con, selection)
    assert {"Training", "Images", "Pixels", "Severity", "Errors", "Shapes", "Error rates", "Attention"} == set(found)
    text = " ".join(f"{one.sentence} {one.detail}" for one in found.values())
    for fact in ("400\u00a0images", "synthetic: no real images", "2,000 resamples", "more than 2\u00a0training runs"):
        assert fact in text
    alpha, beta = selection.evaluations
    another = replace(beta, facts=beta.facts | {"architecture": "vit", "training_seed": None})
    chosen = replace(alpha, facts=alpha.facts | {"class_protocol": "all", "training_seed": 3})
    other = by_topic(
        con, replace(selection, evaluations=(chosen, another), left_out=(LeftOut("Gamma", "it has no clean images"),))
    )
    assert "Alpha 3 and Beta not stated" in other["Training"].detail
    assert other["Classes"].sentence.startswith("Alpha predicts among ")
    assert "Gamma" in other["Excluded"].sentence
    assert "it has no clean images" in other["Excluded"].detail


@pytest.mark.test_all
def test_unpaired_data_and_rows_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    def spoil(made: Synthetic) -> None:
        make_non_finite(made, cell_of(made, "Alpha", "fog", 5), range(7))
        make_non_finite(made, cell_of(made, "Alpha"), range(2))

    options = {"images": 40, "models": ("Alpha",), "corruptions": ("fog",), "severities": (5,), "paired": False}
    with opened(tmp_path, spoil, **options) as it:
        found = by_topic(it.con, it.selection)
    assert found["Numbers"].detail.startswith("9 of Alpha")
    assert found["Pairing"].detail.startswith("labels differ")
