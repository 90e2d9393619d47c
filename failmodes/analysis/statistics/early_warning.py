"""Which score tells that an image, right so far, is wrong at the next severity, beyond what the severity itself tells.

A row at risk is an image that is right at every severity of a corruption from clean up to one before its last; its
event is a wrong answer at the next severity. What a score tells is the gain in log-loss of a discrete-time hazard with
it over one of corruption and severity alone, on images that neither was fitted to.
"""

from collections.abc import Mapping, Sequence
from math import erfc, sqrt
from typing import NamedTuple

import duckdb
import numpy as np
from numpy.typing import ArrayLike, NDArray

from failmodes.analysis.once import read_once
from failmodes.analysis.selection import EvaluationInfo, Selection
from failmodes.analysis.statistics.bootstrap import NORMAL_975, Estimate, Float64Array
from failmodes.analysis.statistics.discrete_time_hazard import (
    HazardRows,
    Model,
    held_out_losses,
    standardized,
)
from failmodes.analysis.statistics.shares import ALPHA, holm
from failmodes.warehouse.schema import CLEAN

OF_PREDICTION = ("margin", "confidence", "entropy")
DRIFT, BEYOND_MARGIN = "drift", "drift_beyond_margin"
SCORES = (*OF_PREDICTION, DRIFT)
FOLDS = 5
# Errors are widened, as folds are tested by fits that share images: without it 95 % intervals hold the expected gain in
# 92.8 to 95 % of simulated samples (tests/soundness), with it in 95 to 98 %.
WIDENED = sqrt(1 + 1 / (FOLDS - 1))
FEWEST = 10  # images that fail, and images that do not, below which nothing is said

# by predictor: the scores of the reference, and of the model that is set against it, whose last is the predictor's own
COMPARED: dict[str, tuple[Model, Model]] = {
    **{score: ((), (score,)) for score in SCORES}, BEYOND_MARGIN: (("margin",), ("margin", DRIFT)),
}  # fmt: skip

_ROWS_AT_RISK = """
with points as ( -- rows meet by its number: by corruption, severity and evaluation it takes half as long again
    select corruption, severity_before, severity, if(severity_before = 0, $3, corruption) as cell_before,
        row_number() over (order by corruption, severity) - 1 as cell
    from curve_points where evaluation_id = $1 and corruption = any($2) and severity_before is not null
),
at_risk as (
    select points.cell, onsets.image_id, coalesce(onsets.onset_severity = points.severity, false) as event
    from image_onsets as onsets
    inner join points on onsets.corruption = points.corruption
        and points.severity <= coalesce(onsets.onset_severity, points.severity)
    where onsets.evaluation_id = $1 and onsets.clean_correct
),
before as (
    select points.cell, outcomes.image_id, outcomes.margin, outcomes.confidence, outcomes.entropy_nats as entropy
    from outcomes
    inner join points on outcomes.corruption = points.cell_before and outcomes.severity = points.severity_before
    where outcomes.evaluation_id = $1 and outcomes.finite
),
maps as (
    select points.cell, attention.image_id, -- a clean map is its own
        if(points.severity_before = 0, 0 * attention.centroid_shift, attention.centroid_shift) as drift
    from attention
    inner join points on attention.corruption = points.cell_before and attention.severity = points.severity_before
    where attention.evaluation_id = $1 and attention.target = 'clean'
)
select cell, image_id, event, margin, confidence, entropy, drift
from at_risk inner join before using (cell, image_id) left join maps using (cell, image_id)
order by cell, image_id
"""


class PredictorGain(NamedTuple):
    """What one score tells of the next failure.

    Attributes:
        gain: log-loss of the reference minus that with the score, nats a row at risk, with its 95 % interval. Of a
            score that tells nothing it lies a little below 0, by what it costs to fit it.
        share: the same as a share of the reference's log-loss. The reference knows corruption and severity alone; that
            of drift beyond margin knows the margin too.
        adjusted_p: of a gain above 0, one-sided, corrected for all predictors by Holm's method.
        images: images with a row at risk that has the score.
        rows: these rows.
        events: of them, those wrong at the next severity.
        reason: why there is no gain; the three above are then None.
    """

    gain: Estimate | None
    share: Estimate | None
    adjusted_p: float | None
    images: int
    rows: int
    events: int
    reason: str | None = None


class EarlyWarning(NamedTuple):
    """What scores tell of the next failure of one model.

    Attributes:
        noise: how the corruption of an image is drawn along a curve: 'shared' (the same noise at every severity, which
            flatters every score: what comes is more of what was seen) or 'independent'; None where not on record.
        predictors: what each of COMPARED tells, by name.
    """

    noise: str | None
    predictors: dict[str, PredictorGain]

    @property
    def shares(self) -> dict[str, Estimate]:
        """Share of the log-loss that each score saves beyond corruption and severity, where it is found to save any."""
        named = ((name, self.predictors[name]) for name in SCORES)
        found = {name: one.share for name, one in named if one.share and is_found(one)}
        return dict(sorted(found.items(), key=lambda item: -item[1].value))


def is_found(predictor: PredictorGain) -> bool:
    """Whether its gain is above 0 beyond chance, all predictors considered."""
    return predictor.adjusted_p is not None and predictor.adjusted_p < ALPHA


@read_once
def early_warning(con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo) -> EarlyWarning:
    """What margin, confidence, entropy and attention drift tell of the next failure, over the averaged corruptions.

    Drift is the centroid shift from the image's own clean map, of the class predicted on the clean image. A gain a row
    depends on the severities: on a denser grid fewer images fail at each step.
    """
    facts = evaluation.facts
    if not facts["paired"]:
        reason = f"corrupted images do not pair with clean ones: {facts['pairing_note'] or 'no reason on record'}"
        return EarlyWarning(facts["noise"], dict.fromkeys(COMPARED, _nothing(reason)))
    read = con.sql(_ROWS_AT_RISK, params=[evaluation.evaluation_id, list(selection.averaged), CLEAN]).pl()
    cell, image, event, *scores = (column.to_numpy() for column in read.iter_columns())
    found = predictor_gains(cell, image, event, dict(zip(SCORES, scores, strict=True)))
    if not found[DRIFT].rows and facts["attention_note"]:
        found |= dict.fromkeys((DRIFT, BEYOND_MARGIN), _nothing(facts["attention_note"]))
    return EarlyWarning(facts["noise"], found)


def predictor_gains(
    cell: ArrayLike, image: ArrayLike, event: ArrayLike, scores: Mapping[str, ArrayLike], seed: int = 0
) -> dict[str, PredictorGain]:
    """What each predictor tells of the event of a row at risk, beyond its cell.

    Margin, confidence and entropy are set against each other where all three are numbers; drift, alone and beyond
    margin, is looked at where it is one too. Each predictor and its reference are fitted to the same rows, and tested
    on the same images, FOLDS parts of them in turn.

    Args:
        cell: (R,) whole numbers from 0: corruption and severity.
        image: (R,) whole numbers: the same for all rows of an image.
        event: (R,) bool: wrong at the next severity.
        scores: (R,) by name, all of SCORES; NaN where there is none.
        seed: seed of the folds, which follow the order of the images' numbers.
    """
    ids, of_image = np.unique(np.asarray(image), return_inverse=True)
    fold = (np.random.default_rng(seed).permutation(len(ids)) % FOLDS)[of_image]
    cells = np.asarray(cell, dtype=np.intp)
    cell_count = int(cells.max(initial=-1)) + 1
    group = fold * cell_count + cells
    # 16 bits are sorted by radix
    order = np.argsort(group.astype(np.uint16) if FOLDS * cell_count <= 2**16 else group, kind="stable")
    group, images = group[order], of_image[order]
    events = np.asarray(event, dtype=np.float64)[order]
    values = {name: np.asarray(scores[name], dtype=np.float64)[order] for name in SCORES}
    known = np.isfinite([values[name] for name in OF_PREDICTION]).all(axis=0)
    found: dict[str, PredictorGain] = {}
    has_drift = known & np.isfinite(values[DRIFT])
    parts = [(known, OF_PREDICTION), (has_drift, (DRIFT, BEYOND_MARGIN))]
    if known.sum() == has_drift.sum():  # the same rows: what both parts fit is fitted once
        parts = [(known, tuple(COMPARED))]
    for chosen, names in parts:
        kept = slice(None) if chosen.all() else chosen  # a copy of all rows takes as long as a step of a fit
        counts = np.bincount(group[kept], minlength=FOLDS * cell_count).reshape(FOLDS, cell_count)
        used = {score for name in names for score in COMPARED[name][1]}
        standard = {score: standardized(values[score][kept], counts) for score in used}
        found |= _gains(HazardRows(events[kept], counts, standard), images[kept], names)
    return _corrected(found)


def _gains(rows: HazardRows, images: NDArray[np.intp], names: Sequence[str]) -> dict[str, PredictorGain]:
    """Gains of some predictors over the same rows, of these images (R,), with p values that are not corrected yet."""
    counts, failures = np.bincount(images), np.bincount(images, rows.event)
    sizes = (int(np.count_nonzero(counts)), len(rows.event), int(rows.event.sum()))
    reason = _too_few(int(np.count_nonzero(failures)), int(np.count_nonzero(counts > failures)))
    found = {name: _nothing(reason or "the score is the same for all images of each cell", *sizes) for name in names}
    compared = {name: COMPARED[name] for name in names if not reason and rows.scores[COMPARED[name][1][-1]].any()}
    losses = held_out_losses(rows, {model for models in compared.values() for model in models})
    of_images = {model: np.bincount(images, loss).astype(np.float64) for model, loss in losses.items()}
    for name, (reference, model) in compared.items():
        gained = of_images[reference] - of_images[model]
        gain, error = _ratio(gained, counts.astype(np.float64))
        share, share_error = _ratio(gained, of_images[reference])
        p = erfc(gain / error / sqrt(2)) / 2 if error else 1.0
        found[name] = PredictorGain(_interval(gain, error), _interval(share, share_error), p, *sizes)
    return found


def _too_few(failing: int, surviving: int) -> str | None:
    """Why nothing can be said of so many images that fail, and that pass, a severity; many rows of one are one case."""
    if not failing + surviving:
        return "no image that is right so far has the score"
    if failing < FEWEST:
        return f"fewer than {FEWEST} images fail at a next severity"
    return f"fewer than {FEWEST} images pass a next severity" if surviving < FEWEST else None


def _ratio(above: Float64Array, below: Float64Array) -> tuple[float, float]:
    """Σ above / Σ below over images (N,), and its widened error by linearisation; both are 0 of images without rows.

    Source: Cochran 1977, Sampling Techniques, chapter 6.
    """
    count, total = np.count_nonzero(below), below.sum()
    ratio = above.sum() / total
    squares = np.square(above - ratio * below).sum()
    return float(ratio), float(WIDENED * np.sqrt(squares * count / (count - 1)) / total)


def _interval(value: float, error: float) -> Estimate:
    return Estimate(value, value - NORMAL_975 * error, value + NORMAL_975 * error)


def _nothing(reason: str, images: int = 0, rows: int = 0, events: int = 0) -> PredictorGain:
    return PredictorGain(None, None, None, images, rows, events, reason)


def _corrected(found: dict[str, PredictorGain]) -> dict[str, PredictorGain]:
    """The same with Holm's correction over the predictors that have a gain."""
    p_values = {name: one.adjusted_p for name, one in found.items() if one.adjusted_p is not None}
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return {name: one._replace(adjusted_p=adjusted.get(name)) for name, one in found.items()}
