"""A lower precision beside float32: what changes is counted, and bfloat16 is offered where it pays."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from tiny_study import run_study, write_tiny_study

from failmodes.evaluate.engine import precisions
from failmodes.evaluate.engine.plan import plan_evaluations
from failmodes.evaluate.engine.precisions import PrecisionComparison, compare_precisions, offer_bfloat16
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.study.study_file import read_study
from failmodes.ingest.datasets.opening import open_dataset

LONG = 10**6
FAST = PrecisionComparison(512, 0.002, 0.55)


@pytest.fixture
def evaluation(two_trained_models) -> Evaluation:
    path, _, _ = two_trained_models
    study = read_study(path)
    return plan_evaluations(study, open_dataset(study.dataset, study.cache), torch.device("cpu"))[0][0]


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[[PrecisionComparison], None]:
    """On a device that computes in bfloat16: what a comparison finds."""
    monkeypatch.setattr(precisions, "runs_bfloat16", lambda _device: True)
    return lambda comparison: monkeypatch.setattr(precisions, "compare_precisions", lambda *_: comparison)


def test_changed_predictions_are_those_that_float32_gives_differently(evaluation: Evaluation) -> None:
    found = compare_precisions(evaluation, 8)
    images = evaluation.data.dataset.images[evaluation.data.subset.clean_ids[: precisions.COMPARED_IMAGES]]
    lower = dataclasses.replace(evaluation.model, precision="bfloat16")
    predictions = [prepared.predict(images).argmax(1) for prepared in (evaluation.model, lower)]
    assert found.image_count == len(images)
    assert found.changed == pytest.approx(float((predictions[0] != predictions[1]).float().mean()), abs=2 / len(images))
    assert found.time_share is not None
    assert found.time_share > 0


def test_a_single_batch_tells_no_time(evaluation: Evaluation) -> None:
    assert compare_precisions(evaluation, 10**4).time_share is None


def test_bfloat16_is_offered_with_what_it_gains_and_changes(evaluation: Evaluation, found) -> None:
    found(FAST)
    assert offer_bfloat16(evaluation, 8, LONG) == (
        'Net 0: with `precision = "bfloat16"` in [evaluation] a forward pass takes 55% of the time here, and 0.2% of '
        "512 clean predictions change"
    )


@pytest.mark.parametrize(
    "comparison",
    [FAST._replace(changed=0.005), FAST._replace(time_share=0.95), FAST._replace(time_share=None)],
    ids=["changes too many", "is no faster", "one batch"],
)
def test_it_is_not_offered_where_it_does_not_pay(evaluation: Evaluation, found, comparison) -> None:
    found(comparison)
    assert offer_bfloat16(evaluation, 8, LONG) is None


def test_it_is_not_tried_in_a_short_run_nor_of_a_model_that_draws_random_numbers(evaluation: Evaluation, found) -> None:
    found(FAST)
    assert offer_bfloat16(evaluation, 8, 2 * precisions.COMPARED_IMAGES) is None
    spec = evaluation.model.spec.model_copy(update={"deterministic": False})
    model = dataclasses.replace(evaluation.model, spec=spec)
    assert offer_bfloat16(dataclasses.replace(evaluation, model=model), 8, LONG) is None


def test_it_is_not_tried_at_a_lower_precision_nor_where_the_device_has_none(
    evaluation: Evaluation, found, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(FAST)
    lower = dataclasses.replace(evaluation.model, precision="float16")
    assert offer_bfloat16(dataclasses.replace(evaluation, prepared=lower), 8, LONG) is None
    monkeypatch.setattr(precisions, "runs_bfloat16", lambda _device: False)
    assert offer_bfloat16(evaluation, 8, LONG) is None


def test_a_model_that_raises_in_bfloat16_is_evaluated_all_the_same(
    evaluation: Evaluation, found, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(FAST)

    def refuse(*_: object) -> PrecisionComparison:
        raise RuntimeError("not implemented for BFloat16")

    monkeypatch.setattr(precisions, "compare_precisions", refuse)
    assert offer_bfloat16(evaluation, 8, LONG) is None


@pytest.mark.slow
def test_a_run_says_it_once_of_each_model(tmp_path, found, monkeypatch: pytest.MonkeyPatch) -> None:
    found(FAST)
    monkeypatch.setattr(precisions, "OFFER_SHARE", 10**6)
    report = run_study(write_tiny_study(tmp_path, models=2))
    assert {label: len([line for line in lines if "bfloat16" in line]) for label, lines in report.notes.items()} == {
        "Net 0": 1, "Net 1": 1,
    }  # fmt: skip
