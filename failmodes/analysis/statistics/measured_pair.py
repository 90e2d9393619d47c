"""A model, alone or beside another one: any metric over any cells, or its difference, with its error.

Two models are compared image by image where they saw the same images, or enough of the same; else as independent
samples. Training runs of one model are averaged, and their spread is part of the error where both sides have several:
the statement is then about training, else about these checkpoints.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.analysis.statistics.bootstrap import Float64Array
from failmodes.analysis.statistics.difference import error_over_seeds
from failmodes.analysis.statistics.image_pairing import ImagePairing, ModelRows, PairedImages, Rows, pair_images
from failmodes.analysis.statistics.measured_value import MeasuredValue, Undefined
from failmodes.analysis.statistics.run_rows import CellKey, RunRows
from failmodes.analysis.statistics.shares import count_pairs
from failmodes.analysis.statistics.side_value import (
    SideValue,
    is_share_of_images,
    measured,
    measured_cell,
    minus,
    share_difference,
)
from failmodes.warehouse.metrics.cell_rows import Cell
from failmodes.warehouse.metrics.columns import NotOnRecord
from failmodes.warehouse.metrics.metric import RESAMPLES, Evaluated, Metric, Weights, evaluate
from failmodes.warehouse.metrics.registry import all_metrics
from failmodes.warehouse.metrics.resampling import kept_weights
from failmodes.warehouse.metrics.sampling_bias import SamplingBias


class ComparedValues(NamedTuple):
    """A difference, candidate minus baseline, and the values of both."""

    difference: MeasuredValue
    baseline: float
    candidate: float


class MeasuredPair:
    """Metrics of a candidate, and their differences from a baseline where there is one.

    Args:
        candidate: the model that is judged.
        baseline: the model that it is compared with.
        seed: of resampled images.
        metrics: those that may be asked for, by name; all of this package if not given.
    """

    def __init__(
        self,
        candidate: ModelRows,
        baseline: ModelRows | None = None,
        *,
        seed: int = 0,
        metrics: Mapping[str, Metric] | None = None,
    ) -> None:
        self.candidate, self.baseline, self._seed = candidate, baseline, seed
        self.metrics = all_metrics() if metrics is None else metrics
        self._images = None if baseline is None else pair_images(baseline, candidate)
        self._weights = partial(kept_weights, resamples=RESAMPLES, seed=seed)

    @property
    def images(self) -> PairedImages:
        """How the images of both pair."""
        assert self._images is not None, "there is no baseline"
        return self._images

    @property
    def pairing(self) -> ImagePairing:
        """Which images are compared."""
        return self.images.pairing

    @property
    def cells(self) -> list[CellKey]:
        """Cells that all training runs have, of both sides."""
        if self.baseline is None:
            return self.candidate.cells
        known = set(self.baseline.cells)
        return [cell for cell in self.candidate.cells if cell in known]

    @property
    def is_about_training(self) -> bool:
        """Whether errors are over training runs too: each side has several."""
        sides = (self.candidate, self.baseline) if self.baseline else (self.candidate,)
        return all(len(side.runs) > 1 for side in sides)

    def absolute(
        self, metric: str, cells: Sequence[CellKey], score: str | None = None, weights: Sequence[float] | None = None
    ) -> MeasuredValue | Undefined:
        """The candidate's mean over cells.

        Args:
            metric: its name.
            cells: at least one, which the candidate has.
            score: for metrics of several, which.
            weights: of each cell, 1 in all; equal if not given.
        """
        what, runs = self.metrics[metric], self.candidate.runs
        if len(cells) == len(runs) == 1 and (what.interval is not None or what.quantile is not None):
            self._read(self.candidate, what, score)
            cell = runs[0].cell(cells[0], None, self.cells)
            found = evaluate(what, cell, score)
            return Undefined(_where(cells[0], found)) if isinstance(found, str) else measured_cell(
                what, cell, score, found
            )  # fmt: skip
        side = self._side(self.candidate, what, _weighted(cells, weights), score, None, 0)
        if isinstance(side, str):
            return Undefined(side)
        errors = [error_over_seeds(side.values)] if self.is_about_training else []
        return measured([side], [1.0], what, errors, bounds=what.range)

    def difference(
        self, metric: str, cells: Sequence[CellKey], score: str | None = None, weights: Sequence[float] | None = None
    ) -> MeasuredValue | Undefined:
        """The candidate's mean over cells minus the baseline's; see `absolute`."""
        found = self.compared(metric, cells, score, weights)
        return found if isinstance(found, Undefined) else found.difference

    def compared(
        self, metric: str, cells: Sequence[CellKey], score: str | None = None, weights: Sequence[float] | None = None
    ) -> ComparedValues | Undefined:
        """The same with the values of both, over the images that are compared."""
        what, found = self.metrics[metric], []
        sides = self._sides()
        for place, (model, rows) in enumerate(sides):
            stream = 0 if self.pairing.is_paired else place
            side = self._side(model, what, _weighted(cells, weights), score, rows, stream)
            if isinstance(side, str):
                return Undefined(side)
            found.append(side)
        candidate, baseline = found
        is_single = all(len(model.runs) == 1 for model, _ in sides) and len(cells) == 1
        if is_single and is_share_of_images(what):
            one, other = candidate.parts[0], baseline.parts[0]
            counts = count_pairs(one > 0.5, other > 0.5) if self.pairing.is_paired else None
            difference = share_difference(one, other, counts)
        else:
            difference = self._difference(found, what)
        return ComparedValues(difference, baseline.value, candidate.value)

    def discordant(self, cell: CellKey) -> tuple[int, int]:
        """Images of a cell that only the baseline gets right, and that only the candidate does; of one run each."""
        (one, rows), (other, other_rows) = self._sides()
        correct, baseline_correct = (
            model.runs[0].rows(cell, kept)["correct"] for model, kept in ((one, rows), (other, other_rows))
        )
        return int((baseline_correct & ~correct).sum()), int((correct & ~baseline_correct).sum())

    def difference_of(
        self,
        metric: Metric,
        image_values: Callable[[RunRows], Float64Array],
        chosen: Callable[[RunRows], NDArray[np.bool_]] | None = None,
    ) -> ComparedValues:
        """The difference of any mean over images, with the values of both.

        Args:
            metric: what it is, for its bounds.
            image_values: (N,) of a training run, all cells of which are of the same images.
            chosen: (N,) which images take part; all if not given.
        """
        found = []
        for model, rows in self._sides():
            of_runs = []
            for run in model.runs:
                kept = np.arange(run.image_count) if rows is None else rows
                of_runs.append(image_values(run)[kept if chosen is None else kept[chosen(run)[kept]]])
            means = np.array([values.mean() for values in of_runs])
            found.append(SideValue(means, [np.mean(of_runs, axis=0)], [1.0], None, len(of_runs[0])))
        candidate, baseline = found
        return ComparedValues(self._difference(found, metric), baseline.value, candidate.value)

    def _sides(self) -> tuple[tuple[ModelRows, Rows | None], tuple[ModelRows, Rows | None]]:
        """Both models, the candidate first, with the rows that are compared."""
        assert self.baseline is not None, "there is no baseline"
        return (self.candidate, self.images.rows_b), (self.baseline, self.images.rows_a)

    def _difference(self, sides: Sequence[SideValue], metric: Metric) -> MeasuredValue:
        errors = [error_over_seeds(side.values) for side in sides] if self.is_about_training else []
        span = metric.range[1] - metric.range[0]
        if not self.pairing.is_paired:
            return measured(sides, [1.0, -1.0], metric, errors, bounds=(-span, span))
        both = minus(sides[0], sides[1])
        return measured([both], [1.0], metric, errors, bounds=(-span, span), is_signed=True)

    def _read(self, model: ModelRows, metric: Metric, score: str | None) -> None:
        """Read what a metric needs of all cells at once; of what is not on record it says so itself."""
        for run in model.runs:
            with suppress(NotOnRecord):
                run.read(metric.columns_of(score))

    def _side(
        self,
        model: ModelRows,
        metric: Metric,
        cells: Mapping[CellKey, float],
        score: str | None,
        rows: Rows | None,
        stream: int,
    ) -> SideValue | str:
        """A metric of one side; why it has none where it has none."""
        self._read(model, metric, score)
        count, known = model.image_count if rows is None else len(rows), self.cells
        parts: list[Float64Array] = []
        scales: list[float] = []
        values, replicates = np.zeros(len(model.runs)), np.zeros(RESAMPLES)
        biases: list[SamplingBias] = []
        for position, (cell, of_cell) in enumerate(cells.items()):
            weights = partial(self._weights_of, model, count, position, stream)
            for place, run in enumerate(model.runs):
                found = _evaluated(metric, run.cell(cell, rows, known), score, weights)
                if isinstance(found, str):
                    return _where(cell, found)
                scale = of_cell / len(model.runs)
                values[place] += found.value * of_cell
                if found.images is None:
                    replicates += 0.0 if found.replicates is None else found.replicates * scale
                    biases.append(SamplingBias(*(scale * part for part in found.bias)))
                    continue
                if not parts or (not model.shares_images and place == 0):
                    parts.append(np.zeros(count))
                    scales.append(0.0)
                parts[-1] += found.images * scale
                scales[-1] += scale
        if biases:
            return SideValue(values, [], [], replicates, count, _added(biases, model.shares_images))
        return SideValue(values, parts, scales, None, count)

    def _weights_of(self, model: ModelRows, count: int, position: int, stream: int) -> Weights:
        """Weights of resampled images; those of cells of different images, or of other images, are shuffled."""
        weights = self._weights(count)
        place = stream if model.shares_images else 2 * position + 2 + stream
        if not place:
            return weights
        return weights.T[np.random.default_rng([self._seed, place]).permutation(count)].T


def _weighted(cells: Sequence[CellKey], weights: Sequence[float] | None) -> dict[CellKey, float]:
    """The weight of each cell."""
    if weights is None:
        return dict.fromkeys(cells, 1 / len(cells))
    return dict(zip(cells, weights, strict=True))


def _added(biases: Sequence[SamplingBias], shares_images: bool) -> SamplingBias:
    """The bias of a sum over cells and runs; errors of the same images add up, those of others as squares."""
    low, high, error = np.array(biases).T
    return SamplingBias(
        float(low.sum()), float(high.sum()), float(error.sum() if shares_images else np.hypot.reduce(error))
    )


def _evaluated(metric: Metric, cell: Cell, score: str | None, weights: Callable[[], Weights]) -> Evaluated | str:
    """A metric with contributions, or with replicates."""
    if metric.takes_weights:
        return evaluate(metric, cell, score, weights())
    found = evaluate(metric, cell, score)
    if isinstance(found, str) or found.images is not None:
        return found
    return evaluate(metric, cell, score, weights())


def _where(cell: CellKey, reason: str) -> str:
    corruption, severity = cell
    return f"{corruption} {severity:g}: {reason}"
