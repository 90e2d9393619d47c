"""Conditions that come before all findings: each where it holds and where it does not, with its threshold by hand."""

from collections.abc import Iterator
from dataclasses import replace

import duckdb
import numpy as np
import pytest
from opened_results import opened
from rewritten_shards import cell_of, reply_with
from scipy.stats import binomtest
from synthetic_results import Synthetic

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection, select_one
from failmodes.analysis.judging.findings import conditions
from failmodes.analysis.judging.findings.conditions import permuted_outputs
from failmodes.analysis.judging.findings.kind import Judged, all_kinds
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.warehouse.metrics.duplicates import DuplicateImages

ONE = EvaluationInfo("e", "M", {})


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """Four classes; Swapped has classes 2 and 3 the other way round, Permuted all, Chance is right on 100 of 400."""
    folder = tmp_path_factory.mktemp("conditions")
    labels = np.arange(400) % 4
    images = np.arange(400)
    predictions = {
        "Chance": (labels + images // 4) % 4,
        "Perfect": labels,
        "Permuted": (labels + 1 + (images % 20 == 0)) % 4,
        "Swapped": np.array([0, 1, 3, 2])[labels],
    }

    def reply(made: Synthetic) -> None:
        for model, replies in predictions.items():
            reply_with(made, cell_of(made, model), replies.tolist())

    models = (*predictions, "Ordinary")
    with opened(folder, reply, images=400, models=models, corruptions=("fog",), severities=(5,)) as it:
        yield it.con


def said(con: duckdb.DuckDBPyConnection, kind: str) -> dict[str, Judged]:
    selection = select_one(con)
    found = {e.label: list(all_kinds()[kind].judge(con, selection, e)) for e in selection.evaluations}
    assert {one.verdict for own in found.values() for one in own} <= {"supported"}
    return {label: own[0] for label, own in found.items() if own}


def plain(judged: Judged) -> str:
    return judged.sentence.replace("\u00a0", " ").replace(" %", "%")


def test_a_model_at_chance(conditional: duckdb.DuckDBPyConnection) -> None:
    found = said(conditional, "at_chance")
    assert set(found) == {"Chance", "Permuted"}
    ends = binomtest(100, 400).proportion_ci(0.95, "exact")
    assert found["Chance"].estimate[:3] == pytest.approx((0.25, ends.low, ends.high))
    assert "25.0% [20.8, 29.5], chance 25.0%" in plain(found["Chance"])
    assert "below chance" in plain(found["Permuted"])


@pytest.mark.parametrize(("correct", "is_said"), [(117, True), (118, False), (83, True), (82, False)])
def test_the_threshold_of_chance(correct: int, is_said: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 400 images with chance 25 %: 118 correct is the first count with an exact lower end above it; from 83 on the
    upper end holds it."""
    low, high = binomtest(correct, 400).proportion_ci(0.95, "exact")
    monkeypatch.setattr(conditions, "chance_of", lambda *_: 0.25)
    monkeypatch.setattr(conditions, "clean_accuracy", lambda *_: Estimate(correct / 400, low, high, n=400))
    sentences = [one.sentence for one in all_kinds()["at_chance"].judge(None, None, ONE)]
    assert ["indistinguishable from chance" in sentence for sentence in sentences] == [is_said] * len(sentences)
    assert (sentences == []) == (low > 0.25)


def test_every_clean_image_is_correct(conditional: duckdb.DuckDBPyConnection) -> None:
    found = said(conditional, "perfect_clean")
    assert set(found) == {"Perfect"}
    assert found["Perfect"].estimate[:3] == pytest.approx((1, 0.025 ** (1 / 400), 1))


def test_permuted_outputs(conditional: duckdb.DuckDBPyConnection) -> None:
    found = said(conditional, "permuted_outputs")
    assert set(found) == {"Permuted", "Swapped"}
    assert "from 50.0% to 100.0% (+50.0 points [" in plain(found["Swapped"])
    assert (found["Swapped"].estimate[0], found["Swapped"].image_count) == (0.5, 200)
    selection = select_one(conditional, models=["Permuted"])
    (one,) = selection.evaluations
    among_all = replace(one, facts=one.facts | {"class_protocol": "all"})
    assert list(permuted_outputs.judge(conditional, selection, among_all)) == [], "outside the classes"


@pytest.mark.parametrize(("images", "holds"), [(29, True), (30, False)])
def test_few_images_and_duplicates(
    conditional: duckdb.DuckDBPyConnection, images: int, holds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said(conditional, "duplicate_images") == {}
    monkeypatch.setattr(conditions, "duplicate_images", lambda *_: DuplicateImages(2 * images, images))
    few, duplicates = (said(conditional, kind) for kind in ("few_images", "duplicate_images"))
    assert ["29 images are too few" in plain(one) for one in few.values()] == [True] * 5 * holds
    assert all(f"{images} of {2 * images} images are exact duplicates" in plain(one) for one in duplicates.values())


def labelled(*facts: dict[str, object]) -> Selection:
    """Evaluations of resnet18 without a stated seed, but for these facts."""
    shared = {
        "model_label": "ResNet", "model_name": "ResNet", "architecture": "resnet18", "variant": None,
        "family": "resnet", "class_protocol": None, "training_recipe": None, "training_seed": None,
        "precision": "float32", "preprocessing": None, "class_outputs": None, "attention_layer": None,
        "input_mean": None, "input_std": None, "input_side_px": None, "checkpoint": None, "attention_method": "none",
        "evaluated_at": None, "image_count": 400, "model_id": "m", "resize_px": None, "crop_px": None,
        "interpolation": None, "comparable_id": "c",
    }  # fmt: skip
    rows = [shared | {"evaluation_id": f"e{place}"} | own for place, own in enumerate(facts)]
    return Selection(tuple(EvaluationInfo(str(r["evaluation_id"]), f"L{p}", r) for p, r in enumerate(rows)), (), None)


def test_evaluations_of_one_label_are_named_with_what_they_differ_in() -> None:
    normalized = {"input_mean": [0.485, 0.456, 0.406], "input_std": [0.229, 0.224, 0.225], "model_id": "n"}
    of_selection = all_kinds()["same_label"].of_selection
    (finding,) = of_selection(None, labelled({}, normalized, {"model_label": "Other", "model_name": "Other"}))
    assert "normalization (none / mean 0.485, 0.456, 0.406)" in finding.sentence
    assert (finding.evaluation_id, finding.other_evaluation_id, finding.verdict) == ("e0", "e1", "supported")
    assert of_selection(None, labelled({"training_seed": 0}, {"training_seed": 1})) == [], "these may share a label"
