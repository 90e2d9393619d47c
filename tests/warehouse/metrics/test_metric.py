"""What every metric keeps to, and what follows from its function: value, images, replicates, interval, or why not."""

import doctest
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from given_cells import (
    contribution_error,
    found_of,
    jackknife_error,
    outcome_rows,
    paired,
    random_cell,
    reading_only,
)

from failmodes.warehouse.metrics.cell_rows import CellRows, ComparedCell, Undefined
from failmodes.warehouse.metrics.intervals import image_weights, interval_of_mean, quantile_interval
from failmodes.warehouse.metrics.metric import (
    NO_IMAGE,
    RESAMPLES,
    Evaluated,
    Metric,
    OrderStatistic,
    Value,
    all_metrics,
    definitions_hash,
    evaluate,
    parameters_of,
)
from failmodes.warehouse.schema import TARGETS

CELL = random_cell(150, non_finite=6)
DERIVED = {"output": {"predicted", "predicted_output"}, "logit_gap": {"logits"}}
RNG = np.random.default_rng
WEIGHTED = [name for name, metric in all_metrics().items() if metric.takes_weights]


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


def evaluated(function: Callable[..., Any], cell: ComparedCell, weights: Any = None, **options: Any) -> Evaluated:
    found = evaluate(small_metric(function, **options), cell, None, weights)
    assert isinstance(found, Evaluated), found
    return found


def confidences(*values: float) -> ComparedCell:
    return ComparedCell(CellRows.of({"confidence": values}))


def confidence(rows: CellRows) -> Any:
    return rows["confidence"]


@pytest.mark.parametrize(("name", "score"), EACH)
def test_a_metric_of_its_own_columns_lies_in_its_interval_and_both_in_the_range(name: str, score: str | None) -> None:
    metric = all_metrics()[name]
    cell = paired(*(reading_only(rows, sources_of(metric, score)) for rows in CELL.curve or ()))
    weights = image_weights(150, RESAMPLES, 0) if metric.takes_weights else None
    found = found_of(name, cell, score, weights)
    assert 0 < found.n <= 150
    assert metric.range[0] <= found.value <= metric.range[1]
    ends = found.ends()
    has_interval = metric.interval.is_stored or found.images is not None
    assert (ends is not None) == has_interval
    if ends is not None:
        wide = found.ends(comparisons=100) or (0, 0)
        around = [metric.range[0], *wide[:1], *ends[:1], found.value, *ends[1:], *wide[1:], metric.range[1]]
        assert (np.diff(around) >= -1e-9).all()
        assert ends[0] < ends[1]


# auroc_within is left out: an image that is left out moves others to another tenth; see test_failure_prediction
@pytest.mark.test_all
@pytest.mark.parametrize(("name", "score"), [one for one in EACH if one.values[0] != "auroc_within"])
def test_contributions_have_the_value_as_mean_and_the_spread_of_the_jackknife(name: str, score: str | None) -> None:
    metric, found = all_metrics()[name], found_of(name, CELL, score)
    if found.images is None:
        assert metric.takes_weights or metric.interval.has_formula or not metric.interval.is_stored
        return
    assert found.images.shape == (150,)
    assert found.images.mean() == pytest.approx(found.value, abs=1e-7)
    assert contribution_error(found.images) == pytest.approx(jackknife_error(metric, CELL, score), rel=0.03)


@pytest.mark.parametrize("name", WEIGHTED)
def test_weights_count_images(name: str) -> None:
    drawn = [RNG(seed).integers(0, 150, 150) for seed in range(20)]
    weights = np.stack([np.bincount(one, minlength=150) for one in drawn]).astype(np.float32)
    expected = [found_of(name, CELL.taken(one)).value for one in drawn]
    assert found_of(name, CELL, None, weights).replicates == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", WEIGHTED)
def test_resampled_images_of_which_few_take_part_still_give_numbers(name: str) -> None:
    cell = ComparedCell(random_cell(30, non_finite=29).rows)
    found = found_of(name, cell, None, image_weights(30, RESAMPLES, 0))
    assert found.replicates is not None
    assert np.isfinite([*found.replicates, *(found.ends() or [np.nan])]).all()


def test_a_metric_says_what_it_is_and_titles_differ() -> None:
    for name, metric in all_metrics().items():
        assert metric.name == name
        assert all((metric.title, metric.formula, metric.unit)), name
        assert metric.range[0] < metric.range[1]
        assert metric.needs_pairs == bool({"clean", "curve"} & set(metric.parameters))
        for score in metric.scores or (None,):
            assert set(metric.columns) <= set(metric.columns_of(score))
    assert len({metric.title for metric in all_metrics().values()}) == len(all_metrics())


@pytest.mark.parametrize("name", [name for name, metric in all_metrics().items() if metric.function.__doc__])
def test_the_example_of_a_docstring_runs(name: str) -> None:
    function = all_metrics()[name].function
    (example,) = doctest.DocTestFinder(recurse=False).find(function, name, globs=function.__globals__)
    assert example.examples
    said: list[str] = []
    assert not doctest.DocTestRunner().run(example, out=said.append).failed, "".join(said)


def test_the_hash_of_definitions_is_that_of_another_process() -> None:
    again = "from failmodes.warehouse.metrics.metric import definitions_hash as of; print(of())"
    done = subprocess.run([sys.executable, "-c", again], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [definitions_hash()]


def test_a_metric_can_be_called_and_parameters_with_defaults_are_not_asked_for() -> None:
    assert all_metrics()["accuracy"](rows=outcome_rows([True, False])).tolist() == [True, False]

    def function(preds: Any, target: Any, k: int = 3, *more: Any, flag: bool = False, **others: Any) -> None: ...

    assert parameters_of(function) == ("preds", "target")
    assert parameters_of(partial(function, target=1)) == ("preds",)


def test_the_mean_is_of_the_images_that_take_part() -> None:
    found = evaluated(confidence, confidences(0.2, np.nan, 0.6, np.nan))
    assert (found.value, found.n, found.replicates, found.values) == (pytest.approx(0.4), 2, None, None)
    assert found.images == pytest.approx([0, 0.4, 0.8, 0.4], abs=1e-7), "their gaps count twice, for half of the images"
    for values in (np.array([True, False, True]), np.array([1, 0, 1]), [1, 0, 1]):
        found = evaluated(lambda rows, values=values: values, confidences(1, 1, 1))
        assert (found.value, found.n) == (pytest.approx(2 / 3), 3)


def undefined(rows: CellRows) -> float:
    raise Undefined("because")


@pytest.mark.parametrize(
    ("function", "values", "options", "reason"),
    [
        (confidence, [np.nan] * 2, {}, NO_IMAGE),
        (confidence, [np.nan] * 2, {"interval": OrderStatistic(quantile=0.5)}, NO_IMAGE),
        (confidence, [], {}, NO_IMAGE),
        (undefined, [1], {}, "because"),
        (lambda rows: rows["rmse"], [1], {}, "rmse is not stored"),
        *[(lambda rows, value=value: value, [1], {}, "it is not a finite number") for value in (np.nan, np.inf)],
    ],
)
def test_there_is_a_reason_where_a_metric_is_not_defined(
    function: Callable[..., Any], values: list[float], options: dict[str, Any], reason: str
) -> None:
    assert evaluate(small_metric(function, **options), confidences(*values)) == reason


def test_a_quantile_is_that_of_numpy_and_its_interval_holds_it() -> None:
    values = np.append(RNG(0).normal(size=200).astype(np.float32), [np.nan] * 5)
    found = evaluated(confidence, confidences(*values), interval=OrderStatistic(quantile=0.9), range=(-9, 9))
    assert (found.value, found.n, found.images) == (np.quantile(values[:200].astype(np.float64), 0.9), 200, None)
    ends = found.ends(level=0.9, comparisons=2)
    assert ends == quantile_interval(values[:200], 0.9, level=0.9, comparisons=2)


def test_the_interval_of_a_mean_is_cut_to_the_range() -> None:
    cell = confidences(*[0.99] * 5, 0.9)
    found = evaluated(confidence, cell)
    _, low, high = interval_of_mean(np.asarray(found.images), (0.0, 1.0), pseudo_images=1.0)
    assert high > 1
    assert found.ends() == (pytest.approx(low), 1.0)


@pytest.mark.parametrize("few", [[0.7], [0.7, 0.7, 0.7], [0.2, 0.9, 0.8, 0.75]])
def test_the_interval_of_few_images_among_many_is_about_that_of_few(few: list[float]) -> None:
    widths = []
    for cell in (confidences(*few), confidences(*few, *[np.nan] * 1000)):
        low, high = evaluated(confidence, cell).ends() or (0, 0)
        widths.append(high - low)
    assert widths[1] > 0.6 * widths[0]


def test_one_number_has_replicates_of_resampled_images() -> None:
    cell, weights = confidences(*RNG(2).normal(size=60)), image_weights(60, 40, 0)
    values = cell.rows["confidence"].astype(np.float64)
    metric = small_metric(lambda rows: float(rows["confidence"].max()), range=(-9.0, 9.0))
    found = evaluate(metric, cell, None, weights)
    assert isinstance(found, Evaluated)
    expected = [values[row > 0].max() for row in weights]
    assert (found.value, found.n) == (values.max(), 60)
    assert found.replicates == pytest.approx(expected)
    bias = (np.sqrt(2) + 1) * (np.mean(expected) - found.value)
    assert bias < 0, "a largest value falls short, and more so resampled"
    assert found.bias[:2] == (pytest.approx(bias), 0.0)
    half = 1.959964 * np.sqrt(np.var(expected, ddof=1) + 2 * (18 / 60) ** 2)  # with two made-up images, -9 and 9
    ends = (found.value * 60 / 62 - half, found.value - bias + half)
    assert found.ends() == pytest.approx(ends)
    assert replace(found, replicates=None).ends() is None, "without weights there is none"


def test_images_are_resampled_with_their_clean_ones() -> None:
    curve = [outcome_rows(RNG(severity).random(50) < 0.6, severity) for severity in (0, 1, 2)]
    weights = image_weights(50, 5, 0)
    lost = curve[0]["correct"] & ~curve[2]["correct"]
    for function in (
        lambda rows, clean: float((clean["correct"] & ~rows["correct"]).mean()),
        lambda curve: float((curve[0]["correct"] & ~curve[2]["correct"]).mean()),
    ):
        assert evaluated(function, paired(*curve), weights).replicates == pytest.approx(weights @ lost / 50)


def test_resamples_that_do_not_define_it_are_filled_or_refuse_it() -> None:
    def only_where_positive(rows: CellRows) -> float:
        return 1.0 + len(np.unique(rows["confidence"])) if rows["confidence"].max() == 1 else float("nan")

    cell, weights = confidences(1, *[0] * 9), np.tile([10, *[0] * 9], (4, 1))
    weights[0] = [0, 10, *[0] * 8]
    assert evaluated(only_where_positive, cell, weights).replicates == pytest.approx([2, 2, 2, 2])
    refused = evaluate(small_metric(only_where_positive), cell, None, weights[[0, 0, 1]])
    assert refused == "resampled images do not define it"


def test_functions_are_given_what_they_name() -> None:
    cell, seen = random_cell(20), []

    def function(rows: Any, clean: Any, curve: Any, reference: Any, preds: Any, target: Any) -> Value:
        seen.extend([rows, clean, curve, reference, preds.tolist(), target.tolist()])
        return Value(0.5, 3)

    found = evaluated(function, cell)
    assert (found.value, found.n) == (0.5, 3)
    assert seen[:4] == [cell.rows, cell.clean, cell.curve, cell.reference]
    assert seen[4:] == [cell.rows["predicted"].tolist(), cell.rows["label"].tolist()]


@pytest.mark.parametrize("columns", [{}, {"logits": [[1, 0]], "logit_classes": [True]}], ids=["none", "the largest"])
def test_probabilities_need_all_logits(columns: dict[str, Any]) -> None:
    metric = small_metric(lambda preds, target: preds[:, 0], preds="probabilities")
    assert "not all logits are stored" in str(evaluate(metric, ComparedCell(outcome_rows([True], **columns))))


def test_tensors_are_given_where_annotated() -> None:
    torch = pytest.importorskip("torch")

    def function(preds: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        assert isinstance(preds, torch.Tensor)
        return (preds == target).double().mean()

    cell = ComparedCell(outcome_rows([True, True, False, True]))
    found = evaluated(function, cell)
    assert (found.value, found.n) == (0.75, 4)
    function.__annotations__ = dict.fromkeys(("preds", "target"), "torch.Tensor")  # as `annotations` of the future
    found = evaluated(function, cell)
    assert (found.value, found.n) == (0.75, 4)
    assert not small_metric(lambda preds: 1.0).takes_tensors
