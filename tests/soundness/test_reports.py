"""Whole simulated reports: what is true of a scenario, what a report prints, and that one is judged as after a load."""

import re
from pathlib import Path

import numpy as np
import pytest
from page import markdown
from page_sentences import is_true, read
from report_data import CELLS, draw_rows
from report_page import read_reports
from report_scenarios import CLASSES, FALLING, SCENARIOS, TIED, ModelTruth, Scenario, Statement, true_statements
from reports import Outcome, judge_report, printed, simulate, statement_of, summarize
from stored_rows import read_rows

from failmodes.analysis.judging.findings.headlines import headlines
from failmodes.analysis.judging.findings.kind import Finding, proposed

pytestmark = pytest.mark.test_all
DOCS = Path(__file__).parents[2] / "docs"
STATED = ("better_model", "largest_drop", "shape", "abrupt_drop", "flat", "rise", "prediction_collapse",
          "class_failure", "overconfidence", "calibration_error", "confidence_below_chance",
          "early_warning", "errors_accepted")  # fmt: skip
WITHOUT_ATTENTION = "attention"  # what the names of kinds begin with that no simulated report has rows of


def finding(kind: str, model: str = "alder", verdict: str = "supported", **columns) -> Finding:
    given = {"claim": kind, "corruption": None, "value": 0.1, "low": 0.0, "high": 0.2, "unit": "accuracy", "n": 500,
             "sentence": "", "query": "", **columns}  # fmt: skip
    return Finding(kind=kind, verdict=verdict, evaluation_id=model, model_label=model, **given)


def two_models(**of_second):
    return Scenario("of a test", (ModelTruth(FALLING), ModelTruth(**{"curves": FALLING, **of_second})))


def test_equal_models_have_no_better_one_and_calibrated_ones_no_error() -> None:
    true = true_statements(two_models())
    kinds = {one.kind for one in true}
    assert kinds.isdisjoint({"better_model", "overconfidence", "calibration_error", "confidence_below_chance"})
    assert {one.about for one in true if one.kind == "largest_drop"} == {"gaussian_noise"}
    assert Statement("shape", "birch", "brightness", "flat") in true
    assert Statement("early_warning", "alder", "margin") in true


def test_the_better_model_is_more_accurate_on_average_and_of_two_drops_that_tie_none_is_the_largest() -> None:
    lower = {**FALLING, "fog": (0.9, 0.9, 0.89, 0.88, 0.87, 0.65)}
    better = {one for one in true_statements(two_models(curves=lower)) if one.kind == "better_model"}
    assert better == {Statement("better_model", "alder")}
    tied = true_statements(two_models(curves=TIED))
    assert {one.model for one in tied if one.kind == "largest_drop"} == {"alder"}


@pytest.mark.parametrize(("overconfidence", "verdict"), [(0.05, "supported"), (-0.05, "contradicted")])
def test_a_model_is_over_or_underconfident_in_every_cell(overconfidence: float, verdict: str) -> None:
    true = true_statements(two_models(overconfidence=overconfidence))
    said = [one for one in true if one.kind == "overconfidence"]
    assert {(one.model, one.word) for one in said} == {("birch", verdict)}
    assert len(said) == 7
    assert Statement("calibration_error", "birch") in true


def test_confidence_that_knows_nothing_warns_of_nothing_and_is_not_below_chance() -> None:
    about = {one.kind for one in true_statements(two_models(insight=0.0)) if one.model == "birch"}
    assert about.isdisjoint({"early_warning", "confidence_below_chance"})
    about = {one.kind for one in true_statements(two_models(insight=-0.3)) if one.model == "birch"}
    assert {"early_warning", "confidence_below_chance"} <= about


def test_predictions_collapse_half_way_to_one_class_and_a_class_fails_beyond_the_limit() -> None:
    curves = {name: (0.9, 0.8, 0.7, 0.6, 0.4, 0.2) for name in two_models().models[0].curves}
    model = ModelTruth(curves, dominated={("fog", 5): 1.0, ("fog", 4): 1.0})
    assert model.share_of_dominant(("fog", 5)) == pytest.approx(0.02 + 0.9 * 0.8)
    assert model.share_of_dominant(("fog", 4)) == pytest.approx(0.04 + 0.9 * 0.6)
    half = ModelTruth(curves, dominated={("fog", 4): 0.8})  # 49 %, and the limit is 55 %
    true = true_statements(two_models()._replace(models=(model, half)))
    assert {(one.model, one.word) for one in true if one.kind == "prediction_collapse"} == {
        ("alder", "3 at 5"), ("alder", "3 at 4")
    }  # fmt: skip
    true = true_statements(two_models(weak={("fog", 5): 0.5, ("fog", 4): 0.2}))
    assert {(one.model, one.about, one.word) for one in true if one.kind == "class_failure"} == {
        ("birch", "fog", "7 at 5")
    }


def test_what_is_printed_is_held_against_the_truth() -> None:
    found = [
        finding("better_model"),
        finding("largest_drop", corruption="gaussian_noise"),
        finding("largest_drop", corruption="contrast", verdict="contradicted"),
        finding("largest_drop", "birch", corruption="contrast", verdict="inconclusive"),
        finding("overconfidence", corruption="fog", verdict="contradicted"),
        finding("early_warning", claim="margin"),
    ]
    outcome = judge_report(found, two_models(), [Statement("better_model", "alder")], [])
    assert outcome.printed == {"better_model": 1, "largest_drop": 1, "overconfidence": 1, "early_warning": 1}
    assert outcome.false == {"better_model": 1, "overconfidence": 1}
    assert outcome.is_first_screen_false
    assert outcome.said["largest_drop"] == (1, 2)
    assert outcome.said["early_warning"] == (1, 6)


SENTENCES = {
    "Alder degrades most under fog: it drops late, from 89.6% clean to 18.6% at severity 5 (71.0 points [66.6, 74.7]), "
    "where it predicts “class-3” for 375 of 500 images.": {
        Statement("largest_drop", "alder", "fog"), Statement("shape", "alder", "fog", "late"),
        Statement("prediction_collapse", "alder", "fog", "3 at 5"),
    },
    "Both models degrade most under contrast: Alder drops late, from 90.0% clean to 40.5% at severity 5 (49.4 points "
    "[47.1, 51.6]); Birch drops from 87.3% clean to 39.6% at severity 5 (47.7 points [45.4, 49.9]).": {
        Statement("largest_drop", "alder", "contrast"), Statement("largest_drop", "birch", "contrast"),
        Statement("shape", "alder", "contrast", "late"),
    },
    "Under fog, Birch drops in two steps, between severity 1 and 2 and between severity 3 and 4: 50.3 points "
    "[48.1, 52.5] from clean to severity 5 (500 images). (and 2 similar)": {
        Statement("shape", "birch", "fog", "two_steps")
    },
    "Alder shows no prediction collapse. Birch is 2.7 points [0.7, 4.7] more accurate than Alder, averaged over "
    "corruptions (500 images).": {Statement("better_model", "birch")},
    "AUROC of confidence for failures at severity 5: 0.56 [0.51, 0.61] for Alder": set(),
    "Which corruption hurts Alder most at severity 5 is inconclusive: fog and contrast differ by 1.1 points "
    "[−0.3, 2.5]; about 900 images may decide it if the truth is as measured": set(),
}  # fmt: skip


@pytest.mark.parametrize("text", SENTENCES)
def test_a_sentence_is_read_for_all_that_it_states(text: str) -> None:
    assert set(read(text)) == SENTENCES[text]


def test_a_sentence_of_no_known_form_is_an_error() -> None:
    with pytest.raises(AssertionError, match="no known form: Alder is splendid"):
        list(read("Mean accuracy over 6 corruptions: Alder 71.9% [69.3, 74.3]. Alder is splendid."))


def test_what_is_read_is_held_against_the_curves() -> None:
    scenario = two_models()
    true = true_statements(scenario)

    def holds(*parts: str) -> bool:
        return is_true(Statement(*parts), scenario, true)

    assert holds("shape", "birch", "brightness", "flat")
    assert holds("margin", "birch", "brightness", "0.1")
    assert not holds("margin", "birch", "jpeg_compression", "10.0")  # it drops by 10 points
    assert holds("margin", "birch", "jpeg_compression", "10.1")


def test_what_only_the_page_states_counts_once() -> None:
    scenario, false = two_models(), Statement("largest_drop", "alder", "fog")
    outcome = judge_report([finding("largest_drop", corruption="gaussian_noise")], scenario, [false], [false])
    assert (outcome.printed, outcome.false) == ({"largest_drop": 2}, {"largest_drop": 1})
    assert outcome.is_first_screen_false
    assert not judge_report([], scenario, [], [false]).is_first_screen_false


def test_reports_of_a_scenario_are_summed_up() -> None:
    said = {"better_model": (1, 1)}
    row = summarize(
        "any",
        500,
        [
            Outcome({"shape": 4}, {"shape": 1}, False, said),
            Outcome({"shape": 2, "better_model": 1}, {}, False, {"better_model": (0, 1)}),
            Outcome({}, {}, False, said),
            Outcome({"better_model": 1}, {"better_model": 1}, True, said),
        ],
    )
    assert (row.reports, row.false_reports, row.false_first_screens) == (4, 2, 1)
    assert row.false_proportion == pytest.approx((1 / 4 + 1) / 4)
    assert row.printed == {"shape": 1.5, "better_model": 0.5}
    assert row.false == {"shape": 0.25, "better_model": 0.25}
    assert row.power == {"better_model": 0.75}


def test_a_report_depends_on_its_number_alone_and_states_its_findings() -> None:
    scenario = next(one for one in SCENARIOS if "collapse" in one.name)
    found, first_screen, below = simulate(scenario, 300, 3, seed=0)
    assert (found, first_screen, below) == simulate(scenario, 300, 3, seed=0)
    told = [headline for headline in headlines(found) if headline.verdict != "inconclusive"]
    assert sum(1 + headline.others for headline in told) == len(printed(found)) > 0
    stated = {statement_of(one) for one in printed(found)}
    assert {one.kind for one in first_screen} >= {"largest_drop", "prediction_collapse"}
    besides = {one.kind for one in {*first_screen, *below} - stated}
    assert besides <= {"margin", "prediction_collapse", "early_warning", "shape"}
    outcome = judge_report(found, scenario, first_screen, below)
    assert outcome.said["prediction_collapse"] == (1, 1)


def test_simulated_accuracy_and_confidence_are_those_of_the_scenario() -> None:
    images, scenario = 20_000, SCENARIOS[4]
    labels = np.arange(images) % CLASSES
    for model, rows in zip(scenario.models, draw_rows(scenario, images, np.random.default_rng(0)), strict=True):
        accuracy = np.array([model.at(*cell) for cell in CELLS])
        assert (rows["predicted"] == labels).mean(axis=1) == pytest.approx(accuracy, abs=0.015)
        assert rows["confidence"].mean(axis=1) - accuracy == pytest.approx(model.overconfidence, abs=0.01)


WHOLE_REPORTS = [
    kind.name for kind in proposed() if not (kind.is_condition or kind.name.startswith(WITHOUT_ATTENTION))
]  # conditions have rows of their own


@pytest.mark.parametrize("kind", WHOLE_REPORTS)
def test_every_kind_is_said_truly_in_some_scenario(kind: str) -> None:
    assert kind in STATED, f"{kind} is printed, but whole reports do not say whether it is true: tests/soundness"
    assert any(one.kind == kind for scenario in SCENARIOS for one in true_statements(scenario))


def test_the_page_is_made_of_the_stored_data() -> None:
    found, page = read_reports(DOCS / "soundness-reports.json"), (DOCS / "soundness.md").read_text(encoding="utf-8")
    assert {row.scenario for row in found.rows} == {scenario.name for scenario in SCENARIOS}
    (made,) = re.findall(r"Measured by `make soundness`.*", page)
    assert page == markdown(read_rows(DOCS / "soundness.csv"), found, made, "soundness-reports.json")
