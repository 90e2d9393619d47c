"""A measure of one model over some cells, before it is compared, and what is known of it: value, error, interval."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from failmodes.analysis.statistics.bootstrap import Float64Array
from failmodes.analysis.statistics.measured_value import MeasuredValue
from failmodes.analysis.statistics.measures import Measure
from failmodes.analysis.statistics.paired_difference import (
    PairedCounts,
    exact_interval,
    newcombe_interval,
    newcombe_of_groups,
)
from failmodes.analysis.statistics.run_rows import CellKey, RunRows
from failmodes.analysis.statistics.sampling_bias import SamplingBias
from failmodes.analysis.statistics.training_seeds import MeanError, add_errors


class SideValue(NamedTuple):
    """A measure of one model over some cells.

    Attributes:
        values: (R,) of each training run, averaged over cells.
        parts: contributions of images, averaged over runs and weighted by cell: one array (N,), or one a cell where
            cells are of different images. Empty where the measure is resampled.
        scales: the weights of the cells of each part, added up.
        replicates: (B,) of the mean over runs under resampled images; None where there are contributions.
        image_count: images of a cell.
        bias: how far the value may be from the truth on average, of resampled measures.
    """

    values: Float64Array
    parts: list[Float64Array]
    scales: list[float]
    replicates: Float64Array | None
    image_count: int
    bias: SamplingBias = SamplingBias()

    @property
    def value(self) -> float:
        """The mean over runs."""
        return float(self.values.mean())


def minus(one: SideValue, other: SideValue) -> SideValue:
    """Image by image."""
    replicates = None
    if one.replicates is not None and other.replicates is not None:
        replicates = one.replicates - other.replicates
    parts = [a - b for a, b in zip(one.parts, other.parts, strict=True)]
    error = max(one.bias.error, other.bias.error)
    bias = SamplingBias(one.bias.low - other.bias.high, one.bias.high - other.bias.low, error)
    return SideValue(np.array([one.value - other.value]), parts, one.scales, replicates, one.image_count, bias)


def measured(
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
    value = center = variance = bias_low = bias_high = 0.0
    for side, sign in zip(sides, signs, strict=True):
        value += sign * side.value
        least, most = (-measure.image_range if is_signed else 0.0), measure.image_range
        if side.replicates is not None:
            center += sign * (side.value * side.image_count + least + most) / (side.image_count + 2)
            of_images = max(float(side.replicates.var(ddof=1)), side.bias.error**2)
            variance += of_images + 2 * (measure.image_range / side.image_count) ** 2
            ends = sign * side.bias.low, sign * side.bias.high
            bias_low, bias_high = bias_low + min(ends), bias_high + max(ends)
            continue
        for part, scale in zip(side.parts, side.scales, strict=True):
            part_center, part_variance = _with_made_up(part, scale * least, scale * most, len(side.parts))
            center += sign * part_center
            variance += part_variance
    error = add_errors([*errors, MeanError(variance)])
    count = min(side.image_count for side in sides)
    low, high = min(value, center) - bias_high, max(value, center) - bias_low
    if is_share and errors:
        low = high = value
    elif is_share and is_signed:  # of a share itself the center, nearer to a half, would make one bound too tight
        low = high = center
    least_value, most_value = (-np.inf if bounds[0] is None else bounds[0], np.inf if bounds[1] is None else bounds[1])
    return MeasuredValue(value, low, high, error, count, least_value, most_value)


def _with_made_up(part: Float64Array, least: float, most: float, parts: int) -> tuple[float, float]:
    """Mean and its variance of images and two made-up ones; of several parts, each of its share of four."""
    added = 1.0 if parts == 1 else 2 / parts
    total = len(part) + 2 * added
    center = (float(part.sum()) + added * (least + most)) / total
    squares = (float(np.square(part).sum()) + added * (least**2 + most**2)) / total
    return center, (squares - center**2) / total


def share_of_cell(run: RunRows, cell: CellKey, sign: int) -> MeasuredValue:
    """Accuracy or error of a single cell and training run: the exact interval."""
    correct = run.cell(cell, ())["correct"]
    counted, count = int(correct.sum() if sign > 0 else (~correct).sum()), len(correct)
    value = counted / count
    error = MeanError(max(value * (1 - value) / count, 1 / count**2))
    return MeasuredValue(value, value, value, error, count, ends=partial(_exact_ends, counted, count))


def _exact_ends(correct: int, count: int, level: float, comparisons: int) -> tuple[float, float]:
    low, high = exact_interval(correct, count, comparisons=comparisons, level=level)
    return float(low), float(high)


def paired_ends(counts: PairedCounts, sign: int, level: float, comparisons: int) -> tuple[float, float]:
    """Newcombe's interval of a difference of accuracies, or of errors where `sign` is -1."""
    low, high = newcombe_interval(counts, comparisons=comparisons, level=level)
    return (float(low), float(high)) if sign > 0 else (-float(high), -float(low))


def ends_of_groups(
    shares: tuple[float, float], counts: tuple[int, int], sign: int, level: float, comparisons: int
) -> tuple[float, float]:
    """The same of two shares of different images."""
    low, high = newcombe_of_groups(shares, counts, comparisons=comparisons, level=level)
    return (float(low), float(high)) if sign > 0 else (-float(high), -float(low))
