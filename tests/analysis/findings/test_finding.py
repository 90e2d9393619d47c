"""What holds for every finding: its kind, one row a claim, at most 30 words, the number of images, and its query."""

import re
from collections import Counter
from pathlib import Path

import duckdb
import pytest
from checkpoint_comparisons import words_of

from failmodes.analysis.judging.findings.collection import selection_findings
from failmodes.analysis.judging.findings.kind import FEWEST_IMAGES, KINDS, Finding, Verdict, judged, rows_of
from failmodes.analysis.selection import EvaluationInfo, Selection, select_one
from failmodes.warehouse.database.query import run_query

LITERAL = re.compile("'[^']*'")
MOST_WORDS = 30
OF_SEVERAL_CLAIMS = ("early_warning", "shape_over_distortion")  # of one curve or model: a score each, an axis each


@pytest.fixture(scope="module")
def every_finding(
    all_findings: list[Finding], many_findings: list[Finding], collapsing: duckdb.DuckDBPyConnection
) -> list[Finding]:
    return [*all_findings, *many_findings, *selection_findings(collapsing, select_one(collapsing))]


def test_kinds_are_known_and_stand_in_their_order(all_findings: list[Finding]) -> None:
    kinds = [finding.kind for finding in all_findings]
    assert set(kinds) == KINDS.keys() - {"better_over_seeds"}, "each model has one training run"
    assert kinds == sorted(kinds, key=list(KINDS).index)


def test_there_is_one_row_a_claim(all_findings: list[Finding], many_findings: list[Finding]) -> None:
    for found in (all_findings, many_findings):
        keys = Counter(
            (
                f.kind,
                f.evaluation_id,
                f.corruption,
                f.other_evaluation_id,
                f.claim if f.kind in OF_SEVERAL_CLAIMS else "",
            )
            for f in found
        )
        assert [key for key, count in keys.items() if count > 1] == []


def test_sentences_are_short_and_end_like_sentences(every_finding: list[Finding]) -> None:
    long = [f.sentence for f in every_finding if len(words_of(f.sentence)) > MOST_WORDS]
    assert long == []
    assert {f.sentence[-1] for f in every_finding} == {"."}
    assert all(f.sentence[0].isupper() or f.sentence[0].isdigit() for f in every_finding)


def test_sentences_tell_the_number_of_images(every_finding: list[Finding]) -> None:
    assert [f.sentence for f in every_finding if f"{f.n:,}\u00a0image" not in f.sentence] == []


def test_sentences_name_model_and_figure(every_finding: list[Finding]) -> None:
    for finding in every_finding:
        if finding.n >= FEWEST_IMAGES:
            assert finding.model_label in finding.sentence
        if finding.low is not None:
            assert finding.low <= finding.value <= finding.high


def test_figures_lie_where_their_unit_says(every_finding: list[Finding]) -> None:
    shares = ("share of answers", "share of images", "AUROC", "ECE")
    for finding in every_finding:
        for figure in (finding.value, finding.low, finding.high):
            if figure is not None and finding.unit != "curvature":
                assert (0 if finding.unit in shares else -1) <= figure <= 1
    assert {finding.unit for finding in every_finding} <= {
        *shares, "accuracy", "curvature", "confidence minus accuracy", "share of attention", "share of log-loss",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("of", ["few", "many"])
def test_every_query_returns_rows(
    of: str, all_findings: list[Finding], many_findings: list[Finding], request: pytest.FixtureRequest
) -> None:
    con = request.getfixturevalue("con" if of == "few" else "many_con")
    queries = {finding.query for finding in (all_findings if of == "few" else many_findings)}
    for query in queries:
        assert con.execute(f"from ({query}) limit 1").fetchall(), query
    ((path,),) = con.execute("select path from duckdb_databases() where database_name = 'warehouse'").fetchall()
    by_form = {LITERAL.sub("", query): query for query in queries}  # the same but for the names in it
    assert len(by_form) > 5
    for query in by_form.values():
        assert run_query(Path(path), query).height > 0, query


INFO = EvaluationInfo("e'1", "Alpha", {})


@pytest.mark.parametrize(
    ("images", "verdict", "expected"),
    [
        (29, "supported", "inconclusive"), (29, "contradicted", "inconclusive"), (29, "inconclusive", "inconclusive"),
        (30, "supported", "supported"), (30, "contradicted", "contradicted"),
    ],
)  # fmt: skip
def test_of_few_images_nothing_is_claimed(images: int, verdict: Verdict, expected: str) -> None:
    found = judged("flat", verdict, INFO, "Said.", "from shapes", n=images, unit="accuracy", estimate=(0.1, 0.0, 0.2))
    assert found.verdict == expected
    assert (found.value, found.low, found.high, found.n) == (0.1, 0.0, 0.2, images)
    if verdict != expected:
        assert found.sentence != "Said."
        assert f"{images}\u00a0images" in found.sentence
        assert str(FEWEST_IMAGES) in found.sentence


def test_a_claim_is_its_kind_unless_it_is_one_of_several() -> None:
    assert judged("flat", "inconclusive", INFO, "Said.", "q", n=40, unit="accuracy").claim == "flat"
    assert (
        judged("shape", "supported", INFO, "Said.", "q", n=40, unit="curvature", claim="early_drop").claim
        == "early_drop"
    )


def test_names_in_a_query_are_quoted(con: duckdb.DuckDBPyConnection) -> None:
    query = rows_of("accuracy_by_severity", INFO, "it's; drop table models")
    assert con.sql(query).fetchall() == []


def test_a_comparison_names_both(selection: Selection) -> None:
    one, two = selection.evaluations
    found = judged("better_model", "supported", one, "Said.", "q", n=40, unit="accuracy", other=two)
    assert (found.evaluation_id, found.other_evaluation_id) == (one.evaluation_id, two.evaluation_id)
