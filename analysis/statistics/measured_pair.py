"""A network, alone or beside another one: any measure over any cells, or its difference, with its error.

Two networks are compared image by image where they saw the same images, or enough of the same; else as independent
samples. Training runs of one network are averaged, and their spread is part of the error where both sides have several:
the statement is then about training, else about these checkpoints.
"""

from collections.abc import Sequence
from functools import cache, partial
from typing import NamedTuple

import numpy as np

from failmodes.analysis.statistics.bootstrap import Float64Array, image_weights
from failmodes.analysis.statistics.image_pairing import ImagePairing, NetworkRows, PairedImages, Rows, pair_images
from failmodes.analysis.statistics.measured_value import MeasuredValue, Undefined
from failmodes.analysis.statistics.measures import MEASURES, SCORES, Measure, Weights, sureness_of
from failmodes.analysis.statistics.paired_difference import (
    PairedCounts,
    count_pairs,
    exact_interval,
    newcombe_interval,
    newcombe_of_groups,
)
from failmodes.analysis.statistics.run_rows import CellKey, CellRows, RunRows
from failmodes.analysis.statistics.training_seeds import MeanError, add_errors, error_over_seeds

RESAMPLES = 400  # a standard error is known to 4 % then
SHARES = {"accuracy": 1, "error": -1}  # measures that are a share of images, and their sign as accuracy


class SideValue(NamedTuple):
    """A measure of one network over some cells.

    Attributes:
        values: (R,) of each training run, averaged over cells.
        parts: contributions of images, averaged over runs and weighted by cell: one array (N,), or one a cell where
            cells are of different images. Empty where the measure is resampled.
        replicates: (B,) of the mean over runs under resampled images; None where there are contributions.
        image_count: images of a cell.
    """

    values: Float64Array
    parts: list[Float64Array]
    replicates: Float64Array | None
    image_count: int

    @property
    def value(self) -> float:
        """The mean over runs."""
        return float(self.values.mean())


class MeasuredPair:
    """Measures of a candidate, and their differences from a baseline where there is one.

    Args:
        candidate: the network that is judged.
        baseline: the network that it is compared with.
        seed: of resampled images.
    """

    def __init__(self, candidate: NetworkRows, baseline: NetworkRows | None = None, *, seed: int = 0) -> None:
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

    def absolute(self, measure: str, cells: Sequence[CellKey], score: str | None = None) -> MeasuredValue | Undefined:
        """The candidate's mean over cells, each of equal weight.

        Args:
            measure: a name in MEASURES.
            cells: at least one, which the candidate has.
            score: for measures that take one, a name in SCORES.
        """
        what = MEASURES[measure]
        side = self._side(self.candidate, what, cells, score, None, 0)
        if isinstance(side, str):
            return Undefined(side)
        runs = self.candidate.runs
        if measure in SHARES and len(cells) == len(runs) == 1:
            return _share(runs[0], cells[0], SHARES[measure])
        errors = [error_over_seeds(side.values)] if self.is_about_training else []
        return _measured([side], [1.0], what, errors, is_share=measure in SHARES, bounds=(0.0, what.most))

    def difference(self, measure: str, cells: Sequence[CellKey], score: str | None = None) -> MeasuredValue | Undefined:
        """The candidate's mean over cells minus the baseline's; see `absolute`."""
        what, found = MEASURES[measure], []
        assert self.baseline is not None, "there is no baseline"
        sides = ((self.candidate, self.images.rows_b), (self.baseline, self.images.rows_a))
        for place, (network, rows) in enumerate(sides):
            side = self._side(network, what, cells, score, rows, 0 if self.pairing.is_paired else place)
            if isinstance(side, str):
                return Undefined(side)
            found.append(side)
        runs = [network.runs for network, _ in sides]
        if measure in SHARES and len(cells) == len(runs[0]) == len(runs[1]) == 1:
            return self._share_difference(cells[0], SHARES[measure])
        errors = [error_over_seeds(side.values) for side in found] if self.is_about_training else []
        bounds = (None, None) if what.most is None else (-what.most, what.most)
        is_share = measure in SHARES
        if not self.pairing.is_paired:
            return _measured(found, [1.0, -1.0], what, errors, is_share=is_share, bounds=bounds)
        return _measured([_minus(*found)], [1.0], what, errors, is_share=is_share, bounds=bounds, is_signed=True)

    def _side(
        self,
        network: NetworkRows,
        measure: Measure,
        cells: Sequence[CellKey],
        score: str | None,
        rows: Rows | None,
        stream: int,
    ) -> SideValue | str:
        """A measure of one side; why it has none where it has none."""
        columns = [*measure.columns, *({SCORES[score][0]} if score else ())]
        for run in network.runs:
            run.read(columns)
        count = network.image_count if rows is None else len(rows)
        parts: list[Float64Array] = []
        values, replicates = np.zeros(len(network.runs)), np.zeros(RESAMPLES)
        for position, cell in enumerate(cells):
            weights = None if measure.resampled is None else self._weights_of(network, count, position, stream)
            for place, run in enumerate(network.runs):
                given = _with_sureness(run.cell(cell, columns, rows), score)
                found = _evaluated(measure, given, weights)
                if isinstance(found, str):
                    corruption, severity = cell
                    return f"{corruption} {severity:g}: {found}"
                scale = 1 / len(cells) / len(network.runs)
                if weights is not None:
                    values[place] += found[0] / len(cells)
                    replicates += found[1:] * scale
                    continue
                values[place] += found.mean() / len(cells)
                if not parts or (not network.shares_images and place == 0):
                    parts.append(np.zeros(count))
                parts[-1] += found * scale
        return SideValue(values, parts, None if measure.resampled is None else replicates, count)

    def _weights_of(self, network: NetworkRows, count: int, position: int, stream: int) -> Weights:
        """Weights of resampled images; those of cells of different images, or of other images, are shuffled."""
        weights = self._weights(count)
        place = stream if network.shares_images else 2 * position + 2 + stream
        if not place:
            return weights
        return weights[:, np.random.default_rng([self._seed, place]).permutation(count)]

    def _share_difference(self, cell: CellKey, sign: int) -> MeasuredValue:
        """Of a single cell and training run: Newcombe's interval."""
        assert self.baseline is not None
        one = self.candidate.runs[0].cell(cell, (), self.images.rows_b)["correct"]
        other = self.baseline.runs[0].cell(cell, (), self.images.rows_a)["correct"]
        if self.pairing.is_paired:
            counts = count_pairs(one, other)
            value = float(counts.difference)
            variance = (float(counts.discordant_share) - value**2) / len(one)
            ends = partial(_paired_ends, counts, sign)
        else:
            shares, numbers = (one.mean(), other.mean()), (len(one), len(other))
            value = float(shares[0] - shares[1])
            variance = sum(share * (1 - share) / number for share, number in zip(shares, numbers, strict=True))
            ends = partial(_ends_of_groups, shares, numbers, sign)
        error = MeanError(max(variance, 2 / len(one) ** 2))
        return MeasuredValue(sign * value, sign * value, sign * value, error, min(len(one), len(other)), ends=ends)


def _evaluated(measure: Measure, rows: CellRows, weights: Weights | None) -> Float64Array | str:
    """Contributions of images, or the measure under weights."""
    if weights is not None:
        assert measure.resampled is not None
        return measure.resampled(rows, weights)
    assert measure.contributions is not None
    return measure.contributions(rows)


def _with_sureness(rows: CellRows, score: str | None) -> CellRows:
    if score is not None:
        rows["sureness"] = sureness_of(rows, score)
    return rows


def _minus(one: SideValue, other: SideValue) -> SideValue:
    """Image by image."""
    replicates = None
    if one.replicates is not None and other.replicates is not None:
        replicates = one.replicates - other.replicates
    parts = [a - b for a, b in zip(one.parts, other.parts, strict=True)]
    return SideValue(np.array([one.value - other.value]), parts, replicates, one.image_count)


def _measured(
    sides: Sequence[SideValue],
    signs: Sequence[float],
    measure: Measure,
    errors: Sequence[MeanError],
    *,
    is_share: bool,
    bounds: tuple[float | None, float | None],
    is_signed: bool = False,
) -> MeasuredValue:
    """The value with its errors: a sum of sides of different images, each with its sign.

    To each side's images two made-up ones are added, the least and the most that one can contribute (see
    `mean_difference`), so that no error is 0.
    """
    value = centre = variance = 0.0
    for side, sign in zip(sides, signs, strict=True):
        value += sign * side.value
        if side.replicates is not None:
            bias = float(side.replicates.mean()) - side.value
            centre += sign * (side.value - bias)
            variance += float(side.replicates.var(ddof=1)) + 2 * (measure.image_range / side.image_count) ** 2
            continue
        least, most = (-measure.image_range if is_signed else 0.0), measure.image_range
        for part in side.parts:
            part_centre, part_variance = _with_made_up(part, least, most, len(side.parts))
            centre += sign * part_centre
            variance += part_variance
    error = add_errors([*errors, MeanError(variance)])
    count = min(side.image_count for side in sides)
    low, high = (centre, centre) if is_share else (min(value, centre), max(value, centre))
    least_value, most_value = (-np.inf if bounds[0] is None else bounds[0], np.inf if bounds[1] is None else bounds[1])
    return MeasuredValue(value, low, high, error, count, least_value, most_value)


def _with_made_up(part: Float64Array, least: float, most: float, parts: int) -> tuple[float, float]:
    """Mean and its variance of images and two made-up ones; of several parts, each of its share of four."""
    added, share = (1.0, 1.0) if parts == 1 else (2 / parts, 1 / parts)
    total = len(part) + 2 * added
    centre = (float(part.sum()) + added * share * (least + most)) / total
    squares = (float(np.square(part).sum()) + added * share**2 * (least**2 + most**2)) / total
    return centre, (squares - centre**2) / total


def _share(run: RunRows, cell: CellKey, sign: int) -> MeasuredValue:
    """Accuracy or error of a single cell and training run: the exact interval."""
    correct = run.cell(cell, ())["correct"]
    right, count = int(correct.sum() if sign > 0 else (~correct).sum()), len(correct)
    value = right / count
    error = MeanError(max(value * (1 - value) / count, 1 / count**2))
    return MeasuredValue(value, value, value, error, count, ends=partial(_exact_ends, right, count))


def _exact_ends(right: int, count: int, level: float, comparisons: int) -> tuple[float, float]:
    low, high = exact_interval(right, count, comparisons=comparisons, level=level)
    return float(low), float(high)


def _paired_ends(counts: PairedCounts, sign: int, level: float, comparisons: int) -> tuple[float, float]:
    low, high = newcombe_interval(counts, comparisons=comparisons, level=level)
    return (float(low), float(high)) if sign > 0 else (-float(high), -float(low))


def _ends_of_groups(
    shares: tuple[float, float], counts: tuple[int, int], sign: int, level: float, comparisons: int
) -> tuple[float, float]:
    low, high = newcombe_of_groups(shares, counts, comparisons=comparisons, level=level)
    return (float(low), float(high)) if sign > 0 else (-float(high), -float(low))
