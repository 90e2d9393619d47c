"""A metric of one model over some cells, before it is compared, and what is known of it: value, error, interval."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from failmodes.analysis.statistics.bootstrap import Float64Array
from failmodes.analysis.statistics.difference import MeanError, add_errors
from failmodes.analysis.statistics.measured_value import MeasuredValue
from failmodes.analysis.statistics.shares import PairedCounts, newcombe_interval, newcombe_of_groups
from failmodes.warehouse.metrics.accuracy import interval_of_share
from failmodes.warehouse.metrics.cell_rows import Cell
from failmodes.warehouse.metrics.intervals import mean_with_made_up
from failmodes.warehouse.metrics.metric import Evaluated, Metric, ends_of
from failmodes.warehouse.metrics.sampling_bias import SamplingBias

LEAST_VARIANCE = 1e-30  # where all images contribute the same: a test divides by it


class SideValue(NamedTuple):
    """A metric of one model over some cells.

    Attributes:
        values: (R,) of each training run, averaged over cells.
        parts: contributions of images, averaged over runs and weighted by cell: one array (N,), or one a cell where
            cells are of different images. Empty where the metric is resampled.
        scales: the weights of the cells of each part, added up.
        replicates: (B,) of the mean over runs under resampled images; None where there are contributions.
        image_count: images of a cell.
        bias: how far the value may be from the truth on average, of resampled metrics.
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


def is_share_of_images(metric: Metric) -> bool:
    """Whether it is a share of all images of a cell, each of which contributes 0 or 1."""
    return metric.interval is interval_of_share


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
    metric: Metric,
    errors: Sequence[MeanError],
    *,
    bounds: tuple[float, float],
    is_signed: bool = False,
) -> MeasuredValue:
    """The value with its errors: a sum of sides of different images, each with its sign.

    To each side's images two made-up ones are added, the least and the most that one can contribute (see
    `mean_with_made_up`), so that no error is 0.
    """
    value = center = variance = bias_low = bias_high = 0.0
    span = metric.image_range[1] - metric.image_range[0]
    least, most = (-span, span) if is_signed else metric.image_range
    is_share = is_share_of_images(metric)
    for side, sign in zip(sides, signs, strict=True):
        value += sign * side.value
        if side.replicates is not None:
            added = metric.added_images
            total = side.image_count + 2 * added
            center += sign * (side.value * side.image_count + added * (least + most)) / total
            of_images = max(float(side.replicates.var(ddof=1)), side.bias.error**2)
            variance += of_images + 2 * (span / side.image_count) ** 2
            ends = sign * side.bias.low, sign * side.bias.high
            bias_low, bias_high = bias_low + min(ends), bias_high + max(ends)
            continue
        shared = 1.0 if len(side.parts) == 1 else 2 / len(side.parts)  # of several parts each has its share of four
        added = shared * metric.added_images
        for part, scale in zip(side.parts, side.scales, strict=True):
            part_center, part_variance = mean_with_made_up(part, scale * least, scale * most, added)
            center += sign * part_center
            variance += part_variance
    error = add_errors([*errors, MeanError(max(variance, LEAST_VARIANCE))])
    count = min(side.image_count for side in sides)
    low, high = min(value, center) - bias_high, max(value, center) - bias_low
    if is_share and errors:
        low = high = value
    elif is_share and is_signed:  # of a share itself the center, nearer to a half, would make one bound too tight
        low = high = center
    return MeasuredValue(value, low, high, error, count, *bounds)


def measured_cell(metric: Metric, cell: Cell, score: str | None, found: Evaluated) -> MeasuredValue:
    """A metric with an interval of its own, in a single cell of one training run."""
    count = len(cell.rows)
    if found.images is not None:
        variance = float(found.images.var()) / count
    else:
        low, high = ends_of(metric, cell, score, found, level=0.6827) or (found.value, found.value)
        variance = ((high - low) / 2) ** 2  # of one standard error to each side
    error = MeanError(max(variance, 1 / count**2))

    def ends(level: float, comparisons: int) -> tuple[float, float]:
        both = ends_of(metric, cell, score, found, level=level, comparisons=comparisons)
        assert both is not None, "it has an interval of its own"
        return both

    return MeasuredValue(found.value, found.value, found.value, error, count, ends=ends)


def share_difference(one: Float64Array, other: Float64Array, counts: PairedCounts | None) -> MeasuredValue:
    """Newcombe's interval of the difference of a share of images, of a single cell of one training run each.

    Args:
        one: (N,) 0 or 1, of the candidate.
        other: (M,) of the baseline.
        counts: of both where they are of the same images; else None.
    """
    shares, numbers = (float(one.mean()), float(other.mean())), (len(one), len(other))
    value = shares[0] - shares[1]
    if counts is not None:
        variance = (float(counts.discordant_share) - value**2) / len(one)
        interval = partial(newcombe_interval, counts)
    else:
        variance = sum(share * (1 - share) / number for share, number in zip(shares, numbers, strict=True))
        interval = partial(newcombe_of_groups, shares, numbers)

    def ends(level: float, comparisons: int) -> tuple[float, float]:
        low, high = interval(comparisons=comparisons, level=level)
        return float(low), float(high)

    error = MeanError(max(variance, 2 / len(one) ** 2))
    return MeasuredValue(value, value, value, error, min(numbers), ends=ends)
