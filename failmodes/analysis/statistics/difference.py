"""The engine for values and differences: a metric over cells of one model or two, with its error.

A value is a weighted sum of a metric over cells: its mean over cells, the drop from clean to some of them, one
corruption against another, a candidate against a baseline. Cells of the same images are compared image by image, others
as independent samples. Training runs of one model are averaged; if every model has several, the error covers training
seeds too and the statement is about training, otherwise it is about these checkpoints.

Errors over images: for metrics with per-image contributions, the spread of their weighted sums with two added images,
the least and the most that one can contribute (Bonett and Price 2012, Journal of Educational and Behavioral Statistics
37, 479-488; for cells of different images Price and Bonett 2004, Computational Statistics & Data Analysis 45,
449-456), so that no error is 0, or corrected for skewness if contributions are continuous (see
`intervals.deviations`); for others a bootstrap of images. A share in one cell has its exact interval, a difference of
two shares Newcombe's. A value that rests on too few images or failures is not measured, nor one that resampled images
shift. Exact duplicates count as one image (see `warehouse.metrics.duplicates`).

Errors over training seeds: the Multi-Bootstrap (Sellam et al. 2022, arXiv 2106.16163) resamples seeds and images
independently; with the usual two to ten seeds its variance is too small by (S - 1) / S, and it has no t quantile. Here
half-widths of each error, of seeds with S - 1 degrees of freedom, add up as squares (Zou and Donner 2008, Statistics in
Medicine 27, 1693-1702). Welch's and Satterthwaite's degrees of freedom would be invalid here: two seeds that agree by
chance leave only the error over images, and up to 13% of 95% intervals miss.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import ceil, erfc, inf, sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from failmodes.analysis.statistics.estimate import Estimate, Float64Array
from failmodes.analysis.statistics.run_rows import (
    CellKey,
    ImagePairing,
    ModelRows,
    Rows,
    RunRows,
    pair_images,
)
from failmodes.analysis.statistics.shares import POWER, count_pairs, difference_of_groups, newcombe_interval
from failmodes.warehouse.metrics.cell_rows import ComparedCell, NotStored
from failmodes.warehouse.metrics.duplicates import Groups, independent_share, kept_groups
from failmodes.warehouse.metrics.failure_prediction import NO_FAILURE
from failmodes.warehouse.metrics.intervals import deviations, kept_weights, mean_with_pseudo_images, skewness_of_mean
from failmodes.warehouse.metrics.metric import (
    BOOTSTRAP,
    CLOPPER_PEARSON,
    NEWCOMBE,
    NORMAL,
    RESAMPLES,
    SKEWNESS_CORRECTED,
    Evaluated,
    Metric,
    Weights,
    all_metrics,
    evaluate,
)

MAX_BIAS = 0.45  # standard errors: with more, up to 14% of rules on the range of equal classes pass wrongly
DEPENDS_ON_COUNT = "its value depends on the number of images, as a minimum over classes does"
ONE_CELL_ALONE = "its interval holds for one model in one cell: use at_most or at_least over each cell"
MIN_VARIANCE = 1e-30  # if all images contribute the same: a test divides by it
MAX_IMAGES = 10_000_000  # more than any dataset for image classification
BISECTIONS = 60
OVER_SEEDS = ", with Student's t over training seeds"  # in names of intervals


class Term(NamedTuple):
    """A cell of the candidate, or of the baseline, with its weight in a sum."""

    cell: CellKey
    weight: float
    of_baseline: bool = False


class Compared(NamedTuple):
    """A difference, candidate minus baseline, and the values of both."""

    difference: "Measured"
    baseline: float
    candidate: float


@dataclass(frozen=True)
class MeanError:
    """The error of a mean.

    Attributes:
        variance: of the mean.
        freedom: degrees of freedom of the variance; of a sum the fewest of its parts.
        parts: independent errors that it is the sum of; empty if it is not a sum.
        skewness: third standardized moment of the mean.
    """

    variance: float
    freedom: float = inf
    parts: tuple["MeanError", ...] = ()
    skewness: float = 0.0

    def one_sided(self, level: float = 0.95, *, comparisons: int = 1, is_upper: bool = False) -> float:
        """Distance of a one-sided bound of `level` from the mean; for all `comparisons` (Bonferroni)."""
        return self._distance((1 - level) / comparisons, is_upper=is_upper)

    def p_value(self, distance: float) -> float:
        """Two-sided p value of a true value of 0 where the mean is `distance`, by inversion of the interval."""
        from scipy.special import stdtr  # here: it takes .2 s, and most charts do without

        if not (self.parts or self.skewness):
            errors = abs(distance) / sqrt(self.variance)
            return erfc(errors / sqrt(2)) if self.freedom == inf else 2 * float(stdtr(self.freedom, -errors))
        low, high = -600.0, 0.0  # logarithms, for p values of any magnitude
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            is_beyond = self._distance(np.exp(middle) / 2, is_upper=distance < 0) > abs(distance)
            low, high = (middle, high) if is_beyond else (low, middle)
        return float(np.exp(high))

    def _distance(self, tail: float, *, is_upper: bool) -> float:
        """Distance from the mean that is exceeded with probability `tail` below it, or above."""
        errors = self.parts or (self,)
        return sqrt(sum(error.deviations(tail, is_upper=is_upper) ** 2 * error.variance for error in errors))

    def deviations(self, tail: float, *, is_upper: bool) -> float:
        """The same in standard errors, of an error that is no sum."""
        from scipy.special import stdtrit  # here: it takes .2 s, and most charts do without

        if self.freedom < inf:
            return float(stdtrit(self.freedom, tail))
        return deviations(-NormalDist().inv_cdf(tail), -self.skewness if is_upper else self.skewness)


def error_over_seeds(values: ArrayLike) -> MeanError:
    """The error of the mean of one value per training run.

    Args:
        values: (S,) at least two.

    Raises:
        ValueError: there are fewer.
    """
    runs = np.asarray(values, dtype=np.float64)
    if len(runs) < 2:
        raise ValueError(f"{len(runs)} training run: at least two are needed")
    return MeanError(float(runs.var(ddof=1)) / len(runs), len(runs) - 1)


def add_errors(errors: Iterable[MeanError]) -> MeanError:
    """The error of a sum or difference of independent means."""
    parts = tuple(part for error in errors for part in error.parts or (error,))
    if len(parts) == 1:
        return parts[0]
    return MeanError(sum(part.variance for part in parts), min(part.freedom for part in parts), parts)


class Measured(NamedTuple):
    """A value with its error over images, and over training runs if there are several; with bounds at any level.

    Attributes:
        value: the metric, or the difference.
        low_center: center of the one-sided lower bound: the value, or less if it may be biased upwards.
        high_center: center of the upper bound.
        error: over images, and over training runs.
        image_count: images of a cell.
        least: the smallest possible value.
        most: the largest possible value.
        ends: (level, comparisons) to both ends of the two-sided interval of a single share, or of a difference of two,
            which is more exact than that from the error; None otherwise.
        center: center of the two-sided interval of a mean of shares; None otherwise.
        independent: the effective number of images as a share of them; 1 without duplicates.
        exact_p: p value of an exact test of 0, in place of the inverted interval.
        method: of the interval, see `Estimate`.
    """

    value: float
    low_center: float
    high_center: float
    error: MeanError
    image_count: int
    least: float = -inf
    most: float = inf
    ends: Callable[[float, int], tuple[float, float]] | None = None
    center: float | None = None
    independent: float = 1.0
    exact_p: float | None = None
    method: str = NORMAL

    def low(self, level: float = 0.95, *, comparisons: int = 1) -> float:
        """One-sided lower bound of `level`, for all `comparisons` together."""
        if self.ends is not None:
            return self.ends(2 * level - 1, comparisons)[0]
        return max(self.least, self.low_center - self.error.one_sided(level, comparisons=comparisons))

    def high(self, level: float = 0.95, *, comparisons: int = 1) -> float:
        """One-sided upper bound of `level`, for all `comparisons` together."""
        if self.ends is not None:
            return self.ends(2 * level - 1, comparisons)[1]
        return min(self.most, self.high_center + self.error.one_sided(level, comparisons=comparisons, is_upper=True))

    def interval(self, level: float = 0.95, *, comparisons: int = 1) -> Estimate:
        """The value with its two-sided interval."""
        centered = self if self.center is None else self._replace(low_center=self.center, high_center=self.center)
        one_sided = (1 + level) / 2
        low, high = (bound(one_sided, comparisons=comparisons) for bound in (centered.low, centered.high))
        return Estimate(self.value, low, high, level, self.image_count, method=self.method)

    @property
    def p_value(self) -> float:
        """Two-sided p value of 0, by inversion of the interval, or of an exact test."""
        if self.exact_p is not None:
            return self.exact_p
        if self.ends is None:
            return self.error.p_value((self.low_center + self.high_center) / 2)
        inside = 1 - 1e-15
        outside = 0.0
        for _ in range(BISECTIONS):
            level = (inside + outside) / 2
            low, high = self.ends(level, 1)
            inside, outside = (level, outside) if low <= 0 <= high else (inside, level)
        return 1 - inside

    def images_needed(self, limit: float, level: float = 0.95) -> int | None:
        """Images that would show the side of `limit` with a power of 80% if the true value is as measured.

        None if it is on the limit, or if more than MAX_IMAGES are needed. Errors over training runs, which more images
        do not reduce, are assumed to shrink too: with several runs this is a lower bound.
        """
        distance = abs(self.value - limit)
        if not distance:
            return None
        quantiles = NormalDist().inv_cdf(level) + NormalDist().inv_cdf(POWER)
        needed = ceil(self.image_count * self.error.variance * (quantiles / distance) ** 2)
        return needed if needed <= MAX_IMAGES else None


@dataclass
class _Sample:
    """The contribution of one sample of images to a sum: cells of the same images are in one sample.

    Attributes:
        count: its images.
        groups: (N,) of duplicates among them, whose contributions are summed first; None if they are distinct.
        images: (N,) weighted contributions; None for metrics without.
        replicates: (B,) of resampled images, for these metrics.
        value: the weighted sum.
        plus: sum of positive weights.
        minus: sum of negative weights.
        low_bias: how far the sum may be below the true value on average.
        high_bias: how far above.
        errors: least standard errors of the positive and of the negative terms.
        scale: images of a cell for each one that takes part, as in its contribution.
    """

    count: int
    groups: Groups | None = None
    images: Float64Array | None = None
    replicates: Float64Array | None = None
    value: float = 0.0
    plus: float = 0.0
    minus: float = 0.0
    low_bias: float = 0.0
    high_bias: float = 0.0
    errors: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0

    def add(self, evaluated: Evaluated, weight: float) -> None:
        """Add a metric of one cell and training run."""
        self.plus = self.plus + max(weight, 0.0)
        self.minus = self.minus - min(weight, 0.0)
        self.value += weight * evaluated.value
        if evaluated.images is not None:
            added = evaluated.images * weight
            self.scale = max(self.scale, len(evaluated.images) / evaluated.n)
            self.images = added if self.images is None else self.images + added
            return
        drawn = np.zeros(RESAMPLES) if evaluated.replicates is None else evaluated.replicates * weight
        self.replicates = drawn if self.replicates is None else self.replicates + drawn
        low, high = sorted((weight * evaluated.bias.low, weight * evaluated.bias.high))
        self.low_bias = self.low_bias + low
        self.high_bias = self.high_bias + high
        error = weight * evaluated.bias.error
        self.errors = self.errors[0] + max(error, 0.0), self.errors[1] - min(error, 0.0)

    def with_sample(self, other: "_Sample") -> "_Sample":
        """The sum with another one of the same images."""
        return _Sample(
            self.count,
            other.groups if self.groups is None else self.groups,
            None if self.images is None or other.images is None else self.images + other.images,
            None if self.replicates is None or other.replicates is None else self.replicates + other.replicates,
            self.value + other.value,
            self.plus + other.plus,
            self.minus + other.minus,
            self.low_bias + other.low_bias,
            self.high_bias + other.high_bias,
            (self.errors[0] + other.errors[0], self.errors[1] + other.errors[1]),
            max(self.scale, other.scale),
        )

    def moments(self, image_range: tuple[float, float], pseudo_images: float) -> tuple[float, float, float]:
        """The sum with two added images, of the least and the most possible, its variance and third central moment."""
        low, high = image_range
        least, most = self.plus * low - self.minus * high, self.plus * high - self.minus * low
        if self.images is not None:
            least, most = (self.value + self.scale * (end - self.value) for end in (least, most))
            center, variance = mean_with_pseudo_images(self.images, least, most, pseudo_images, self.groups)
            skewness = 0.0 if pseudo_images else skewness_of_mean(self.images, self.groups)
            return center, variance, skewness * variance**1.5
        assert self.replicates is not None
        count = self.count * independent_share(self.groups)
        center = (self.value * count + pseudo_images * (least + most)) / (count + 2 * pseudo_images)
        span = max(self.plus, self.minus) * (high - low)
        return center, max(float(self.replicates.var(ddof=1)), max(self.errors) ** 2) + 2 * (span / count) ** 2, 0.0


class _Side(NamedTuple):
    """A weighted sum of one model: (S,) of each training run, and its samples by cell, or None for shared images."""

    values: Float64Array
    samples: dict[CellKey | None, _Sample]


def mean_of(cells: Iterable[CellKey], weight: float = 1.0, *, of_baseline: bool = False) -> list[Term]:
    """Terms of the mean over cells, each of equal weight; a negative weight subtracts it."""
    in_order = list(cells)
    return [Term(cell, weight / len(in_order), of_baseline) for cell in in_order]


class ModelMetrics:
    """Metrics of a candidate, and their differences from a baseline if there is one.

    Args:
        candidate: the model that is judged.
        baseline: the model that it is compared with.
        seed: of resampled images.
        metrics: available metrics by name; by default all of this package.
        sums: cache of sums, shared by comparisons of many models.
    """

    def __init__(
        self,
        candidate: ModelRows,
        baseline: ModelRows | None = None,
        *,
        seed: int = 0,
        metrics: Mapping[str, Metric] | None = None,
        sums: dict[Hashable, _Side | str] | None = None,
    ) -> None:
        self.candidate = candidate
        self.baseline = baseline
        self._seed = seed
        self.pairing = ImagePairing("same", candidate.image_count)  # images that are compared
        if baseline is not None:
            self.pairing, self.baseline, self.candidate = pair_images(baseline, candidate)
        self.metrics = all_metrics() if metrics is None else metrics
        self._sums = {} if sums is None else sums

    @property
    def cells(self) -> list[CellKey]:
        """Cells that all training runs have, of both sides."""
        if self.baseline is None:
            return self.candidate.cells
        known = set(self.baseline.cells)
        return [cell for cell in self.candidate.cells if cell in known]

    @property
    def is_about_training(self) -> bool:
        """Whether errors cover training runs too: each side has several."""
        return all(len(side.runs) > 1 for side in (self.candidate, self.baseline) if side is not None)

    def measure(self, name: str, terms: Sequence[Term], score: str | None = None) -> Measured | str:
        """A weighted sum of a metric over cells; the reason if it is undefined.

        Args:
            name: of the metric.
            terms: at least one, of cells that its model has.
            score: of a metric with several scores.
        """
        metric = self.metrics[name]
        if alone := self._of_cells(metric, terms, score):
            return alone
        sides = []
        for is_baseline in (False, True):
            if side_terms := [term for term in terms if term.of_baseline == is_baseline]:
                side = self._side(metric, side_terms, score, is_baseline=is_baseline)
                if isinstance(side, str):
                    return side
                sides.append(side)
        measured = self._measured(metric, terms, sides)
        bias = sum(sample.low_bias + sample.high_bias for side in sides for sample in side.samples.values())
        if not metric.takes_weights and abs(bias) > MAX_BIAS * sqrt(measured.error.variance):
            return DEPENDS_ON_COUNT
        return measured

    def mean(self, name: str, cells: Sequence[CellKey], score: str | None = None) -> Measured | str:
        """The candidate's mean over cells, each of equal weight."""
        return self.measure(name, mean_of(cells), score)

    def compared(self, name: str, terms: Sequence[Term], score: str | None = None) -> Compared | str:
        """A weighted sum over cells, of the candidate minus the baseline, and the values of both."""
        other = [term._replace(weight=-term.weight, of_baseline=True) for term in terms]
        difference = self.measure(name, [*terms, *other], score)
        if isinstance(difference, str):
            return difference
        values = []
        for side_terms, is_baseline in ((other, True), (terms, False)):
            side = self._side(self.metrics[name], side_terms, score, is_baseline=is_baseline)
            assert isinstance(side, _Side)
            values.append(-float(side.values.mean()) if is_baseline else float(side.values.mean()))
        return Compared(difference, *values)

    @property
    def independent_share(self) -> float:
        """Kish's effective number of the compared clean images as a share of them; 1 without duplicates."""
        return independent_share(_groups_of(self.candidate))

    def discordant(self, cell: CellKey) -> tuple[int, int]:
        """Images of a cell that only the baseline predicts correctly, and only the candidate; of one run each."""
        correct, baseline_correct = (
            model.runs[0].rows(cell, model.kept)["correct"] for model in (self.candidate, self._model(is_baseline=True))
        )
        return int((baseline_correct & ~correct).sum()), int((correct & ~baseline_correct).sum())

    def difference_of_images(
        self, metric: Metric, image_values: Callable[[RunRows], Float64Array], chosen: Callable[[RunRows], Rows | slice]
    ) -> Compared:
        """The difference of any mean over images, with the values of both.

        Args:
            metric: for its bounds.
            image_values: (N,) of a training run, all cells of which have the same images.
            chosen: rows among the compared ones.
        """
        sides = []
        for model, sign in ((self.candidate, 1.0), (self._model(is_baseline=True), -1.0)):
            kept = slice(None) if model.kept is None else model.kept
            of_runs = [image_values(run)[kept][chosen(run)] for run in model.runs]
            images = sign * np.mean(of_runs, axis=0)
            groups = kept_groups(_groups_of(model), chosen(model.runs[0]))
            sample = _Sample(len(images), groups, images, None, float(images.mean()), max(sign, 0.0), max(-sign, 0.0))
            sides.append(_Side(sign * np.array([values.mean() for values in of_runs]), {None: sample}))
        clean = [Term(("", 0.0), 1.0), Term(("", 0.0), -1.0, of_baseline=True)]
        measured = self._measured(metric, clean, sides)
        return Compared(measured, -float(sides[1].values.mean()), float(sides[0].values.mean()))

    def _measured(self, metric: Metric, terms: Sequence[Term], sides: Sequence[_Side]) -> Measured:
        """The value from the sums of both sides."""
        samples = list(sides[0].samples.values())
        if len(sides) > 1 and self.pairing.is_paired:
            samples = [sample.with_sample(sides[1].samples[key]) for key, sample in sides[0].samples.items()]
        elif len(sides) > 1:
            samples += sides[1].samples.values()
        is_contrast = any(term.weight < 0 for term in terms)
        pseudo_images = (
            min(1.0, 2 / len(sides[0].samples)) * metric.interval.pseudo_images
        )  # if cells differ in images, a part each
        moments = [sample.moments(metric.image_range, pseudo_images) for sample in samples]
        value = sum(float(side.values.mean()) for side in sides)
        center, variance, third = (sum(numbers) for numbers in zip(*moments, strict=True))
        over_seeds = [error_over_seeds(side.values) for side in sides] if self.is_about_training else []
        variance = max(variance, MIN_VARIANCE)
        error = add_errors([*over_seeds, MeanError(variance, skewness=third / variance**1.5)])
        low = min(value, center) - sum(sample.high_bias for sample in samples)
        high = max(value, center) - sum(sample.low_bias for sample in samples)
        middle = None
        if metric.is_share_of_images:
            middle = value if over_seeds else center
            if over_seeds or is_contrast:  # for a share itself the center, closer to 1/2, makes one bound too tight
                low = high = middle
        least, most = (sum(end(term.weight * limit for limit in metric.range) for term in terms) for end in (min, max))
        count, independent = (min(of_samples) for of_samples in zip(
            *((sample.count, independent_share(sample.groups)) for sample in samples), strict=True
        ))  # fmt: skip
        by = BOOTSTRAP if samples[0].images is None else NORMAL if pseudo_images else SKEWNESS_CORRECTED
        return Measured(
            value, low, high, error, count, least, most, center=middle, independent=independent,
            method=by + OVER_SEEDS * bool(over_seeds),
        )  # fmt: skip

    def _of_cells(self, metric: Metric, terms: Sequence[Term], score: str | None) -> Measured | None:
        """A metric with an interval of its own in a single cell, or a share in one cell minus that in another."""
        weights = [term.weight for term in terms]
        models = [self._model(is_baseline=term.of_baseline) for term in terms]
        if len(terms) > 2 or any(len(model.runs) > 1 for model in models):
            return None
        if weights == [1.0] and not terms[0].of_baseline and metric.interval.has_formula:
            self._read(self.candidate, metric, score)
            cell = self.candidate.runs[0].cell(terms[0].cell, None, self.cells)
            evaluated = evaluate(metric, cell, score)
            if isinstance(evaluated, str) or evaluated.lacking:
                return None
            return _measured_cell(evaluated)
        if sorted(weights) != [-1.0, 1.0] or not metric.is_share_of_images:
            return None
        shares: list[tuple[object, _Share]] = []
        for term in sorted(terms, key=lambda term: -term.weight):
            model = self._model(is_baseline=term.of_baseline)
            self._read(model, metric, score)
            cell = model.runs[0].cell(term.cell, model.kept, self.cells)
            evaluated = evaluate(metric, cell, score)
            if isinstance(evaluated, str) or evaluated.images is None:
                return None
            key = (None if model.shares_images else term.cell, term.of_baseline and not self.pairing.is_paired)
            shares.append((key, _Share(evaluated.images, cell.rows.independent_share())))
        (sample, share), (other_sample, other_share) = shares
        return _difference_of_shares(share, other_share, are_paired=sample == other_sample)

    def _model(self, *, is_baseline: bool) -> ModelRows:
        if not is_baseline:
            return self.candidate
        assert self.baseline is not None, "there is no baseline"
        return self.baseline

    def _read(self, model: ModelRows, metric: Metric, score: str | None) -> None:
        """Read the columns of a metric for all cells at once; the metric itself reports missing ones."""
        if metric.is_share_of_images and set(metric.columns) <= {"label", "predicted"}:
            return  # correctness is already read
        for run in model.runs:
            with suppress(NotStored):
                run.read(metric.columns_of(score))

    def _side(self, metric: Metric, terms: Sequence[Term], score: str | None, *, is_baseline: bool) -> _Side | str:
        """The sum of one side; the reason if it is undefined."""
        model = self._model(is_baseline=is_baseline)
        is_apart = is_baseline and not self.pairing.is_paired
        if model.kept is not None or metric.needs_pairs:
            return self._summed(metric, terms, score, model, is_apart=is_apart)
        key = (tuple(map(id, model.runs)), metric.name, score, tuple(terms), is_apart)
        if key not in self._sums:
            self._sums[key] = self._summed(metric, terms, score, model, is_apart=is_apart)
        return self._sums[key]

    def _summed(
        self, metric: Metric, terms: Sequence[Term], score: str | None, model: ModelRows, *, is_apart: bool
    ) -> _Side | str:
        """The sum of one side, resampled independently if it `is_apart`, with other images than the other side."""
        self._read(model, metric, score)
        known = self.cells
        values = np.zeros(len(model.runs))
        samples = dict[CellKey | None, _Sample]()
        has_failure = False
        for term in terms:
            stream = int(is_apart)
            if not model.shares_images:
                stream += 2 * known.index(term.cell) + 2
            for place, run in enumerate(model.runs):
                cell = run.cell(term.cell, model.kept, known)
                groups = cell.rows.groups
                count = len(cell.rows)
                evaluated = _evaluated(metric, cell, score, partial(self._weights, count, stream, groups))
                if isinstance(evaluated, str):
                    corruption, severity = term.cell
                    return f"{corruption} {severity:g}: {evaluated}"
                has_failure = has_failure or not cell.rows["correct"].all()
                values[place] += term.weight * evaluated.value
                sample = samples.setdefault(None if model.shares_images else term.cell, _Sample(count, groups))
                sample.add(evaluated, term.weight / len(model.runs))
        return _Side(values, samples) if has_failure or not metric.takes_score else NO_FAILURE

    def _weights(self, count: int, stream: int, groups: Groups | None) -> Weights:
        """Weights of resampled images; shuffled for cells of other images, by group for duplicates."""
        if not stream:
            return kept_weights(count, RESAMPLES, self._seed, groups)
        drawn = count if groups is None else int(groups.max()) + 1
        weights = kept_weights(drawn, RESAMPLES, self._seed)
        weights = weights.T[np.random.default_rng([self._seed, stream]).permutation(drawn)].T
        return weights if groups is None else weights.T[groups].T


def _groups_of(model: ModelRows) -> Groups | None:
    """Groups of duplicates among the compared clean images; None where these are distinct."""
    return kept_groups(model.runs[0].groups, model.kept)


def _evaluated(
    metric: Metric, cell: ComparedCell, score: str | None, weights: Callable[[], Weights]
) -> Evaluated | str:
    """A metric with contributions, or else with replicates; why it has no error."""
    evaluated = evaluate(metric, cell, score, weights() if metric.takes_weights else None)
    if isinstance(evaluated, str):
        return evaluated
    if metric.interval.has_formula and evaluated.images is None and evaluated.values is None:
        return ONE_CELL_ALONE
    if reason := evaluated.lacking:
        return reason
    return (
        evaluated if metric.takes_weights or evaluated.images is not None else evaluate(metric, cell, score, weights())
    )


def _measured_cell(evaluated: Evaluated) -> Measured:
    """A metric with an interval of its own, in a single cell of one training run."""
    count = len(evaluated.cell.rows)
    independent = evaluated.cell.rows.independent_share()
    effective_count = count * independent

    def ends(level: float, comparisons: int) -> tuple[float, float]:
        return evaluated.ends(level, comparisons) or (evaluated.value, evaluated.value)

    if evaluated.images is not None:
        variance = float(evaluated.images.var()) / effective_count
    else:
        low, high = ends(0.6827, 1)  # one standard error to each side
        variance = ((high - low) / 2) ** 2
    error = MeanError(max(variance, 1 / effective_count**2))
    return Measured(
        evaluated.value, evaluated.value, evaluated.value, error, count, ends=ends, independent=independent,
        method=evaluated.metric.interval.method,
    )  # fmt: skip


class _Share(NamedTuple):
    """A share of images: (N,) 0 or 1 for each, and the effective number of images as a share of N."""

    images: Float64Array
    independent: float

    @property
    def effective_count(self) -> float:
        """Kish's effective number of images."""
        return len(self.images) * self.independent


def _difference_of_shares(first: _Share, second: _Share, *, are_paired: bool) -> Measured:
    """A share of images minus another one with Newcombe's interval."""
    shares = float(first.images.mean()), float(second.images.mean())
    numbers = first.effective_count, second.effective_count
    value = shares[0] - shares[1]
    if are_paired:
        independent = min(first.independent, second.independent)
        counts = count_pairs(first.images > 0.5, second.images > 0.5, independent=independent)
        value = float(counts.difference)  # from counts: no rounding error
        variance = (float(counts.discordant_share) - value**2) / float(counts.total)
        interval, method = partial(newcombe_interval, counts), f"{NEWCOMBE}, paired"
    else:
        variance = sum(share * (1 - share) / number for share, number in zip(shares, numbers, strict=True))
        interval, method = partial(difference_of_groups, shares, numbers), f"{NEWCOMBE} from {CLOPPER_PEARSON} limits"

    def ends(level: float, comparisons: int) -> tuple[float, float]:
        low, high = interval(comparisons=comparisons, level=level)
        return float(low), float(high)

    error = MeanError(max(variance, 2 / numbers[0] ** 2))
    count = min(len(first.images), len(second.images))
    independent = min(first.independent, second.independent)
    return Measured(value, value, value, error, count, ends=ends, independent=independent, method=method)
