"""A model, alone or beside another one: any measure over any cells, or its difference, with its error.

Two models are compared image by image where they saw the same images, or enough of the same; else as independent
samples. Training runs of one model are averaged, and their spread is part of the error where both sides have several:
the statement is then about training, else about these checkpoints.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.analysis.statistics.bootstrap import Float64Array, image_weights
from failmodes.analysis.statistics.image_pairing import ImagePairing, ModelRows, PairedImages, Rows, pair_images
from failmodes.analysis.statistics.measured_value import MeasuredValue, Undefined
from failmodes.analysis.statistics.measures import MEASURES, SCORES, Measure, Weights, certainty_of
from failmodes.analysis.statistics.paired_difference import count_pairs
from failmodes.analysis.statistics.run_rows import CellKey, CellRows, RunRows
from failmodes.analysis.statistics.sampling_bias import SamplingBias
from failmodes.analysis.statistics.side_value import (
    SideValue,
    ends_of_groups,
    measured,
    minus,
    paired_ends,
    share_of_cell,
)
from failmodes.analysis.statistics.training_seeds import MeanError, error_over_seeds

RESAMPLES = 200  # a standard error is known to 5 % then
SHARES = {"accuracy": 1, "error": -1}  # measures that are a share of images, and their sign as accuracy


class ComparedValues(NamedTuple):
    """A difference, candidate minus baseline, and the values of both."""

    difference: MeasuredValue
    baseline: float
    candidate: float


class MeasuredPair:
    """Measures of a candidate, and their differences from a baseline where there is one.

    Args:
        candidate: the model that is judged.
        baseline: the model that it is compared with.
        seed: of resampled images.
    """

    def __init__(self, candidate: ModelRows, baseline: ModelRows | None = None, *, seed: int = 0) -> None:
        self.candidate, self.baseline, self._seed = candidate, baseline, seed
        self._images = None if baseline is None else pair_images(baseline, candidate)
        self._weights = cache(partial(image_weights, resamples=RESAMPLES, seed=seed))

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
        self, measure: str, cells: Sequence[CellKey], score: str | None = None, weights: Sequence[float] | None = None
    ) -> MeasuredValue | Undefined:
        """The candidate's mean over cells.

        Args:
            measure: a name in MEASURES.
            cells: at least one, which the candidate has.
            score: for measures that take one, a name in SCORES.
            weights: of each cell, 1 in all; equal if not given.
        """
        what = MEASURES[measure]
        side = self._side(self.candidate, what, _weighted(cells, weights), score, None, 0)
        if isinstance(side, str):
            return Undefined(side)
        runs = self.candidate.runs
        if measure in SHARES and len(cells) == len(runs) == 1:
            return share_of_cell(runs[0], cells[0], SHARES[measure])
        errors = [error_over_seeds(side.values)] if self.is_about_training else []
        return measured([side], [1.0], what, errors, is_share=measure in SHARES, bounds=(0.0, what.most))

    def difference(
        self, measure: str, cells: Sequence[CellKey], score: str | None = None, weights: Sequence[float] | None = None
    ) -> MeasuredValue | Undefined:
        """The candidate's mean over cells minus the baseline's; see `absolute`."""
        found = self.compared(measure, cells, score, weights)
        return found if isinstance(found, Undefined) else found.difference

    def compared(
        self, measure: str, cells: Sequence[CellKey], score: str | None = None, weights: Sequence[float] | None = None
    ) -> ComparedValues | Undefined:
        """The same with the values of both, over the images that are compared."""
        what, found = MEASURES[measure], []
        sides = self._sides()
        for place, (model, rows) in enumerate(sides):
            stream = 0 if self.pairing.is_paired else place
            side = self._side(model, what, _weighted(cells, weights), score, rows, stream)
            if isinstance(side, str):
                return Undefined(side)
            found.append(side)
        runs = [model.runs for model, _ in sides]
        candidate, baseline = found
        if measure in SHARES and len(cells) == len(runs[0]) == len(runs[1]) == 1:
            difference = self._share_difference(cells[0], SHARES[measure])
        else:
            difference = self._difference(found, what, is_share=measure in SHARES)
        return ComparedValues(difference, baseline.value, candidate.value)

    def discordant(self, cell: CellKey) -> tuple[int, int]:
        """Images of a cell that only the baseline gets right, and that only the candidate does; of one run each."""
        (one, rows), (other, other_rows) = self._sides()
        correct, baseline_correct = (
            model.runs[0].cell(cell, (), kept)["correct"] for model, kept in ((one, rows), (other, other_rows))
        )
        return int((baseline_correct & ~correct).sum()), int((correct & ~baseline_correct).sum())

    def difference_of(
        self,
        measure: Measure,
        image_values: Callable[[RunRows], Float64Array],
        chosen: Callable[[RunRows], NDArray[np.bool_]] | None = None,
        *,
        is_share: bool = False,
    ) -> ComparedValues:
        """The difference of any mean over images, with the values of both.

        Args:
            measure: what it is, for its bounds.
            image_values: (N,) of a training run, all cells of which are of the same images.
            chosen: (N,) which images take part; all if not given.
            is_share: whether values are shares of right answers, whose intervals are those of `mean_difference`.
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
        return ComparedValues(self._difference(found, measure, is_share=is_share), baseline.value, candidate.value)

    def _sides(self) -> tuple[tuple[ModelRows, Rows | None], tuple[ModelRows, Rows | None]]:
        """Both models, the candidate first, with the rows that are compared."""
        assert self.baseline is not None, "there is no baseline"
        return (self.candidate, self.images.rows_b), (self.baseline, self.images.rows_a)

    def _difference(self, sides: Sequence[SideValue], measure: Measure, *, is_share: bool) -> MeasuredValue:
        errors = [error_over_seeds(side.values) for side in sides] if self.is_about_training else []
        bounds = (None, None) if measure.most is None else (-measure.most, measure.most)
        if not self.pairing.is_paired:
            return measured(sides, [1.0, -1.0], measure, errors, is_share=is_share, bounds=bounds)
        both = minus(sides[0], sides[1])
        return measured([both], [1.0], measure, errors, is_share=is_share, bounds=bounds, is_signed=True)

    def _side(
        self,
        model: ModelRows,
        measure: Measure,
        cells: Mapping[CellKey, float],
        score: str | None,
        rows: Rows | None,
        stream: int,
    ) -> SideValue | str:
        """A measure of one side; why it has none where it has none."""
        columns = [*measure.columns, *({SCORES[score][0]} if score else ())]
        for run in model.runs:
            run.read(columns)
        count = model.image_count if rows is None else len(rows)
        parts: list[Float64Array] = []
        scales: list[float] = []
        values, replicates = np.zeros(len(model.runs)), np.zeros(RESAMPLES)
        biases: list[SamplingBias] = []
        for position, (cell, of_cell) in enumerate(cells.items()):
            weights = None if measure.resampled is None else self._weights_of(model, count, position, stream)
            for place, run in enumerate(model.runs):
                given = _with_certainty(run.cell(cell, columns, rows), score)
                found = _evaluated(measure, given, weights)
                if isinstance(found, str):
                    corruption, severity = cell
                    return f"{corruption} {severity:g}: {found}"
                scale = of_cell / len(model.runs)
                if weights is not None:
                    values[place] += found[0] * of_cell
                    replicates += found[1:] * scale
                    assert measure.bias is not None
                    biases.append(SamplingBias(*(scale * part for part in measure.bias(given))))
                    continue
                values[place] += found.mean() * of_cell
                if not parts or (not model.shares_images and place == 0):
                    parts.append(np.zeros(count))
                    scales.append(0.0)
                parts[-1] += found * scale
                scales[-1] += scale
        if measure.resampled is None:
            return SideValue(values, parts, scales, None, count)
        return SideValue(values, parts, scales, replicates, count, _added(biases, model.shares_images))

    def _weights_of(self, model: ModelRows, count: int, position: int, stream: int) -> Weights:
        """Weights of resampled images; those of cells of different images, or of other images, are shuffled."""
        weights = self._weights(count)
        place = stream if model.shares_images else 2 * position + 2 + stream
        if not place:
            return weights
        return weights.T[np.random.default_rng([self._seed, place]).permutation(count)].T

    def _share_difference(self, cell: CellKey, sign: int) -> MeasuredValue:
        """Of a single cell and training run: Newcombe's interval."""
        assert self.baseline is not None
        one = self.candidate.runs[0].cell(cell, (), self.images.rows_b)["correct"]
        other = self.baseline.runs[0].cell(cell, (), self.images.rows_a)["correct"]
        if self.pairing.is_paired:
            counts = count_pairs(one, other)
            value = float(counts.difference)
            variance = (float(counts.discordant_share) - value**2) / len(one)
            ends = partial(paired_ends, counts, sign)
        else:
            shares, numbers = (one.mean(), other.mean()), (len(one), len(other))
            value = float(shares[0] - shares[1])
            variance = sum(share * (1 - share) / number for share, number in zip(shares, numbers, strict=True))
            ends = partial(ends_of_groups, shares, numbers, sign)
        error = MeanError(max(variance, 2 / len(one) ** 2))
        return MeasuredValue(sign * value, sign * value, sign * value, error, min(len(one), len(other)), ends=ends)


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


def _evaluated(measure: Measure, rows: CellRows, weights: Weights | None) -> Float64Array | str:
    """Contributions of images, or the measure under weights."""
    if weights is not None:
        assert measure.resampled is not None
        return measure.resampled(rows, weights)
    assert measure.contributions is not None
    return measure.contributions(rows)


def _with_certainty(rows: CellRows, score: str | None) -> CellRows:
    if score is not None:
        rows["certainty"] = certainty_of(rows, score)
    return rows
