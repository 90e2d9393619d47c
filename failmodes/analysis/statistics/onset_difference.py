"""How much later one model first is wrong along the curves than another, image by image."""

from collections.abc import Sequence

import numpy as np

from failmodes.analysis.statistics.bootstrap import Float64Array
from failmodes.analysis.statistics.measured_pair import MeasuredPair
from failmodes.analysis.statistics.measures import Measure
from failmodes.analysis.statistics.model_comparison import MeasureComparison
from failmodes.analysis.statistics.run_rows import CellKey, RunRows
from failmodes.warehouse.schema import CLEAN

ONSET = "onset_severity"
TITLE = "severity of the first wrong answer"
NOT_PAIRED = "corrupted images do not pair with clean ones"


def onset_difference(pair: MeasuredPair, curves: Sequence[Sequence[CellKey]], level: float) -> MeasureComparison:
    """The mean severity at which an image is first wrong, averaged over corruptions: of both, and the difference.

    It is 0 where the clean image is wrong, and the last severity where no answer is: a restricted mean, which needs no
    assumption of what lies beyond.

    Args:
        pair: the second model as candidate, the first as baseline.
        curves: the cells of each corruption, by rising severity, without the clean one.
        level: of the interval.
    """
    assert pair.baseline is not None
    if not (pair.candidate.shares_images and pair.baseline.shares_images):
        return MeasureComparison(ONSET, TITLE, "higher", "corrupted", None, None, None, NOT_PAIRED)
    last = max(curve[-1][1] for curve in curves)
    measure = Measure(TITLE, "higher", "score", "", most=last, image_range=last)

    def onsets(run: RunRows) -> Float64Array:
        found: Float64Array = np.stack([_onsets(run, curve) for curve in curves]).mean(axis=0)
        return found

    found, a, b = pair.difference_of(measure, onsets)
    return MeasureComparison(ONSET, TITLE, "higher", "corrupted", a, b, found.interval(level))


def _onsets(run: RunRows, curve: Sequence[CellKey]) -> Float64Array:
    """(N,) the first wrong severity of each image."""
    cells = [(CLEAN, 0.0), *curve]
    incorrect = ~run.correctness.correct[:, [run.places[cell] for cell in cells]]
    severities = np.array([severity for _, severity in cells])
    found: Float64Array = np.where(incorrect.any(axis=1), severities[incorrect.argmax(axis=1)], severities[-1])
    return found
