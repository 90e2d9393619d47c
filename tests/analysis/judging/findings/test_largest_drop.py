"""Which corruption costs most: judged by its lead over each other, inconclusive where noise could explain it."""

from pathlib import Path

import duckdb
import pytest
from checkpoint_comparisons import judged, of_kind
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import ensure_shapes

from failmodes.analysis.judging.findings.kind import Finding
from failmodes.analysis.judging.findings.largest_drop import largest_drop_of_one, largest_drop_sentence
from failmodes.analysis.selection import Selection, select_one
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.curve_shape import ShapeSettings
from failmodes.analysis.statistics.model_accuracy import CorruptionDrop, DropRanking, drop_rankings
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load

NAMES = {"fog": "Fog", "snow": "Snow", "frost": "Frost"}


def test_the_corruption_of_the_largest_drop_is_named(all_findings: list[Finding], synthetic: Synthetic) -> None:
    first, *others = of_kind(all_findings, "largest_drop", model_label="Alpha")
    correct = synthetic.correct["Alpha", "gaussian_noise"].sum(axis=1)
    drop = (correct[0] - correct[-1]) / 400
    assert (first.corruption, first.verdict, first.severity) == ("gaussian_noise", "supported", 5)
    assert first.value == pytest.approx(drop)
    assert first.sentence.startswith("Gaussian noise costs Alpha most")
    assert f"{100 * drop:.1f}\u00a0points [{100 * first.low:.1f}" in first.sentence
    assert {finding.verdict for finding in others} == {"contradicted"}
    assert len(others) == 4
    for other in others:
        rows = synthetic.correct["Alpha", other.corruption].sum(axis=1)
        assert other.value == pytest.approx((rows[0] - rows[-1]) / 400)


def test_the_verdict_is_by_the_lead_over_each_other(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    for evaluation, ranking in drop_rankings(con, selection).items():
        first, *others = of_kind(
            judged(con, selection, "largest_drop"), "largest_drop", evaluation_id=evaluation.evaluation_id
        )
        assert (first.verdict == "supported") == ranking.is_clear
        assert [f.verdict == "contradicted" for f in others] == [lead.above_zero for lead in ranking.leads]


def test_drops_that_cannot_be_distinguished_are_inconclusive(con: duckdb.DuckDBPyConnection) -> None:
    close = select_one(con, models=["Alpha"], corruptions=["fog", "contrast"])
    found = judged(con, close, "largest_drop")
    assert {finding.verdict for finding in found} == {"inconclusive"}
    for part in ("Alpha", "at severity 5", "fog", "contrast", "0.5\u00a0points ["):
        assert part in found[0].sentence


def test_of_those_not_distinguished_the_nearest_is_named() -> None:
    drops = {"fog": 0.5, "snow": 0.48, "frost": 0.47}
    drops = [CorruptionDrop(c, 5.0, Estimate(d, d - 0.05, d + 0.05)) for c, d in drops.items()]
    leads = (Estimate(0.02, 0.001, 0.04), Estimate(0.03, -0.01, 0.07))
    text = largest_drop_of_one("A", DropRanking(tuple(drops), leads, ()), NAMES)
    assert "fog and frost" in text
    assert "3.0\u00a0points [\u22121.0,\u00a07.0]" in text


def test_what_is_withheld_says_why() -> None:
    text = largest_drop_of_one("A", DropRanking((), (), (), ("fog", "snow")), NAMES)
    assert (
        text == "What costs A most is inconclusive: too many predictions are no finite numbers under 2\u00a0corruptions"
    )


def test_noise_gives_no_corruption_the_largest_drop(
    many_con: duckdb.DuckDBPyConnection, many_selection: Selection
) -> None:
    clear = [r.drops[0].corruption for r in drop_rankings(many_con, many_selection).values() if r.is_clear]
    assert clear == []
    assert largest_drop_sentence(many_con, many_selection).startswith("In none of 6 models")


@pytest.mark.parametrize("models", [["Birch"], ["Aspen", "Birch"]], ids=["one", "two"])
def test_few_models_say_so_where_nothing_drops(many_con: duckdb.DuckDBPyConnection, models: list[str]) -> None:
    few = select_one(many_con, models=models)
    assert largest_drop_sentence(many_con, few).endswith(
        "No corruption is shown to lower the accuracy of Birch at severity 5"
    )
    birch = of_kind(judged(many_con, few, "largest_drop"), "largest_drop", model_label="Birch")
    assert {finding.verdict for finding in birch} == {"inconclusive"}
    assert birch[0].sentence.startswith("No corruption is shown to lower the accuracy of Birch at severity 5")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("models", "fall", "start"),
    [
        ("ABC", 0.0, "In none of 3 models one corruption"),
        ("AB", 1.0, "Fog costs both models most: "),
        ("ABCDE", 1.0, "Fog costs all 5 models most: from "),
    ],
    ids=["nothing costs", "two", "one corruption costs all"],
)
def test_titles_where_all_models_agree(tmp_path: Path, models: str, fall: float, start: str) -> None:
    results = write_synthetic(tmp_path, images=40, models=tuple(models), falls=dict.fromkeys(models, fall),
                             corruptions=("fog",), severities=(5,))  # fmt: skip
    path = tmp_path / "warehouse.duckdb"
    load([results.output], path)
    ensure_shapes(path, ShapeSettings(resamples=50))
    with open_warehouse(path) as con:
        text = largest_drop_sentence(con, select_one(con))
    assert text.startswith(start)
    if fall:
        counts = [results.correct[label, "fog"].sum(axis=1) for label in models]
        drops = [100 * (rows[0] - rows[1]) / 40 for rows in counts]
        parts = text.removeprefix(start).split(" and " if len(models) == 2 else " to ")
        shown = drops if len(models) == 2 else [min(drops), max(drops)]
        assert [part.split("\u00a0points [")[0] for part in parts] == [f"{drop:.1f}" for drop in shown]
