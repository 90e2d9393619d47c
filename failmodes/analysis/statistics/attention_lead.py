"""Which corruption has the largest value, and whether images tell it from every other."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from failmodes.analysis.statistics.bootstrap import Estimate, Float64Array, normal_estimate


class Lead(NamedTuple):
    """The corruption with the largest value, and how much larger it is than the one that is hardest to tell from it.

    Attributes:
        corruption: the first.
        value: its value.
        runner_up: the other one whose lead has the lowest lower end; None where there is no other.
        lead: mean over images of the first minus the runner-up, paired, with its 95 % interval. It is above zero only
            where the first is above every other, so no correction for the number of corruptions is due (Berger 1982).
        image_count: images that have both.
    """

    corruption: str
    value: float
    runner_up: str | None
    lead: Estimate | None
    image_count: int

    @property
    def is_clear(self) -> bool:
        """Whether the first can be told from every other."""
        return self.lead is None or self.lead.above_zero


def lead_over_others(values: Mapping[str, float], by_image: Mapping[str, Float64Array]) -> Lead | None:
    """The corruption with the largest value, compared image by image with every other; None without any.

    Args:
        values: of each corruption.
        by_image: (N,) of each of them, the same images; NaN where an image has none. Others with fewer than two images
            in common are left out.
    """
    if not values:
        return None
    first = max(values, key=lambda corruption: values[corruption])
    found = Lead(first, values[first], None, None, 0)
    for other in values:
        differences = by_image[first] - by_image[other]
        count = int((~np.isnan(differences)).sum())
        if other == first or count < 2:
            continue
        lead = mean_of_images(differences)
        if found.lead is None or lead.low < found.lead.low:
            found = Lead(first, values[first], other, lead, count)
    return found


def mean_of_images(values: Float64Array, comparisons: int = 1) -> Estimate:
    """The mean of values (N,) of independent images with Student's 95 % interval; NaN is left out, two are none.

    Args:
        values: (N,) one an image.
        comparisons: Bonferroni's correction: how many intervals hold at once.
    """
    from scipy.special import stdtrit  # here: it takes .2 s, and most charts do without

    known = values[~np.isnan(values)]
    quantile = float(stdtrit(len(known) - 1, 1 - 0.025 / comparisons))
    return normal_estimate(float(known.mean()), float(known.std(ddof=1)), len(known), quantile)


def mean_share_change(values: Float64Array, comparisons: int = 1, inflation: float = 1.0) -> Estimate:
    """The mean change of a share, with an interval that holds where a few images change much and the others little.

    Student's interval is of the changes and two made-up ones, 1 and -1, the farthest that there are: see
    `statistics.difference`.

    Args:
        values: (N,) one an image, -1 to 1; NaN is left out.
        comparisons: Bonferroni's correction: how many intervals hold at once.
        inflation: how much larger the variance of the mean is, since images share maps (`variance_inflation`).
    """
    known = values[~np.isnan(values)]
    center, low, _ = mean_of_images(np.append(known, [1.0, -1.0]), comparisons)
    half = (center - low) * inflation**0.5
    return Estimate(float(known.mean()), max(-1.0, center - half), min(1.0, center + half))
