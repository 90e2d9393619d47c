"""What every metric keeps to, and what follows from its function: value, images, replicates, interval, or why not."""

import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from given_cells import (
    contribution_error,
    found_of,
    given_rows,
    jackknife_error,
    outcome_rows,
    paired,
    random_cell,
    reading_only,
    reason_of,
)

from failmodes.warehouse.metrics.accuracy import bias_of_top_prediction, bias_of_worst_class
from failmodes.warehouse.metrics.calibration import bias_of_ece
from failmodes.warehouse.metrics.cell_rows import Cell, CellRows, NotOnRecord, Undefined
from failmodes.warehouse.metrics.intervals import image_weights, interval_of_mean, quantile_interval
from failmodes.warehouse.metrics.metric import (
    NO_IMAGE,
    RESAMPLES,
    Evaluated,
    Metric,
    SamplingBias,
    Value,
    all_metrics,
    arguments_of,
    as_tensor,
    definitions_hash,
    ends_of,
    evaluate,
    parameters_of,
)
from failmodes.warehouse.schema import TARGETS

CELL = random_cell(150, non_finite=6)
DERIVED = {"output": {"predicted", "predicted_output"}, "logit_gap": {"logits"}}
RNG = np.random.default_rng


def _each() -> Iterator[Any]:
    for name, metric in all_metrics().items():
        for score in metric.scores or (None,):
            yield pytest.param(name, score, id=name if score is None else f"{name}-{score}")


EACH = [*_each()]  # metric with each of its scores


def sources_of(metric: Metric, score: str | None) -> set[str]:
    """Columns of a record that the declared ones come from; that an image has a map is told by its row."""
    found = set(metric.columns_of(score))
    found |= {f"{target}.has_map" for target in TARGETS if any(name.startswith(target) for name in found)}
    return found.union(*(of_record for name, of_record in DERIVED.items() if name in found))


def small_metric(function: Callable[..., Any], **options: Any) -> Metric:
    return Metric("small", "small", function, **options)


def evaluated(function: Callable[..., Any], cell: Cell, weights: Any = None, **options: Any) -> Evaluated | str:
    return evaluate(small_metric(function, **options), cell, None, weights)


def confidences(*values: float) -> CellRows:
    return given_rows({"confidence": values})


@pytest.mark.parametrize(("name", "score"), EACH)
def test_a_metric_reads_only_what_it_declares(name: str, score: str | None) -> None:
    metric = all_metrics()[name]
    names = sources_of(metric, score)
    curve = [reading_only(rows, names) for rows in (CELL.curve or ())]
    cell = paired(*curve)
    weights = image_weights(len(cell.rows), 3, 0) if metric.takes_weights else None
    found = evaluate(metric, cell, score, weights)
    assert not isinstance(found, str), found
    ends_of(metric, cell, score, found)


@pytest.mark.parametrize(("name", "score"), EACH)
def test_what_is_to_be_read_has_names(name: str, score: str | None) -> None:
    assert set(all_metrics()[name].columns) <= set(all_metrics()[name].columns_of(score))


@pytest.mark.parametrize(("name", "score"), EACH)
def test_a_value_lies_in_its_interval_and_both_in_the_range(name: str, score: str | None) -> None:
    metric = all_metrics()[name]
    weights = image_weights(len(CELL.rows), RESAMPLES, 0) if metric.takes_weights else None
    found = found_of(name, CELL, score, weights)
    assert 0 < found.n <= len(CELL.rows)
    assert metric.range[0] <= found.value <= metric.range[1]
    ends = ends_of(metric, CELL, score, found)
    assert (ends is not None) == (
        metric.is_stored_with_interval or metric.interval is not None or found.images is not None
    )
    if ends is not None:
        assert metric.range[0] - 1e-9 <= ends[0] <= found.value + 1e-9
        assert found.value - 1e-9 <= ends[1] <= metric.range[1] + 1e-9
        assert ends[0] < ends[1]
        wide = ends_of(metric, CELL, score, found, comparisons=100)
        assert wide is not None
        assert wide[0] <= ends[0] + 1e-12
        assert wide[1] >= ends[1] - 1e-12


# auroc_within is left out: an image that is left out moves others to another tenth; see test_failure_prediction
@pytest.mark.parametrize(("name", "score"), [one for one in EACH if one.values[0] != "auroc_within"])
def test_contributions_have_the_value_as_mean_and_the_spread_of_the_jackknife(name: str, score: str | None) -> None:
    metric = all_metrics()[name]
    found = found_of(name, CELL, score)
    if found.images is None:
        assert metric.takes_weights or metric.quantile is not None or not metric.is_stored_with_interval or (
            metric.interval is not None
        )  # fmt: skip
        return
    assert found.images.shape == (len(CELL.rows),)
    assert found.images.mean() == pytest.approx(found.value, abs=1e-7)
    assert contribution_error(found.images) == pytest.approx(jackknife_error(metric, CELL, score), rel=0.03)


@pytest.mark.parametrize("name", [name for name, metric in all_metrics().items() if metric.takes_weights])
def test_weights_count_images(name: str) -> None:
    metric, rng = all_metrics()[name], RNG(1)
    drawn = [rng.integers(0, 150, 150) for _ in range(20)]
    weights = np.stack([np.bincount(one, minlength=150) for one in drawn]).astype(np.float32)
    expected = [evaluate(metric, CELL.taken(one)) for one in drawn]
    found = found_of(name, CELL, None, weights)
    assert found.replicates == pytest.approx([one.value for one in expected if not isinstance(one, str)], rel=1e-5)


@pytest.mark.parametrize("name", [name for name, metric in all_metrics().items() if metric.takes_weights])
def test_resampled_images_of_which_few_take_part_still_give_numbers(name: str) -> None:
    rows = random_cell(30, non_finite=29).rows
    metric = all_metrics()[name]
    found = found_of(name, rows, None, image_weights(30, RESAMPLES, 0))
    assert found.replicates is not None
    assert np.isfinite(found.replicates).all()
    ends = ends_of(metric, Cell(rows), None, found)
    assert ends is not None
    assert np.isfinite(ends).all()


@pytest.mark.parametrize("name", all_metrics())
def test_a_metric_says_what_it_is(name: str) -> None:
    metric = all_metrics()[name]
    assert metric.name == name
    assert metric.title
    assert metric.formula
    assert metric.unit
    assert not metric.is_users
    assert metric.range[0] < metric.range[1]
    assert metric.better == {True: "higher", False: "lower", None: "neither"}[metric.higher_is_better]
    assert metric.needs_pairs == bool({"clean", "curve"} & set(metric.parameters))
    assert metric.takes_score == ("score" in metric.parameters)


def test_titles_differ() -> None:
    titles = [metric.title for metric in all_metrics().values()]
    assert len(set(titles)) == len(titles)


def test_the_hash_of_definitions_stays() -> None:
    again = "from failmodes.warehouse.metrics.metric import definitions_hash as of; print(of())"
    assert subprocess.run([sys.executable, "-c", again], capture_output=True, text=True, check=True).stdout.split() == [
        definitions_hash()
    ]
    assert len(definitions_hash()) == 16


def test_a_metric_can_be_called() -> None:
    rows = outcome_rows([True, False])
    assert all_metrics()["accuracy"](rows).tolist() == [True, False]
    assert all_metrics()["accuracy"](rows=rows).tolist() == [True, False]


def test_parameters_with_defaults_are_not_asked_for() -> None:
    def function(preds: Any, target: Any, k: int = 3, *more: Any, flag: bool = False, **others: Any) -> None: ...

    assert parameters_of(function) == ("preds", "target")
    assert parameters_of(partial(function, target=1)) == ("preds",)


def test_the_mean_of_images_and_of_those_that_take_part() -> None:
    found = evaluated(lambda rows: rows["confidence"], Cell(confidences(0.2, np.nan, 0.6, np.nan)))
    assert isinstance(found, Evaluated)
    assert (found.value, found.n) == (pytest.approx(0.4), 2)
    assert found.images == pytest.approx([0, 0.4, 0.8, 0.4], abs=1e-7), "their gaps count twice, for half of the images"
    assert contribution_error(np.asarray(found.images)) == pytest.approx(np.std([0.2, 0.6]) / np.sqrt(2))
    assert found.replicates is None
    assert found.values is None


def test_flags_and_whole_numbers_are_numbers() -> None:
    for values in (np.array([True, False, True]), np.array([1, 0, 1]), [1, 0, 1]):
        found = evaluated(lambda rows, values=values: values, Cell(confidences(1, 1, 1)))
        assert isinstance(found, Evaluated)
        assert (found.value, found.n) == (pytest.approx(2 / 3), 3)


def test_no_image_takes_part() -> None:
    cell = Cell(confidences(np.nan, np.nan))
    assert evaluated(lambda rows: rows["confidence"], cell) == NO_IMAGE
    assert evaluated(lambda rows: rows["confidence"], cell, quantile=0.5) == NO_IMAGE
    assert evaluated(lambda rows: rows["confidence"], Cell(given_rows({"confidence": []}))) == NO_IMAGE


def test_a_reason_is_handed_on() -> None:
    def undefined(rows: CellRows) -> float:
        raise Undefined("because")

    def undefined_under_weights(rows: CellRows, weights: np.ndarray) -> np.ndarray:
        raise Undefined("because")

    assert evaluated(undefined, Cell(confidences(1))) == "because"
    assert evaluated(undefined_under_weights, Cell(confidences(1)), np.ones((1, 1))) == "because"


def test_what_is_not_on_record_is_named() -> None:
    assert evaluated(lambda rows: rows["rmse"], Cell(confidences(1))) == "rmse is not on record"
    with pytest.raises(NotOnRecord):
        confidences(1)["rmse"]


@pytest.mark.parametrize("name", ["changed_share", "onset_severity"])
def test_pairs_need_clean_images(name: str) -> None:
    assert reason_of(name, outcome_rows([True])) == "corrupted images do not pair with clean ones"


def test_a_quantile_is_that_of_numpy_and_its_interval_holds_it() -> None:
    values = np.append(RNG(0).normal(size=200).astype(np.float32), [np.nan] * 5)
    cell = Cell(confidences(*values))
    metric = small_metric(lambda rows: rows["confidence"], quantile=0.9, range=(-9, 9))
    found = evaluate(metric, cell)
    assert isinstance(found, Evaluated)
    assert (found.value, found.n) == (np.quantile(values[:200].astype(np.float64), 0.9), 200)
    assert found.images is None
    ends = ends_of(metric, cell, None, found, level=0.9, comparisons=2)
    assert ends == quantile_interval(values[:200], 0.9, level=0.9, comparisons=2)
    assert ends[0] < found.value < ends[1]


def test_the_interval_of_a_mean_is_cut_to_the_range() -> None:
    cell = Cell(confidences(*[0.99] * 5, 0.9))
    metric = small_metric(lambda rows: rows["confidence"])
    found = evaluate(metric, cell)
    assert isinstance(found, Evaluated)
    _, low, high = interval_of_mean(np.asarray(found.images), (0.0, 1.0), added=1.0)
    assert high > 1
    assert ends_of(metric, cell, None, found) == (pytest.approx(low), 1.0)


def test_the_interval_of_few_images_among_many_is_that_of_few() -> None:
    """An image that takes no part says nothing: the interval is about as wide as if it were not there."""
    metric = small_metric(lambda rows: rows["confidence"])
    for few in ([0.7], [0.7, 0.7, 0.7], [0.2, 0.9, 0.8, 0.75]):
        alone, among = Cell(confidences(*few)), Cell(confidences(*few, *[np.nan] * 1000))
        own, other = (ends_of(metric, cell, None, found_in(metric, cell)) for cell in (alone, among))
        assert own is not None
        assert other is not None
        assert other[1] - other[0] > 0.6 * (own[1] - own[0])


def found_in(metric: Metric, cell: Cell) -> Evaluated:
    found = evaluate(metric, cell)
    assert not isinstance(found, str)
    return found


def test_one_number_has_replicates_of_resampled_images() -> None:
    rng = RNG(2)
    cell = Cell(confidences(*rng.normal(size=60)))
    metric = small_metric(lambda rows: float(rows["confidence"].max()), range=(-9.0, 9.0))
    weights = image_weights(60, 40, 0)
    found = evaluate(metric, cell, None, weights)
    assert isinstance(found, Evaluated)
    values = cell.rows["confidence"].astype(np.float64)
    assert (found.value, found.n) == (values.max(), 60)
    expected = [values[row > 0].max() for row in weights]
    assert found.replicates == pytest.approx(expected)
    shift = np.mean(expected) - found.value
    assert shift < 0
    assert found.bias == SamplingBias(pytest.approx(shift), 0.0), "a largest value falls short, and more so resampled"
    low, high = ends_of(metric, cell, None, found) or (0, 0)
    center = found.value * 60 / 62  # with two made-up images, -9 and 9
    half = 1.959964 * np.sqrt(np.var(expected, ddof=1) + 2 * (18 / 60) ** 2)
    assert low == pytest.approx(center - half)
    assert high == pytest.approx(found.value - shift + half)
    assert ends_of(metric, cell, None, found_in(metric, cell)) is None, "without weights there is no interval"


def test_the_bootstrap_has_the_error_of_a_mean() -> None:
    rows = confidences(*RNG(3).uniform(size=400))
    metric = small_metric(lambda rows: float(rows["confidence"].mean()))
    found = evaluate(metric, Cell(rows), None, image_weights(400, 4000, 1))
    assert isinstance(found, Evaluated)
    assert found.replicates is not None
    assert found.replicates.std() == pytest.approx(float(rows["confidence"].std()) / 20, rel=0.05)
    low, high = ends_of(metric, Cell(rows), None, found) or (0, 0)
    expected = interval_of_mean(rows["confidence"].astype(np.float64), (0.0, 1.0), added=1.0)
    assert (low, high) == pytest.approx(expected[1:], abs=0.004)


def test_images_are_resampled_with_their_clean_ones() -> None:
    rng = RNG(4)
    curve = [outcome_rows(rng.random(50) < 0.6, severity) for severity in (0, 1, 2)]
    weights = image_weights(50, 5, 0)
    lost = curve[0]["correct"] & ~curve[2]["correct"]
    for function in (
        lambda rows, clean: float((clean["correct"] & ~rows["correct"]).mean()),
        lambda curve: float((curve[0]["correct"] & ~curve[2]["correct"]).mean()),
    ):
        found = evaluated(function, paired(*curve), weights)
        assert isinstance(found, Evaluated)
        assert found.replicates == pytest.approx(weights @ lost / 50)


def test_resamples_that_do_not_define_it_are_filled_or_refuse_it() -> None:
    def only_where_positive(rows: CellRows) -> float:
        return 1.0 + len(np.unique(rows["confidence"])) if rows["confidence"].max() == 1 else float("nan")

    cell = Cell(confidences(1, *[0] * 9))
    weights = np.tile([10, *[0] * 9], (4, 1))
    weights[0] = [0, 10, *[0] * 8]
    found = evaluated(only_where_positive, cell, weights)
    assert isinstance(found, Evaluated)
    assert found.replicates == pytest.approx([2, 2, 2, 2])
    assert evaluated(only_where_positive, cell, weights[[0, 0, 1]]) == "resampled images do not define it"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_finite_number_is_no_value(value: float) -> None:
    assert evaluated(lambda rows: value, Cell(confidences(1))) == "it is not a finite number"


def test_a_value_may_say_how_many_take_part() -> None:
    found = evaluated(lambda rows: Value(0.5, 3), Cell(confidences(1, 1, 1, 1)))
    assert found == Evaluated(0.5, 3)


def test_functions_are_given_what_they_name() -> None:
    cell, seen = random_cell(20), []

    def function(rows: Any, clean: Any, curve: Any, reference: Any, preds: Any, target: Any) -> float:
        seen.extend([rows, clean, curve, reference, preds, target])
        return 1.0

    assert isinstance(evaluated(function, cell), Evaluated)
    assert seen[:4] == [cell.rows, cell.clean, cell.curve, cell.reference]
    assert seen[4].dtype == seen[5].dtype == np.int64
    assert seen[4].tolist() == cell.rows["predicted"].tolist()
    assert seen[5].tolist() == cell.rows["label"].tolist()
    only_score = small_metric(lambda score: 1.0)
    assert arguments_of(only_score, only_score.parameters, cell, "margin") == {"score": "margin"}


def test_probabilities_are_the_softmax_of_all_logits() -> None:
    rows = random_cell(40).rows
    logits = rows["logits"].astype(np.float64)
    metric = small_metric(lambda preds, target: np.asarray(preds)[np.arange(40), target], preds="probabilities")
    found = evaluate(metric, Cell(rows))
    assert isinstance(found, Evaluated)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert found.images == pytest.approx(p[np.arange(40), rows["label"]])
    reason = "all logits are not on record: probabilities are those of all classes"
    assert evaluate(metric, Cell(outcome_rows([True, False]))) == reason
    assert evaluate(metric, Cell(outcome_rows([True], logits=[[1, 0]], logit_classes=[True]))) == reason


def test_tensors_are_given_where_annotated() -> None:
    torch = pytest.importorskip("torch")

    def function(preds: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        assert isinstance(preds, torch.Tensor)
        return (preds == target).double().mean()

    metric = small_metric(function)
    assert metric.takes_tensors
    found = evaluate(metric, Cell(outcome_rows([True, True, False, True])))
    assert found == Evaluated(0.75, 4)
    assert not small_metric(lambda preds: 1.0).takes_tensors
    assert as_tensor(np.arange(4)[::2]).tolist() == [0, 2]
    function.__annotations__ = dict.fromkeys(("preds", "target"), "torch.Tensor")  # as `annotations` of the future
    assert "torch.Tensor" in str(inspect.signature(function))
    assert small_metric(function).takes_tensors


DRAWS = 300


def calibrated(rng: np.random.Generator, images: int, gap: float) -> CellRows:
    """Confidences of four bins, whose predictions are correct less often by a gap."""
    confidence = rng.choice([0.5, 0.63, 0.77, 0.97], images)
    return outcome_rows(rng.random(images) < confidence - gap, confidence=confidence)


def ece_of(rows: CellRows) -> float:
    gaps = [(rows["correct"] - rows["confidence"])[rows["confidence"] == c].sum() for c in set(rows["confidence"])]
    return float(np.abs(gaps).sum()) / len(rows)


@pytest.mark.parametrize("gap", [0.0, 0.01, 0.03, 0.2])
def test_a_calibration_error_exceeds_the_truth_by_no_more(gap: float) -> None:
    rng = np.random.default_rng(0)
    drawn = [calibrated(rng, 400, gap) for _ in range(DRAWS)]
    excess = np.mean([ece_of(rows) for rows in drawn]) - gap
    bounds = np.array([bias_of_ece(rows) for rows in drawn])
    assert (bounds[:, 0] == 0).all()
    assert excess <= bounds[:, 1].mean() + 0.002
    if gap == 0.2:  # clear gaps have no bias, and none is allowed for
        assert bounds[:, 1].mean() < 0.005
    if not gap:
        assert bounds[:, 1].mean() == pytest.approx(excess, rel=0.15)


def test_a_bin_whose_images_are_all_correct_has_an_error_too() -> None:
    assert bias_of_ece(outcome_rows([True] * 50, confidence=[0.97] * 50)).high > 0.005


def test_images_without_confidence_do_not_count() -> None:
    rng = np.random.default_rng(1)
    confidence, correct = rng.uniform(0.5, 1, 80), rng.random(80) < 0.7
    whole = bias_of_ece(outcome_rows(correct, confidence=confidence))
    among = outcome_rows(np.append(correct, [True] * 20), confidence=np.append(confidence, [np.nan] * 20))
    assert bias_of_ece(among) == pytest.approx(whole)


def test_the_worst_class_falls_short_by_no_more() -> None:
    rng, labels = np.random.default_rng(0), np.arange(500) % 10
    for accuracies in (np.full(10, 0.7), np.array([0.5, *[0.7] * 9]), np.array([0.1, *[0.9] * 9])):
        short, bounds, errors = [], [], []
        for _ in range(DRAWS):
            correct = rng.random(500) < accuracies[labels]
            rows = given_rows({"label": labels, "predicted": np.where(correct, labels, labels + 1)})
            found = bias_of_worst_class(rows)
            short.append(min(correct[labels == label].mean() for label in range(10)) - accuracies.min())
            bounds.append(found.low)
            errors.append(found.error)
            assert found.high == 0
        assert np.mean(bounds) <= 0.9 * np.mean(short)  # a tenth is little beside the error of a class
        of_one = np.sqrt(accuracies.min() * (1 - accuracies.min()) / 50)
        assert np.mean(errors) >= 0.9 * of_one
    assert np.mean(bounds) > -0.005  # the worst is clear


def test_the_top_prediction_exceeds_by_no_more() -> None:
    rng = np.random.default_rng(0)
    excess, bounds = [], []
    for _ in range(DRAWS):
        predicted = rng.integers(0, 10, 400)
        excess.append(np.bincount(predicted).max() / 400 - 0.1)
        bounds.append(bias_of_top_prediction(given_rows({"predicted": predicted})).high)
    assert 0.9 * np.mean(excess) <= np.mean(bounds)
    assert bias_of_top_prediction(given_rows({"predicted": np.zeros(400)})).high < 0.001
    some = given_rows({"predicted": np.append(np.arange(400) % 10, [-1] * 100)})
    assert bias_of_top_prediction(some) == bias_of_top_prediction(given_rows({"predicted": np.arange(400) % 10}))
