"""Judged claims: known curves, beside the findings on them, what was not evaluated, and few or unusable rows."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from checkpoint_comparisons import of_kind
from rewritten_shards import cell_of, make_non_finite
from synthetic_results import CURVES, Synthetic, write_synthetic
from warehouse_files import ensure_shapes

from failmodes.analysis.claims.judged_claim import JudgedClaim, verdict_on
from failmodes.analysis.claims.judging import UNKNOWN, judge_given, judge_stored
from failmodes.analysis.judging.findings.kind import Finding
from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.curve_shape import ShapeSettings
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.query import run_query
from failmodes.warehouse.errors import StudyError

ONE_EACH = (
    "fog costs more than brightness at 5", "contrast costs at most 43 points at 5", "fog costs most",
    "contrast is near-linear", "fog is flat", "fog collapses in one step", "fog rises", "Alpha better than Beta",
    "Alpha better than Beta when clean", "Alpha better than Beta under fog at 3", "accuracy is above 90 % when clean",
    "accuracy is above 50 % under fog", "attention is on the object when clean",
    "attention leaves the object under fog", "attention keeps its place under fog", "snow is flat",
)  # fmt: skip

# By the curves of the synthetic record, of Alpha: clean .95, at 5 .45 but for brightness, .945, and noise, .40
KNOWN = {
    "contrast costs at most 43 points at 5": "contradicted",
    "contrast costs at most 60 points at 5": "supported",
    "contrast costs at least 50 points at 5": "inconclusive",
    "contrast costs more than 25 points on average": "supported",
    "contrast costs less than 25 points on average": "contradicted",
    "brightness costs less than 10 points": "supported",
    "fog costs more than brightness at 5": "supported",
    "fog costs less than brightness at 5": "contradicted",
    "fog costs more than contrast at the last severity": "inconclusive",
    "motion_blur costs more than contrast": "supported",
    "fog costs more than contrast": "contradicted",
    "motion_blur costs most": "supported",
    "fog costs most": "contradicted",
    "gaussian_noise costs most at the last severity": "supported",
    "fog collapses late": "supported",
    "fog is near-linear": "contradicted",
    "contrast is near-linear": "supported",
    "contrast falls early": "contradicted",
    "motion_blur falls early": "supported",
    "gaussian_noise is non-monotone": "supported",
    "fog is non-monotone": "contradicted",
    "fog is flat": "contradicted",
    "brightness collapses late": "inconclusive",
    "accuracy is above 90 % when clean": "supported",
    "accuracy is at most 90 % when clean": "contradicted",
    "accuracy is above 55 % under motion_blur at 5": "contradicted",
    "accuracy is at least 70 % under fog": "supported",
    "accuracy is below 95 % on average": "supported",
    "attention is on the object when clean": "supported",
    "attention leaves the object under fog": "supported",
    "attention is on the object under fog": "supported",
}


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """Half of the rows of Alpha's fog at 5 are no finite numbers."""
    made = write_synthetic(tmp_path_factory.mktemp("spoiled"), images=80, corruptions=("fog", "contrast"),
                           severities=(2, 5))  # fmt: skip
    make_non_finite(made, cell_of(made, "Alpha", "fog", 5), range(40))
    yield from opened(made)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    yield from opened(write_synthetic(tmp_path_factory.mktemp("few"), images=29))


def opened(made: Synthetic) -> Iterator[duckdb.DuckDBPyConnection]:
    load([made.output], made.output / "w.duckdb")
    ensure_shapes(made.output / "w.duckdb", ShapeSettings(resamples=100))
    with open_warehouse(made.output / "w.duckdb") as con:
        yield con


def judged(con: duckdb.DuckDBPyConnection, claim: str, model: str = "Alpha") -> JudgedClaim:
    (found,) = [row for row in judge_given(con, [claim]) if row.model_label in (model, None, "Alpha and Beta")]
    return found


@pytest.mark.parametrize(("claim", "verdict"), KNOWN.items())
def test_a_claim_about_known_curves(con: duckdb.DuckDBPyConnection, claim: str, verdict: str) -> None:
    assert judged(con, claim).verdict == verdict


def test_a_number_is_of_the_rows(con: duckdb.DuckDBPyConnection, synthetic: Synthetic) -> None:
    correct = synthetic.correct["Alpha", "fog"]
    found = judged(con, "fog costs less than 10 points at 5")
    assert found.value == pytest.approx(correct[0].mean() - correct[5].mean())
    assert found.n == correct.shape[1]
    difference = judged(con, "fog costs more than contrast at 3")
    assert difference.value == pytest.approx(synthetic.correct["Alpha", "contrast"][3].mean() - correct[3].mean())
    accuracy = judged(con, "accuracy is above 50 % under fog")
    assert accuracy.value == pytest.approx(correct[1:].mean())


@pytest.mark.parametrize("corruption", CURVES)
def test_shapes_are_those_of_the_findings(
    con: duckdb.DuckDBPyConnection, all_findings: list[Finding], corruption: str
) -> None:
    (shape,) = of_kind(all_findings, "shape", corruption=corruption, model_label="Alpha")
    words = {"near_linear": "is near-linear", "late_collapse": "collapses late", "early_drop": "falls early",
             "non_monotone": "is non-monotone"}  # fmt: skip
    for name, said in words.items():
        found = judged(con, f"{corruption} {said}")
        if shape.verdict == "supported":
            assert found.verdict == ("supported" if shape.claim == name else "contradicted")
            assert found.sentence == shape.sentence
        else:
            assert found.verdict != "supported"
    for kind, said in (("flat", "is flat"), ("rise", "rises"), ("abrupt_drop", "collapses in one step")):
        (finding,) = of_kind(all_findings, kind, corruption=corruption, model_label="Alpha")
        found = judged(con, f"{corruption} {said}")
        assert (found.verdict, found.value, found.query) == (finding.verdict, finding.value, finding.query)


def test_drops_and_attention_never_deny_a_finding(con: duckdb.DuckDBPyConnection, all_findings: list[Finding]) -> None:
    said = {
        "largest_drop": "{} costs most at the last severity",
        "attention_drift": "attention keeps its place under {}",
        "attention_off_object": "attention leaves the object under {}",
    }
    for kind, claim in said.items():
        for finding in of_kind(all_findings, kind, model_label="Alpha"):
            verdicts = {finding.verdict, judged(con, claim.format(finding.corruption)).verdict}
            assert verdicts != {"supported", "contradicted"}


def test_the_better_checkpoint_is_that_of_the_findings(
    con: duckdb.DuckDBPyConnection, all_findings: list[Finding], selection: Selection
) -> None:
    (finding,) = of_kind(all_findings, "better_model")
    found = judged(con, "Alpha better than Beta")
    assert abs(found.value or 0) == pytest.approx(abs(finding.value or 0))
    assert "of these checkpoints, one training run each" in found.sentence
    turned = judged(con, "Beta better than Alpha", "Beta and Alpha")
    assert turned.value == pytest.approx(-(found.value or 0))
    assert found.other_evaluation_id == turned.evaluation_id


def test_models_of_several_seeds_are_judged_over_them(seeded_con: duckdb.DuckDBPyConnection) -> None:
    (found,) = judge_given(seeded_con, ["Fir better than Oak"])
    assert "over 3 and 3 training seeds" in found.sentence.replace("\u00a0", " ")
    (mixed,) = judge_given(seeded_con, ["fir better than Loner on average"])
    assert "of these 4 checkpoints, as one of the two was trained once" in mixed.sentence
    assert len(judge_given(seeded_con, ["fog is flat for Fir"])) == 3
    assert len(judge_given(seeded_con, ['fog is flat for "Fir, seed 1"'])) == 1


@pytest.mark.slow
def test_every_query_gives_rows(con: duckdb.DuckDBPyConnection, sound_warehouse: Path) -> None:
    for row in judge_given(con, ONE_EACH):
        columns = run_query(sound_warehouse, row.query)
        assert len(columns) > 0 or row.form == "shape"  # shapes are stored by whoever reports first


@pytest.mark.parametrize("claim", ONE_EACH)
def test_a_sentence_is_whole(con: duckdb.DuckDBPyConnection, claim: str) -> None:
    for row in judge_given(con, [claim]):
        assert row.sentence.endswith(".")
        assert ("images)" in row.sentence) == (row.n is not None)
        assert row.reason or row.estimate


@pytest.mark.parametrize(("claim", "reason"), {
    "snow costs most": "snow was not evaluated",
    "snow costs more than fog": "snow was not evaluated",
    "fog costs more than snow": "snow was not evaluated",
    "fog costs less than 10 points at 2.5": "fog was not evaluated at severity 2.5",
    "accuracy is above 50 % under fog at 2.5": "fog was not evaluated at severity 2.5",
    "attention leaves the object under snow": "snow was not evaluated",
    "Alpha better than Beta under snow": "snow was not evaluated",
}.items())  # fmt: skip
def test_what_was_not_evaluated_is_inconclusive(con: duckdb.DuckDBPyConnection, claim: str, reason: str) -> None:
    found = judged(con, claim)
    assert (found.verdict, found.reason, found.n, found.value) == ("inconclusive", reason, None, None)


@pytest.mark.parametrize(("claim", "says"), {
    "fog is flat for Alpah": "no model 'Alpah' was evaluated: did you mean 'Alpha'?",
    "resnet18 better than Beta": "'resnet18' names several models, Alpha and Beta: name one by its label",
    "fogg is flat": "unknown corruption 'fogg'",
}.items())  # fmt: skip
def test_a_claim_that_is_given_is_one_line(con: duckdb.DuckDBPyConnection, claim: str, says: str) -> None:
    with pytest.raises(StudyError, match="claim") as error:
        judge_given(con, [claim])
    assert says in str(error.value)


def test_names_of_several_words_without_quotation_marks_are_shown_with_them(
    seeded_con: duckdb.DuckDBPyConnection,
) -> None:
    with pytest.raises(StudyError, match="""did you mean '"Fir, seed 1" better than Oak'""" + r"\?"):
        judge_given(seeded_con, ["Fir, seed 1 better than Oak"])
    assert judge_given(seeded_con, ['"Fir, seed 1" better than Oak'])


def test_a_claim_that_is_stored_is_inconclusive_with_the_reason(con: duckdb.DuckDBPyConnection) -> None:
    stored = ["fog is flat for Alpah", "fogg is flat", "x" * 900, "fog \x1b[31m"]
    found = judge_stored(con, stored)
    assert [(row.verdict, row.form, row.evaluation_id) for row in found] == [("inconclusive", UNKNOWN, None)] * 4
    assert all(row.reason and row.claim.isprintable() and len(row.claim) <= 201 for row in found)


def test_of_few_images_nothing_is_decided(few: duckdb.DuckDBPyConnection) -> None:
    for row in judge_given(few, [claim for claim in ONE_EACH if "snow" not in claim]):
        assert row.verdict == "inconclusive"
        assert "too few" in f"{row.reason}{row.sentence}" or row.n is None


def test_rows_that_are_no_finite_numbers_decide_nothing(spoiled: duckdb.DuckDBPyConnection) -> None:
    reason = "more than 1% of the predictions under fog at 5 are no finite numbers"
    for claim in ("fog costs more than 10 points", "fog costs more than contrast", "accuracy is below 90 % under fog",
                  "Alpha better than Beta under fog"):  # fmt: skip
        found = judged(spoiled, claim)
        assert (found.verdict, found.reason) == ("inconclusive", reason)
    assert judged(spoiled, "fog collapses late").verdict == "inconclusive"
    assert judged(spoiled, "contrast costs more than 10 points").verdict == "supported"


def test_where_the_interval_lies_decides() -> None:
    within, across, beyond = Estimate(1, 0.5, 1.5), Estimate(2, 1.5, 2.5), Estimate(3, 2.5, 3.5)
    for relation in ("less than", "at most"):
        assert [verdict_on(one, relation, 2) for one in (within, across, beyond)] == [
            "supported", "inconclusive", "contradicted"]  # fmt: skip
    for relation in ("more than", "at least"):
        assert [verdict_on(one, relation, 2) for one in (within, across, beyond)] == [
            "contradicted", "inconclusive", "supported"]  # fmt: skip
    point = Estimate(2, 2, 2)
    assert verdict_on(point, "at most", 2) == verdict_on(point, "at least", 2) == "supported"
    assert verdict_on(point, "less than", 2) == verdict_on(point, "more than", 2) == "contradicted"


@pytest.mark.slow
def test_models_of_the_same_name_are_distinguished_by_their_images(tmp_path: Path) -> None:
    small = {"corruptions": ("fog",), "severities": (2, 5), "models": ("Alpha",)}
    made = [write_synthetic(tmp_path / f"{seed}", images=40 + seed, seed=seed, **small) for seed in (0, 1)]
    load([one.output for one in made], tmp_path / "w.duckdb")
    ensure_shapes(tmp_path / "w.duckdb", ShapeSettings(resamples=50))
    with open_warehouse(tmp_path / "w.duckdb") as con:
        found = judge_given(con, ["fog costs more than 10 points", "snow is flat", "fog is flat for Alpha"])
    assert [row.model_label for row in found[:2]] == [
        f"Alpha (all {count} images; cifar-c recipe, seed {seed})" for count, seed in ((41, 1), (40, 0))
    ]
    assert [row.n for row in found if row.form == "drop_limit"] == [41, 40]
    assert len([row for row in found if row.claim == "snow is flat"]) == 2
