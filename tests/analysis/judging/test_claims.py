"""Judged claims: known curves, beside the findings on them, what was not evaluated, and few or unusable rows."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from rewritten_shards import cell_of, make_non_finite
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import derivation

from failmodes.analysis.evaluations.selection import select, select_one
from failmodes.analysis.judging.claims import ClaimRow, judge_claims, judge_stored, verdict_of_shares
from failmodes.ingest.statements import as_statement, check_claims, stored_form
from failmodes.runtime.errors import StudyError
from failmodes.warehouse.curve_shapes import SHAPE_NAMES
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.query import run_query
from failmodes.warehouse.metrics.metric import all_metrics

Keys = dict[str, Any]


def accuracy(relation: str, limit: float | None, *corruptions: str, **more: Any) -> Keys:
    given = {"metric": "accuracy", "relation": relation, "limit": limit, "corruptions": list(corruptions)} | more
    return {key: value for key, value in given.items() if value not in (None, [])}


def shape(name: str, corruption: str) -> Keys:
    return {"shape": name, "corruptions": [corruption]}


def kind(name: str, *corruptions: str, **more: Any) -> Keys:
    return {"kind": name, "corruptions": list(corruptions)} | more


AT_5 = {"severities": [5]}
BETTER = {"metric": "accuracy", "relation": "better_by_at_least", "model": "Alpha", "baseline": "Beta"}
ONE_EACH = (
    accuracy("less_than", None, "fog", other={"corruptions": ["brightness"]}, **AT_5),
    {"metric": "augrc", "score": "margin", "relation": "drop_at_least", "limit": 0.05, "corruptions": ["fog"]},
    BETTER, shape("abrupt", "fog"), kind("attention_off_object", "fog"), shape("flat", "snow"),
)  # fmt: skip

# By the curves of the synthetic record, of Alpha: clean .95, at 5 .45 but for brightness, .945, and noise, .40
KNOWN = [
    (accuracy("drop_at_most", 0.43, "contrast", **AT_5), "contradicted"),
    (accuracy("drop_at_most", 0.6, "contrast", **AT_5), "supported"),
    (accuracy("drop_at_least", 0.5, "contrast", **AT_5), "inconclusive"),
    (accuracy("drop_at_least", 0.25, "contrast"), "supported"),
    (accuracy("drop_at_most", 0.6, "fog", "contrast", over="each"), "supported"),
    (accuracy("drop_at_most", 0.3, "fog", "contrast", over="each"), "contradicted"),
    (accuracy("less_than", None, "fog", other={"corruptions": ["brightness"]}, **AT_5), "supported"),
    (accuracy("less_than", None, "fog", other={"corruptions": ["contrast"]}, severities="last"), "inconclusive"),
    (accuracy("less_than", None, "fog", other={"corruptions": ["contrast"]}), "contradicted"),
    (accuracy("less_than", None, "fog", other={"severities": [1]}, **AT_5), "supported"),
    (accuracy("largest_drop", None, "motion_blur"), "supported"),
    (accuracy("largest_drop", None, "fog"), "contradicted"),
    (accuracy("largest_drop", None, "gaussian_noise", severities="last"), "supported"),
    (shape("abrupt", "fog"), "supported"),
    (shape("near_linear", "fog"), "contradicted"),
    (shape("abrupt", "motion_blur"), "inconclusive"),  # of one step exactly 70 % of the drop
    (kind("class_failure", "fog", negate=True), "inconclusive"),
    (shape("up_and_down", "gaussian_noise"), "supported"),
    (shape("flat", "fog"), "contradicted"),
    (shape("late", "brightness"), "inconclusive"),
    (accuracy("more_than", 0.9, "none"), "supported"),
    (accuracy("more_than", 0.55, "motion_blur", **AT_5), "contradicted"),
    (accuracy("at_least", 0.7, "fog"), "supported"),
    (accuracy("less_than", 0.95), "supported"),
    (kind("attention_on_object", "none"), "supported"),
    (kind("attention_off_object", "fog"), "supported"),
    (kind("attention_off_object", "fog", negate=True), "contradicted"),
    (kind("attention_off_object", "fog", "frost"), "not_measurable"),
]


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """Half of the rows of Alpha's fog at 5 are no finite numbers; and Alpha again, over other images."""
    folder = tmp_path_factory.mktemp("spoiled")
    made = write_synthetic(folder / "a", images=80, corruptions=("fog", "contrast"), severities=(2, 5))
    make_non_finite(made, cell_of(made, "Alpha", "fog", 5), range(40))
    write_synthetic(folder / "b", images=81, seed=1, models=("Alpha",), corruptions=("snow",), severities=(2, 5))
    load([folder / "a", folder / "b"], folder / "w.duckdb", derivation=derivation(resamples=200))
    with open_warehouse(folder / "w.duckdb") as con:
        yield con


def judged(con: duckdb.DuckDBPyConnection, *claims: Keys) -> list[ClaimRow]:
    return judge_claims(con, check_claims(claims, "claims"))


def of_alpha(con: duckdb.DuckDBPyConnection, claim: Keys) -> ClaimRow:
    (found,) = [row for row in judged(con, claim) if str(row.model_label).startswith("Alpha")]
    return found


@pytest.mark.parametrize(("claim", "verdict"), KNOWN)
def test_a_claim_about_known_curves(con: duckdb.DuckDBPyConnection, claim: Keys, verdict: str) -> None:
    assert of_alpha(con, claim).verdict == verdict


def test_a_number_is_of_the_rows(con: duckdb.DuckDBPyConnection, synthetic: Synthetic) -> None:
    fog, contrast = (synthetic.correct["Alpha", name] for name in ("fog", "contrast"))
    beta = synthetic.correct["Beta", "fog"]
    for claim, value in (
        (accuracy("drop_at_most", 0.1, "fog", **AT_5), fog[0].mean() - fog[5].mean()),
        (accuracy("less_than", None, "fog", other={"corruptions": ["contrast"]}, severities=[3]),
         fog[3].mean() - contrast[3].mean()),
        (accuracy("more_than", 0.5, "fog"), fog[1:].mean()),
        (BETTER | {"corruptions": ["fog"], "severities": [3, 5]}, (fog[[3, 5]].mean() - beta[[3, 5]].mean())),
    ):  # fmt: skip
        found = of_alpha(con, claim)
        assert (found.value, found.n) == (pytest.approx(value), fog.shape[1])
    turned = judged(con, BETTER | {"model": "Beta", "baseline": "Alpha"})[0]
    assert turned.value == pytest.approx(-(of_alpha(con, BETTER).value or 0))


@pytest.mark.parametrize(
    ("claimed", "shares", "verdict"),
    [
        ("late", {"late": 0.99, "abrupt": 0.01}, "supported"),
        ("late", {"late": 0.98, "abrupt": 0.02}, "inconclusive"),
        ("late", {"late": 0.0, "abrupt": 0.6, "early": 0.4}, "contradicted"),  # it drops, but not late
        ("late", {"late": 0.0, "abrupt": 0.6, "inconclusive": 0.4}, "inconclusive"),
        ("near_linear", {"near_linear": 0.0, "late": 0.6, "early": 0.4}, "inconclusive"),  # few images, that scatter
        ("late", {"late": 0.01, "abrupt": 0.99}, "contradicted"),
        ("flat", {"flat": 0.0, "up_and_down": 0.6, "inconclusive": 0.4}, "inconclusive"),  # few images, that scatter
        ("flat", {"flat": 0.0, "abrupt": 0.6, "early": 0.4}, "contradicted"),  # it drops, in whatever manner
        ("recovers", {"up_and_down": 1.0}, "contradicted"),
    ],
)
def test_a_shape_is_contradicted_where_another_is_shown(claimed: str, shares: dict[str, float], verdict: str) -> None:
    assert verdict_of_shares(claimed, dict.fromkeys(SHAPE_NAMES, 0.0) | shares) == verdict


@pytest.mark.test_all
def test_models_of_several_seeds_are_judged_over_them(seeded_con: duckdb.DuckDBPyConnection) -> None:
    (found,) = judged(seeded_con, BETTER | {"model": "Fir", "baseline": "Oak"})
    assert (found.verdict, found.model_label) == ("supported", "Fir and Oak")
    assert "over training seeds" in found.sentence
    (mixed,) = judged(seeded_con, BETTER | {"model": "fir", "baseline": "Loner"})
    assert "these checkpoints only" in mixed.sentence
    for name, count in (("Fir", 3), ("Fir, seed 1", 1)):
        assert len(judged(seeded_con, shape("flat", "fog") | {"model": name})) == count


@pytest.mark.test_all
def test_every_query_gives_rows(con: duckdb.DuckDBPyConnection, shaped_warehouse: Path) -> None:
    for row in judged(con, *ONE_EACH):
        assert len(run_query(shaped_warehouse, row.query)) > 0 or row.verdict == "not_measurable"


@pytest.mark.parametrize(
    ("claim", "named"),
    [
        (accuracy("drop_at_most", 0.1, "fog", severities=[1.5]), "fog 1.5 was not evaluated"),
        (accuracy("less_than", None, "fog", other={"corruptions": ["snow"]}), "snow was not evaluated"),
        (kind("attention_drift", "snow", "frost"), "snow and frost were not evaluated"),
        (shape("flat", "snow"), "snow was not evaluated"),
    ],
    ids=str,
)
def test_what_was_not_evaluated_is_not_measurable_and_named(
    con: duckdb.DuckDBPyConnection, claim: Keys, named: str
) -> None:
    found = of_alpha(con, claim)
    assert (found.verdict, found.value, found.n) == ("not_measurable", None, None)
    assert str(found.reason).replace("\u00a0", " ") == named


@pytest.mark.parametrize(
    ("claim", "says"),
    [
        (shape("flat", "foog"), "unknown corruption 'foog': did you mean 'fog'"),
        (kind("attention_drifts", "fog"), "unknown kind 'attention_drifts': did you mean 'attention_drift'"),
        ({"metric": "acuracy", "relation": "at_least", "limit": 0.5}, "unknown metric 'acuracy': did you mean"),
        (accuracy("at_least", 0.5, "fog", model="Alpah"), "no model 'Alpah' was evaluated: did you mean 'Alpha'"),
        ({"kind": "early_warning", "score": "margins"}, "unknown score 'margins': did you mean 'margin'"),
        (BETTER | {"baseline": "Nobody"}, "no model 'Nobody' was evaluated"),
    ],
    ids=str,
)
def test_a_claim_about_what_there_is_not_is_an_error(con: duckdb.DuckDBPyConnection, claim: Keys, says: str) -> None:
    with pytest.raises(StudyError) as error:
        judged(con, claim)
    assert says in str(error.value)


@pytest.mark.parametrize("score", [None, "margin", "drift_beyond_margin"])
def test_early_warning_is_judged_by_the_stated_score(con: duckdb.DuckDBPyConnection, score: str | None) -> None:
    """By default confidence, as in metrics of failure prediction."""
    found = of_alpha(con, {"kind": "early_warning"} | ({"score": score} if score else {}))
    (expected,) = con.sql(
        "select share, share_low, share_high from early_warning join evaluation_labels using (evaluation_id) "
        "where model_label = 'Alpha' and score = $1", params=[score or "confidence"],
    ).fetchall()  # fmt: skip
    assert (found.value, found.low, found.high) == pytest.approx(expected)
    assert found.claim == f"{(score or 'confidence').replace('_', ' ')} predicts which images fail at the next severity"


@pytest.mark.test_all
def test_with_one_image_a_class_the_null_of_drift_is_what_is_missing(tmp_path: Path) -> None:
    write_synthetic(
        tmp_path / "results", images=40, classes=40, corruptions=("fog",), severities=(5,), models=("Alpha",)
    )
    load([tmp_path / "results"], tmp_path / "w.duckdb")
    with open_warehouse(tmp_path / "w.duckdb") as con:
        found = of_alpha(con, kind("attention_drift", "fog"))
    assert (found.verdict, found.value) == ("not_measurable", None)
    assert "no class has two images" in str(found.reason)


def test_a_claim_that_is_stored_says_why_it_cannot_be_judged(con: duckdb.DuckDBPyConnection) -> None:
    unknown = stored_form(as_statement(shape("flat", "fog") | {"model": "Alpah"}))
    found = judge_stored(con, [unknown, '{"shape": "bent"}', "x" * 900, '{"name": "\x1b[31m"}'])
    assert [(row.verdict, row.kind, row.evaluation_id) for row in found] == [("not_measurable", "unknown", None)] * 4
    assert all(row.reason and row.claim.isprintable() and len(row.claim) <= 201 for row in found)


def test_rows_that_are_no_finite_numbers_decide_nothing(spoiled: duckdb.DuckDBPyConnection) -> None:
    contrast = {"corruptions": ["contrast"]}
    for claim in (
        accuracy("less_than", None, "fog", other=contrast), accuracy("less_than", 0.9, "fog"),
        BETTER | {"corruptions": ["fog"]}, accuracy("largest_drop", None, "contrast"), shape("late", "fog"),
    ):  # fmt: skip
        found = of_alpha(spoiled, claim)
        assert found.verdict == "inconclusive"
        assert "not finite" in str(found.reason)
    assert of_alpha(spoiled, accuracy("drop_at_least", 0.1, "contrast")).verdict == "supported"
    assert of_alpha(spoiled, accuracy("drop_at_most", 0.5, "fog", severities=[2])).verdict == "supported"


def test_evaluations_of_other_images_do_not_share_a_selection(spoiled: duckdb.DuckDBPyConnection) -> None:
    assert [selection.image_count for selection in select(spoiled)] == [80, 81]
    with pytest.raises(StudyError, match="name one evaluation"):
        select_one(spoiled)


def test_of_several_records_those_that_have_nothing_of_a_claim_are_left_out(spoiled: duckdb.DuckDBPyConnection) -> None:
    for claim, counts in ((accuracy("at_least", 0.1, "contrast"), [80, 80]), (accuracy("at_least", 0.1, "snow"), [81])):
        assert [row.n for row in judged(spoiled, claim)] == counts
    clean = judged(spoiled, accuracy("at_least", 0.1, "none", model="Alpha"))
    assert [(row.n, f"all {row.n} images" in str(row.model_label)) for row in clean] == [(80, True), (81, True)]


def test_a_claim_may_name_a_metric_that_a_user_brings(con: duckdb.DuckDBPyConnection) -> None:
    metric = replace(all_metrics()["accuracy"], name="mine")
    claim = check_claims([accuracy("at_least", 0.9, "none") | {"metric": "mine"}], "claims")
    assert {row.verdict for row in judge_claims(con, claim, [metric])} == {"supported"}
