"""Abstention as somebody uses it: the command, the views, the finding, rules and claims, and tables without logits."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from given_cells import in_choosing_half
from opened_results import loaded
from run_commands import run
from scipy import stats
from warehouse_files import change_file

import failmodes
from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.warehouse.database.load import load

FOG5 = "severity = 5 and corruption = 'fog'"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model under two corruptions, with a threshold that the command has chosen."""
    made = loaded(tmp_path_factory.mktemp("abstention"), resamples=10, images=600, models=("Alpha",),
                  corruptions=("fog",), severities=(1, 5), shared_difficulty=0.7).output  # fmt: skip
    said = run("threshold", "w.duckdb", "--coverage", "0.6", folder=made).stdout
    assert "Alpha: accept a prediction if confidence is at least" in said
    return made


@pytest.fixture(scope="module")
def accepted(folder: Path) -> tuple[float, pl.DataFrame]:
    """The stored threshold, and the images of fog at severity 5 that it was not chosen on, counted by hand."""
    with failmodes.open(folder / "w.duckdb") as w:
        (threshold,) = w.sql("select threshold from thresholds")["threshold"]
        rows = w.sql(f"select image_id, confidence, correct from outcomes where {FOG5}")
    kept = rows.filter(~rows["image_id"].map_elements(in_choosing_half, pl.Boolean))
    return threshold, kept.with_columns(accepted=pl.col("confidence") >= np.float32(threshold))


def test_the_view_counts_the_other_half(folder: Path, accepted: tuple[float, pl.DataFrame]) -> None:
    _, rows = accepted
    with failmodes.open(folder / "w.duckdb") as w:
        (row,) = w.sql(f"from selective_by_severity where {FOG5}").rows(named=True)
        (chosen,) = w.sql("from thresholds").rows(named=True)
        (finding,) = w.sql("from findings where kind = 'errors_accepted' and corruption = 'fog'").rows(named=True)
        figure = w.chart("abstention")
    assert (figure.title, "seed 0" in figure.source) == (finding["sentence"].partition(" (")[0], True)
    drawn = pl.concat([pl.DataFrame(one) for one in figure.to_dict()["datasets"].values()], how="diagonal_relaxed")
    assert set(drawn.filter(severity=5)["value"]) == {row["accepted_share"], row["error_accepted"]}
    inside = rows.filter("accepted")
    errors = int((~inside["correct"]).sum())
    exact = stats.binomtest(errors, inside.height).proportion_ci(0.95, "exact")
    assert row["image_count"] + chosen["image_count"] == 600
    assert (row["accepted_count"], row["accepted_share"]) == (inside.height, pytest.approx(inside.height / rows.height))
    assert (row["error_accepted"], row["error_accepted_low"]) == pytest.approx((errors / inside.height, exact.low))
    assert chosen["accepted_count"] == np.ceil(0.6 * chosen["image_count"])
    assert (finding["value"], finding["low"], finding["n"]) == pytest.approx(
        (errors / inside.height, exact.low, inside.height)
    )
    one_sided = stats.binomtest(errors, inside.height, chosen["error_high"], alternative="greater").pvalue
    assert finding["p_value"] == pytest.approx(min(1, 2 * one_sided), rel=1e-6)
    assert finding["verdict_alone"] == ("supported" if exact.low > chosen["error_high"] else "inconclusive")


@pytest.mark.test_all
def test_a_load_keeps_the_threshold_and_a_rebuild_starts_again(folder: Path, tmp_path: Path) -> None:
    with failmodes.open(folder / "w.duckdb") as w:
        before = w.sql("from thresholds").rows()
    load([folder], folder / "w.duckdb", derivation=DERIVATION)
    load([folder], tmp_path / "again.duckdb", rebuild=True, derivation=DERIVATION)
    with failmodes.open(folder / "w.duckdb") as w, failmodes.open(tmp_path / "again.duckdb") as again:
        assert w.sql("from thresholds").rows() == before
        assert again.sql("select target, target_value from thresholds").rows() == [("error", 0.02)]


@pytest.mark.test_all
def test_rules_and_claims_state_a_threshold(folder: Path, accepted: tuple[float, pl.DataFrame]) -> None:
    threshold, rows = accepted
    inside = rows.filter("accepted")
    error = 1 - inside["correct"].mean()
    cell: dict[str, Any] = {"corruptions": ["fog"], "severities": [5], "threshold": threshold}
    rules = [
        {"metric": "error_accepted", "relation": "at_most", "limit": error + 0.2} | cell,
        {"metric": "error_accepted", "relation": "at_most", "limit": max(0.0, error - 0.2)} | cell,
        {"metric": "accepted_share", "relation": "at_least", "limit": 0.1} | cell,
    ]
    result = failmodes.gate({"gate": {"rules": rules}}, folder / "w.duckdb")
    assert [rule.verdict for rule in result.rules] == ["supported", "contradicted", "supported"]
    estimates = [rule.decisions[0].estimate for rule in result.rules]
    assert [one.value for one in estimates] == pytest.approx([error, error, inside.height / rows.height])
    assert estimates[0].high == pytest.approx(
        stats.binomtest(int((~inside["correct"]).sum()), inside.height).proportion_ci(0.9, "exact").high
    )
    with failmodes.open(folder / "w.duckdb") as w:
        (claim,) = w.claims(rules[0])
        assert (claim.verdict, claim.value) == ("supported", pytest.approx(error))
        assert len(w.sql(claim.query)) > 0


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"metric": "error_accepted"}, "threshold = X"),
        ({"metric": "accuracy", "threshold": 0.5}, "accuracy takes no threshold"),
        ({"metric": "error_accepted", "threshold": "high"}, "threshold"),
        ({"metric": "error_accepted", "threshold": 0.5, "score": "fog"}, "unknown score"),
    ],
)
def test_rules_without_a_meaning_are_refused(folder: Path, rule: dict[str, Any], expected: str) -> None:
    whole = {"relation": "at_most", "limit": 0.5} | rule
    with pytest.raises(failmodes.StudyError, match=expected):
        failmodes.gate({"gate": {"rules": [whole]}}, folder / "w.duckdb")


@pytest.mark.test_all
@pytest.mark.parametrize(
    "options",
    [("--error", "nan"), ("--error", "0.1", "--coverage", "0.5"), ("--model", "Gamma")],
)
def test_options_without_a_meaning_are_refused_and_change_nothing(folder: Path, options: tuple[str, ...]) -> None:
    before = (folder / "w.duckdb").read_bytes()
    done = run("threshold", "w.duckdb", *options, folder=folder, expect=2)
    assert done.stderr.count("\n") == 1
    assert (folder / "w.duckdb").read_bytes() == before


@pytest.mark.test_all
def test_a_table_with_a_confidence_alone_has_a_threshold_and_no_sets(tmp_path: Path) -> None:
    count, rng = 800, np.random.default_rng(0)
    confidence = rng.random(count)
    wrong = rng.random(count) < 0.3 * (1 - confidence) ** 2
    table = pl.DataFrame({
        "image": [f"{number}.png" for number in range(count)], "label": np.arange(count) % 5,
        "prediction": (np.arange(count) + wrong) % 5, "confidence": confidence,
    })  # fmt: skip
    shown = [table.with_columns(corruption=pl.lit(name), severity=level) for name, level in (("none", 0), ("fog", 1))]
    pl.concat(shown).write_csv(tmp_path / "table.csv")
    said = run("import", "table.csv", "--to", "out", folder=tmp_path)
    assert "prediction sets" in said.stdout + said.stderr
    run("load", "out", folder=tmp_path)
    said = run("threshold", "out", "--error", "0.1", folder=tmp_path).stdout
    assert "confidence is at least" in said
    assert "not measurable: not all logits are stored" in " ".join(said.split())
    with failmodes.open(tmp_path / "out") as w:
        assert len(w.sql("from selective_by_severity")) == 2
        assert len(w.sql("from conformal_by_severity")) == 0
        assert "2% error" not in w.chart("abstention").subtitle


@pytest.mark.test_all
@pytest.mark.parametrize("damage", ["accepted_count = null", "threshold = null", "image_count = 0"])
def test_a_threshold_that_nobody_chose_is_refused_in_one_line(folder: Path, tmp_path: Path, damage: str) -> None:
    copy = change_file(shutil.copy(folder / "w.duckdb", tmp_path / "w.duckdb"), f"update thresholds set {damage}")
    with failmodes.open(copy) as w, pytest.raises(failmodes.WarehouseError, match="is damaged: rebuild it"):
        w.chart("abstention")
