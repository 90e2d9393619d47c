"""Differences of two models: image by image, of different images, over training runs; bounds at any level."""

from typing import Any

import numpy as np
import pytest
from given_runs import CELLS, given_model, given_run, random_columns
from scipy import stats

from failmodes.analysis.statistics.difference import (
    MeanError,
    Measured,
    ModelMetrics,
    Term,
    add_errors,
    error_over_seeds,
    mean_of,
)
from failmodes.analysis.statistics.model_accuracy import accuracy_over, mean_corrupted
from failmodes.analysis.statistics.run_rows import CellKey, ModelRows, RunRows, pair_images
from failmodes.analysis.statistics.shares import count_pairs, difference_of_groups, newcombe_interval
from failmodes.warehouse.metrics.custom import metric
from failmodes.warehouse.metrics.intervals import exact_interval

CORRUPTED: list[CellKey] = [("fog", 1.0), ("fog", 2.0), ("snow", 1.0)]


def run_of(seed: int, share: float, images: int = 200, **given: object) -> RunRows:
    """The same images are difficult in all cells and for all models."""
    rng = np.random.default_rng(seed)
    difficulty = np.random.default_rng(99).random((images, 1))
    correct = difficulty + rng.normal(0, 0.1, (images, len(CELLS))) < share
    return given_run(correct, **given, **random_columns(rng, correct))  # type: ignore[arg-type]


def difference(
    models: ModelMetrics, name: str, cells: list[CellKey], score: str | None = None, weights: list[float] | None = None
) -> Measured:
    """The weighted mean over cells, candidate minus baseline."""
    found = models.measure(name, contrast(cells, weights), score)
    assert isinstance(found, Measured)
    return found


def contrast(cells: list[CellKey], weights: list[float] | None = None) -> list[Term]:
    own = mean_of(cells) if weights is None else [Term(c, w) for c, w in zip(cells, weights, strict=True)]
    return [*own, *(Term(term.cell, -term.weight, of_baseline=True) for term in own)]


def known(found: Measured | str) -> Measured:
    assert isinstance(found, Measured)
    return found


@pytest.fixture(scope="module")
def pair() -> ModelMetrics:
    return ModelMetrics(given_model(run_of(2, 0.6)), given_model(run_of(1, 0.7)))


def by_image(pair: ModelMetrics) -> np.ndarray:
    """(N, 3) candidate minus baseline in the corrupted cells."""
    one, other = (m.runs[0].correct[:, [0, 1, 3]].astype(float) for m in (pair.candidate, pair.baseline))
    return one - other


def test_mean_accuracy_has_the_interval_of_its_images_and_two_pseudo_images(pair: ModelMetrics) -> None:
    weights = [1 / 4, 1 / 4, 1 / 2]
    found = difference(pair, "accuracy", CORRUPTED, weights=weights)
    images = np.append(by_image(pair) @ weights, [1, -1])
    error = stats.sem(images, ddof=0)
    assert found.interval().method == "normal"
    half = stats.norm.ppf(0.975) * error
    value = (by_image(pair) @ weights).mean()
    assert found.interval()[:3] == pytest.approx((value, images.mean() - half, images.mean() + half), rel=1e-12)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(images.mean()) / error), rel=1e-9)
    flipped = difference(pair, "error", CORRUPTED, weights=weights).interval()
    value, low, high = found.interval()[:3]
    assert flipped[:3] == pytest.approx((-value, -high, -low), rel=1e-12)


@pytest.mark.parametrize("comparisons", [1, 20])
def test_a_single_cell_has_exact_and_newcombe_intervals(pair: ModelMetrics, comparisons: int) -> None:
    place = CELLS.index(("fog", 2.0))
    one, other = (n.runs[0].correct[:, place] for n in (pair.candidate, pair.baseline))
    newcombe = newcombe_interval(count_pairs(one, other), level=0.9, comparisons=comparisons)
    exact = exact_interval(one.sum(), len(one), level=0.9, comparisons=comparisons)
    both = difference(pair, "accuracy", [("fog", 2.0)])
    alone = known(pair.mean("accuracy", [("fog", 2.0)]))
    assert (both.interval().method, alone.interval().method) == ("Newcombe, paired", "Clopper-Pearson")
    for found, ends in ((both, newcombe), (alone, exact)):
        bounds = found.low(0.95, comparisons=comparisons), found.high(0.95, comparisons=comparisons)
        assert bounds == pytest.approx(tuple(map(float, ends)))
    low, high = difference(pair, "error", [("fog", 2.0)]).interval(0.9, comparisons=comparisons)[1:3]
    assert (-high, -low) == pytest.approx(tuple(map(float, newcombe))), "as the accuracy's, with the other sign"


def with_failures(count: int, images: int = 400) -> ModelMetrics:
    """A model that is incorrect on some images of every cell."""
    correct = np.repeat(np.arange(images)[:, None] >= count, len(CELLS), axis=1)
    return ModelMetrics(given_model(given_run(correct, **random_columns(np.random.default_rng(3), correct))))


@pytest.mark.parametrize(
    ("name", "failures", "is_measured"),
    [
        ("auroc", 9, False), ("auroc", 10, True), ("auroc", 391, False), ("fpr95", 19, False), ("fpr95", 20, True),
        ("augrc", 0, False), ("augrc", 1, True), ("aurc", 0, False), ("nll_nats", 0, True),
    ],
)  # fmt: skip
def test_failure_prediction_requires_failures_and_correct_predictions(
    name: str, failures: int, is_measured: bool
) -> None:
    score = None if name == "nll_nats" else "confidence"
    found = with_failures(failures).mean(name, [("fog", 2.0)], score)
    assert isinstance(found, Measured) == is_measured, found


def test_a_false_positive_rate_is_measured_in_one_cell_alone() -> None:
    models = with_failures(60)
    assert "one cell" in str(models.mean("fpr95", CORRUPTED, "confidence"))
    value, low, high = known(models.mean("fpr95", [("fog", 2.0)], "confidence")).interval()[:3]
    assert 0 <= low <= value <= high == 1, "all failures lie above their 5% quantile in 5% of samples"


@pytest.mark.parametrize(("statistic", "is_measured"), [(np.min, False), (np.ptp, False), (np.mean, True)])
def test_a_users_extreme_is_not_measurable_and_a_mean_is(statistic: Any, is_measured: bool) -> None:
    @metric(higher_is_better=True, range=(0, 1))
    def own(preds: Any, target: Any) -> float:
        return float(statistic(np.bincount(target, preds == target) / np.bincount(target)))

    run = given_run(correct := np.random.default_rng(1).random((400, len(CELLS))) < 0.9,
                    **random_columns(np.random.default_rng(2), correct, classes=10))  # fmt: skip
    found = ModelMetrics(given_model(run), metrics={"own": own}).mean("own", [("fog", 2.0)])
    assert isinstance(found, Measured) == is_measured


def test_models_of_different_images_are_independent_samples() -> None:
    one = given_model(run_of(2, 0.6, images=150))
    other = given_model(run_of(1, 0.7), dataset_id="other images")
    pair = ModelMetrics(one, other)
    assert pair.pairing.kind == "different"
    cell = difference(pair, "accuracy", [("snow", 1.0)])
    shares = [float(n.runs[0].accuracy[3]) for n in (one, other)]
    ends = difference_of_groups((shares[0], shares[1]), (150, 200), level=0.9)
    assert (cell.low(0.95), cell.high(0.95)) == pytest.approx(tuple(map(float, ends)))
    for name in ("accuracy", "ece", "brier"):
        found = difference(pair, name, CORRUPTED)
        parts = [known(ModelMetrics(model).mean(name, CORRUPTED)) for model in (one, other)]
        assert found.value == pytest.approx(parts[0].value - parts[1].value)
        assert found.error.variance == pytest.approx(parts[0].error.variance + parts[1].error.variance, rel=0.15)


def test_cells_of_different_images_add_their_variances() -> None:
    shared = ModelMetrics(given_model(run_of(2, 0.6)), given_model(run_of(1, 0.7)))
    apart = ModelMetrics(
        given_model(run_of(2, 0.6, shares_images=False)), given_model(run_of(1, 0.7, shares_images=False))
    )
    assert apart.pairing.kind == "same"  # the models still see the same images in a cell
    for name in ("accuracy", "ece"):
        one = difference(shared, name, CORRUPTED)
        other = difference(apart, name, CORRUPTED)
        assert one.value == pytest.approx(other.value)
        assert other.error.variance != pytest.approx(one.error.variance, rel=1e-3)
    weights, added = np.array([1 / 4, 1 / 4, 1 / 2]), 2 / 3  # two made-up images at each end, shared by three cells
    images = weights * by_image(apart)
    total = len(images) + 2 * added
    center = images.sum(axis=0) / total
    squares = ((images**2).sum(axis=0) + 2 * added * weights**2) / total
    half = stats.norm.ppf(0.975) * np.sqrt(((squares - center**2) / total).sum())
    found = difference(apart, "accuracy", CORRUPTED, weights=weights.tolist())
    assert found.interval()[1:3] == pytest.approx((center.sum() - half, center.sum() + half), rel=1e-12)


def test_the_error_of_a_calibration_error_is_that_of_a_bootstrap_by_hand(pair: ModelMetrics) -> None:
    found = difference(pair, "ece", CORRUPTED)
    places = [CELLS.index(cell) for cell in CORRUPTED]
    drawn = np.random.default_rng(8).integers(0, 200, (800, 200))

    def calibration_errors(model: ModelRows) -> np.ndarray:
        """(800,) of every sample, averaged over cells."""
        run = model.runs[0]
        confidence = run.columns["confidence"][:, places]
        gaps = run.correct[:, places] - confidence
        bins = np.minimum((confidence * 15).astype(int), 14)
        sums = [np.where(bins == b, gaps, 0)[drawn].sum(axis=1) for b in range(15)]
        return np.abs(sums).sum(axis=0).mean(axis=1) / 200

    values = calibration_errors(pair.candidate) - calibration_errors(pair.baseline)
    assert np.sqrt(found.error.variance) == pytest.approx(values.std(), rel=0.12)
    assert found.low_center <= found.value <= found.high_center
    biased = known(pair.mean("ece", CORRUPTED))  # which is larger of few images than of many
    assert biased.low_center < biased.value
    assert biased.value - biased.low_center > biased.high_center - biased.value


def test_common_images_alone_are_compared() -> None:
    wide = run_of(1, 0.7)
    ids = list(range(40, 160))
    correct = run_of(2, 0.6).correct[ids]
    narrow = given_run(correct, image_ids=ids, **random_columns(np.random.default_rng(4), correct))
    pair = ModelMetrics(given_model(narrow), given_model(wide))
    assert (pair.pairing.kind, pair.pairing.image_count) == ("common", 120)
    columns = {name: values[ids] for name, values in wide.columns.items()}
    restricted = given_run(wide.correct[ids], image_ids=ids, **columns)
    same = ModelMetrics(given_model(narrow), given_model(restricted))
    for name in ("accuracy", "ece", "augrc"):
        score = "margin" if name == "augrc" else None
        assert difference(pair, name, CORRUPTED, score).interval()[:3] == pytest.approx(
            difference(same, name, CORRUPTED, score).interval()[:3], rel=1e-9
        )
    few = run_of(2, 0.6, image_ids=range(150, 350))
    assert pair_images(given_model(wide), given_model(few))[0].kind == "different", "they share too few"


def runs(seeds: range, share: float) -> ModelRows:
    """Training runs whose accuracy differs by more than the images make it."""
    return given_model(*(run_of(seed, share + np.random.default_rng(seed).normal(0, 0.05)) for seed in seeds))


def test_training_runs_on_both_sides_are_part_of_the_error() -> None:
    a, b = runs(range(3), 0.7), runs(range(10, 15), 0.6)
    pair = ModelMetrics(b, a)
    assert pair.is_about_training
    found = difference(pair, "accuracy", CORRUPTED)
    means = [[run.correct[:, [0, 1, 3]].mean() for run in model.runs] for model in (b, a)]
    of_seeds = [np.var(values, ddof=1) / len(values) for values in means]
    each = [np.mean([run.correct[:, [0, 1, 3]].mean(axis=1) for run in n.runs], axis=0) for n in (b, a)]
    added = np.append(each[0] - each[1], [-1, 1])
    of_images = added.var() / len(added)
    assert found.value == pytest.approx(np.mean(means[0]) - np.mean(means[1]))
    assert found.error.variance == pytest.approx(sum(of_seeds) + of_images)
    tails = [(2, of_seeds[1]), (4, of_seeds[0]), (np.inf, of_images)]
    half = np.sqrt(sum(stats.t.ppf(0.975, freedom) ** 2 * variance for freedom, variance in tails))
    value, low, high = found.interval()[:3]
    assert (low, high) == pytest.approx((value - half, value + half))


def test_with_one_run_on_a_side_the_statement_is_about_checkpoints() -> None:
    pair = ModelMetrics(runs(range(3), 0.7), given_model(run_of(7, 0.6)))
    assert not pair.is_about_training
    assert difference(pair, "accuracy", CORRUPTED).error.freedom == np.inf
    assert ModelMetrics(runs(range(3), 0.7)).is_about_training  # alone, against a limit


def test_the_number_of_images_that_would_decide() -> None:
    """Twice the distance needs a quarter of the images; with so many, 80 % of samples decide."""
    pair = ModelMetrics(given_model(run_of(2, 0.69, images=400)), given_model(run_of(1, 0.7, images=400)))
    found = difference(pair, "accuracy", CORRUPTED)
    near = found.images_needed(found.value - 0.01)
    far = found.images_needed(found.value - 0.02)
    assert near == pytest.approx(4 * far, abs=4)
    error = np.sqrt(found.error.variance * 400 / near)
    assert stats.norm.cdf(0.01 / error - stats.norm.ppf(0.95)) == pytest.approx(0.8, abs=1e-3)
    assert found.images_needed(found.value) is None
    assert found.images_needed(found.value + 1e-6) is None  # more than there are in the world


def test_a_metric_that_is_not_defined_says_where_and_why() -> None:
    correct = np.ones((50, len(CELLS)), bool)
    model = given_model(given_run(correct, **random_columns(np.random.default_rng(0), correct)))
    found = ModelMetrics(model).mean("auroc", [("fog", 1.0)], "confidence")
    assert found == "fog 1: no failure"
    pair = ModelMetrics(model, given_model(run_of(1, 0.5, images=50)))
    assert pair.measure("auroc", contrast([("fog", 1.0)]), "confidence") == "fog 1: no failure"


def test_bounds_of_no_differing_images_are_not_of_width_0() -> None:
    run = run_of(1, 0.7)
    pair = ModelMetrics(given_model(run), given_model(run))
    for name in ("accuracy", "ece", "worst_class_accuracy", "brier", "nll_nats"):
        found = difference(pair, name, CORRUPTED)
        assert found.value == 0
        assert found.low() < 0 < found.high()


GRID = [(c, float(s)) for c in ("contrast", "fog") for s in range(1, 6)] + [("none", 0.0)]
CORRUPTIONS = ("contrast", "fog")


def trained(rng: np.random.Generator, seeds: int, images: int = 400) -> ModelRows:
    """Runs whose skill differs by seed, over two corruptions; an image is as difficult for all of them."""
    difficulty = rng.normal(size=(images, 1))
    skill = rng.normal(0, 0.3, seeds)
    fall = np.array([0.3 * severity for _, severity in GRID])
    correct = [1.5 + own - fall > difficulty + rng.normal(0, 0.7, (images, len(GRID))) for own in skill]
    return given_model(*(given_run(one, GRID) for one in correct))


def corrupted(model: ModelRows) -> np.ndarray:
    """(S, N, C) whether each run is right on each image under corruption."""
    return np.stack([run.correct[:, :-1] for run in model.runs])


def test_over_seeds_alone_it_is_the_t_interval() -> None:
    values = [0.71, 0.74, 0.70]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    error = error_over_seeds(values)
    assert error.one_sided(0.975) == pytest.approx((high - low) / 2)
    assert error.p_value(0.05) == pytest.approx(stats.ttest_1samp(values, np.mean(values) - 0.05).pvalue)
    with pytest.raises(ValueError, match="at least two"):
        error_over_seeds([0.7])


def test_half_widths_of_independent_errors_add_up_as_squares() -> None:
    seeds = MeanError(0.01**2, 2)
    images = MeanError(0.02**2)
    both = add_errors([seeds, images])
    assert (both.variance, both.freedom) == (pytest.approx(0.0005), 2)
    for level in (0.9, 0.95, 0.99):
        assert both.one_sided(level) == pytest.approx(np.hypot(seeds.one_sided(level), images.one_sided(level)))
        assert both.p_value(both.one_sided(level)) == pytest.approx(2 * (1 - level))
    assert add_errors([images, images]).p_value(0.5) == pytest.approx(2 * stats.norm.sf(0.5 / np.sqrt(0.0008)))
    assert both.one_sided(comparisons=10) == pytest.approx(both.one_sided(1 - 0.05 / 10))


def test_the_standard_error_is_that_of_a_multi_bootstrap() -> None:
    """Of ten seeds, each part: the bootstrap's variance over seeds is (S - 1) / S of ours."""
    rng = np.random.default_rng(3)
    seeds = 10
    model = trained(rng, seeds)
    of_images = corrupted(model).mean(axis=2)  # (S, N)
    resampled = np.array([
        of_images[np.ix_(rng.integers(0, seeds, seeds), rng.integers(0, 400, 400))].mean() for _ in range(4000)
    ])  # fmt: skip
    found = accuracy_over(ModelMetrics(model), mean_corrupted(GRID, CORRUPTIONS))
    over_seeds, over_images = found.error.parts
    assert np.sqrt(over_seeds.variance * (seeds - 1) / seeds + over_images.variance) == pytest.approx(
        resampled.std(), rel=0.05
    )
    assert found.value == pytest.approx(of_images.mean())
    low, high = np.quantile(resampled, [0.025, 0.975])
    _, own_low, own_high = found.interval()[:3]
    assert own_low < low < high < own_high, "t of nine degrees of freedom is wider than the bootstrap"
