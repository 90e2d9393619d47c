"""Early warning: which scores predict failure at the next severity better than corruption and severity alone.

A row at risk is an image that is correct at every severity of a corruption from clean up to one before its last; its
event is an incorrect prediction at the next severity. The gain of a score is the decrease in log-loss of a
discrete-time hazard model (Singer & Willett 1993, J. Educ. Stat. 18: 155-195) with the score over one with corruption
and severity alone, on held-out images.
"""

from collections.abc import Mapping, Sequence
from math import erfc, sqrt
from typing import Any, NamedTuple

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection
from failmodes.analysis.statistics.estimate import Estimate, Float64Array, estimate_of, interval_columns
from failmodes.analysis.statistics.run_rows import copies_of
from failmodes.analysis.statistics.shares import ALPHA, holm
from failmodes.warehouse.database.connection import read_once
from failmodes.warehouse.metrics.intervals import normal_quantile
from failmodes.warehouse.schema import CLEAN

OF_PREDICTION = ("margin", "confidence", "entropy")
DRIFT, BEYOND_MARGIN = "drift", "drift_beyond_margin"
SCORES = (*OF_PREDICTION, DRIFT)
FOLDS = 5
# Errors are widened, since the fits that test the folds share images: without it, 95% intervals cover the expected gain
# in 92.8 to 95% of simulated samples (tests/soundness), with it in 95 to 98%.
WIDENED = sqrt(1 + 1 / (FOLDS - 1))
FEWEST = 10  # images that fail, and images that do not, that a gain requires
SLOPE_RIDGE = 1e-3  # λ of λ|β|²/2 beside the sum of log-losses: keeps β finite where a score separates all events
PSEUDO_ROWS = 1.0  # rows added to each cell at x = 0, with the overall event rate: keeps α finite
CONVERGED = 1e-3  # change of log-odds; the error of a Newton step is about its square
MAX_STEPS = 100

Model = tuple[str, ...]  # names of its scores; empty for the cells alone
# by predictor: the scores of the reference, and of the model that is compared with it, the predictor's own last
COMPARED: dict[str, tuple[Model, Model]] = {
    **{score: ((), (score,)) for score in SCORES}, BEYOND_MARGIN: (("margin",), ("margin", DRIFT)),
}  # fmt: skip

_ROWS_AT_RISK = """
with points as ( -- one cell per corruption and severity
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
    select points.cell, attention.image_id, -- a clean map is identical to itself
        if(points.severity_before = 0, 0 * attention.centroid_shift, attention.centroid_shift) as drift
    from attention
    inner join points on attention.corruption = points.cell_before and attention.severity = points.severity_before
    where attention.evaluation_id = $1 and attention.target = 'clean'
)
select cell, image_id, event, margin, confidence, entropy, drift
from at_risk inner join before using (cell, image_id) left join maps using (cell, image_id)
"""

# The stored rows, if they are over the given corruptions ($2) that the evaluation has
_STORED = """
from early_warning
where evaluation_id = $1 and list_sort(corruptions) = (
    select list_sort(list(distinct corruption)) from shards
    where table_name = 'prediction_facts' and evaluation_id = $1 and corruption = any($2)
)
"""


class PredictorGain(NamedTuple):
    """How well one score predicts failure at the next severity.

    Attributes:
        gain: log-loss of the reference minus that with the score, nats per row at risk, with its 95% interval. For a
            score without information it is slightly below 0, because of the fitted parameter.
        share: the same as a share of the reference's log-loss. The reference has corruption and severity alone; that of
            drift beyond margin has the margin too.
        adjusted_p: of a gain above 0, one-sided, corrected for all predictors by Holm's method.
        images: images with a row at risk that has the score.
        rows: number of these rows.
        events: number of rows that are incorrect at the next severity.
        reason: why there is no gain; gain, share and adjusted_p are then None.
    """

    gain: Estimate | None
    share: Estimate | None
    adjusted_p: float | None
    images: int
    rows: int
    events: int
    reason: str | None = None


def is_found(predictor: PredictorGain) -> bool:
    """Whether its gain is significantly above 0, corrected for all predictors."""
    return predictor.adjusted_p is not None and predictor.adjusted_p < ALPHA


@read_once
def early_warning(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> dict[str, PredictorGain]:
    """How well each of COMPARED predicts failures of one model, by name, over the averaged corruptions.

    Read from the table `early_warning`, which needs current shapes; recomputed for other corruptions than its own.
    """
    rows = (
        con.sql(_STORED, params=[evaluation.evaluation_id, list(selection.averaged)])
        .pl()
        .rows_by_key("score", named=True, unique=True)
    )
    if set(rows) != set(COMPARED):
        return measure_early_warning(con, evaluation.evaluation_id, selection.averaged)
    return {name: _stored_gain(rows[name]) for name in COMPARED}


def _stored_gain(row: dict[str, Any]) -> PredictorGain:
    has_gain = row["gain"] is not None
    return PredictorGain(
        gain=estimate_of(row, "gain") if has_gain else None,
        share=estimate_of(row, "share") if has_gain else None,
        adjusted_p=row["adjusted_p_value"],
        images=row["image_count"],
        rows=row["step_count"],
        events=row["failure_count"],
        reason=row["reason"],
    )


def measure_early_warning(
    con: duckdb.DuckDBPyConnection, evaluation_id: str, corruptions: Sequence[str]
) -> dict[str, PredictorGain]:
    """Compute how well each of COMPARED predicts failures of one model, by name, over some corruptions.

    Drift is the centroid shift from the image's own clean map, for the class predicted on the clean image. The gain per
    row depends on the severities: on a denser grid fewer images fail at each step.
    """
    paired, pairing_note, attention_note = con.execute(
        "select paired, pairing_note, attention_note from evaluations where evaluation_id = ?", [evaluation_id]
    ).fetchall()[0]
    if not paired:
        reason = f"corrupted images do not pair with clean ones: {pairing_note or 'unknown reason'}"
        return dict.fromkeys(COMPARED, _nothing(reason))
    rows = con.sql(_ROWS_AT_RISK, params=[evaluation_id, list(corruptions), CLEAN]).pl()
    copies = copies_of(con, evaluation_id)
    ids = rows["image_id"].unique()
    groups = None if copies is None else copies.groups_of(ids.to_numpy())
    if groups is not None:
        rows = rows.with_columns(group=pl.col("image_id").replace_strict(ids, pl.Series(groups)))
    gains = predictor_gains(rows)
    if not gains[DRIFT].rows and attention_note:
        gains |= dict.fromkeys((DRIFT, BEYOND_MARGIN), _nothing(attention_note))
    return gains


def early_warning_rows(gains: Mapping[str, PredictorGain], corruptions: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of the table `early_warning` of one evaluation."""
    return [
        {
            "score": name, "corruptions": list(corruptions), "adjusted_p_value": gain.adjusted_p,
            "image_count": gain.images, "step_count": gain.rows, "failure_count": gain.events, "reason": gain.reason,
            **interval_columns("gain", gain.gain), **interval_columns("share", gain.share),
        }
        for name, gain in gains.items()
    ]  # fmt: skip


def predictor_gains(rows: pl.DataFrame, seed: int = 0) -> dict[str, PredictorGain]:
    """How well each predictor predicts the event of a row at risk, beyond its cell.

    Margin, confidence and entropy are compared on rows where all three are finite; drift, alone and beyond margin, on
    rows where it is finite too. Each predictor and its reference are fitted to the same rows and tested on the same
    images by cross-validation over FOLDS folds; duplicates are in one fold and count as one image.

    Args:
        rows: cell and image_id, integers; event, bool: incorrect at the next severity; all of SCORES, NaN or null if
            missing; and group, if there are duplicates, equal for images of the same pixels.
        seed: seed of the folds, which follow the order of image_id.
    """
    group = rows["group" if "group" in rows.columns else "image_id"].to_numpy()
    ids, image = np.unique(group, return_inverse=True)
    fold = np.random.default_rng(seed).permutation(len(ids)) % FOLDS
    numbers = pl.col("event", *SCORES).cast(pl.Float64)
    rows = rows.select(pl.col("cell").cast(pl.Int64), pl.col("image_id"), numbers, image=image, fold=fold[image]).sort(
        "cell"
    )
    known = rows.filter(pl.all_horizontal(pl.col(OF_PREDICTION).is_finite()))
    gains = _gains(known, OF_PREDICTION) | _gains(known.filter(pl.col(DRIFT).is_finite()), (DRIFT, BEYOND_MARGIN))
    p_values = {name: gain.adjusted_p for name, gain in gains.items() if gain.adjusted_p is not None}
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return {name: gain._replace(adjusted_p=adjusted.get(name)) for name, gain in gains.items()}


def _gains(rows: pl.DataFrame, names: tuple[str, ...]) -> dict[str, PredictorGain]:
    """Gains of some predictors over the same rows, with uncorrected p values."""
    image = rows["image"].to_numpy()
    event = rows["event"].to_numpy()
    counts = np.bincount(image).astype(np.float64)
    failures = np.bincount(image, event)
    sizes = (rows["image_id"].n_unique(), len(rows), int(event.sum()))
    reason = _too_few(int((failures > 0).sum()), int((counts > failures).sum()))
    score = pl.col(SCORES)
    spread = pl.col(SCORES).std(ddof=0).over("cell")
    is_equal = (score.min() == score.max()).over("cell") | (spread == 0)
    standard = (score - score.mean().over("cell")) / spread
    rows = rows.with_columns(pl.when(is_equal).then(0.0).otherwise(standard).name.keep())
    losses: dict[Model, Float64Array] = {}
    gains = {}
    for name in names:
        reference, model = COMPARED[name]
        if reason or not (rows[model[-1]] != 0).any():
            gains[name] = _nothing(reason or "the score is the same for all images of each cell", *sizes)
            continue
        for columns in (reference, model):
            if columns not in losses:
                losses[columns] = np.bincount(image, held_out_losses(rows, columns)).astype(np.float64)
        gained = losses[reference] - losses[model]
        (gain, error) = _ratio(gained, counts)
        (share, share_error) = _ratio(gained, losses[reference])
        p = erfc(gain / error / sqrt(2)) / 2 if error else 1.0
        gains[name] = PredictorGain(_interval(gain, error), _interval(share, share_error), p, *sizes)
    return gains


def held_out_losses(rows: pl.DataFrame, model: Model) -> Float64Array:
    """Log-loss of each row (R,), nats, under a hazard fitted to the rows of the other folds.

    Args:
        rows: cell, rising, event and fold, and the scores of the model, standardized over the rows of their cell.
        model: which scores it has.
    """
    cell, event, fold = (rows[name].to_numpy() for name in ("cell", "event", "fold"))
    scores = np.array([rows[name].to_numpy() for name in model]).reshape(len(model), len(rows))
    odds = np.empty(len(rows))
    moved = np.zeros(cell[-1] + 1)
    beta = np.zeros(len(model))
    for number in range(FOLDS):
        held = np.flatnonzero(fold == number)
        others = np.flatnonzero(fold != number)
        alpha, moved, beta = fit_hazard(cell[others], event[others], scores.take(others, axis=1), moved, beta)
        odds[held] = alpha[cell[held]] + np.einsum("p,pr->r", beta, scores.take(held, axis=1))
    losses: Float64Array = np.logaddexp(0, odds) - event * odds
    return losses


def fit_hazard(
    cell: NDArray[np.intp], event: Float64Array, scores: Float64Array, moved: Float64Array, beta: Float64Array
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """α and β of logit h = α(cell) + βx, at the maximum of the penalized likelihood, by damped Newton steps.

    A full step may overshoot where log-odds change by D > 1; one of log(1 + D) / D of it does not, by the
    self-concordance of the logistic loss (Bach 2010, Electron. J. Stat. 4: 384-414). Products over rows are einsum:
    those of BLAS keep threads busy.

    Args:
        cell: (R,) numbers of cells, rising.
        event: (R,) 0 or 1.
        scores: (P, R).
        moved: (K,) starting value of how much α of each cell exceeds that without scores.
        beta: (P,) starting value.

    Returns:
        α (K,), how much each exceeds that without scores, and β (P,), log-odds.
    """
    from scipy.special import expit  # here: it takes .2 s, and most charts do without

    counts = np.bincount(cell, minlength=len(moved))
    cells = len(moved)
    firsts = (np.cumsum(counts) - counts)[counts > 0]

    def sums(values: Float64Array) -> Float64Array:
        totals = np.zeros(cells)
        totals[counts > 0] = np.add.reduceat(values, firsts)
        return totals

    share = (event.sum() + 0.5) / (len(event) + 1)
    ridge = SLOPE_RIDGE * np.eye(len(beta))
    alone = (sums(event) + PSEUDO_ROWS * share) / (counts + PSEUDO_ROWS)
    alone = np.log(alone / (1 - alone))
    alpha = alone + moved
    reach = np.abs(scores).max(axis=1, initial=0)
    for _ in range(MAX_STEPS if len(beta) else 0):
        chance = expit(np.repeat(alpha, counts) + np.einsum("p,pr->r", beta, scores))
        pseudo = expit(alpha)
        missed = event - chance
        weight = chance * (1 - chance)
        rising = [sums(missed) + PSEUDO_ROWS * (share - pseudo), np.einsum("pr,r->p", scores, missed) - ridge @ beta]
        weighted = weight * scores
        mixed = np.array([sums(weights) for weights in weighted])
        information = np.diag(sums(weight) + PSEUDO_ROWS * pseudo * (1 - pseudo))
        hessian = np.block([[information, mixed.T], [mixed, np.einsum("pr,qr->pq", weighted, scores) + ridge]])
        step = np.linalg.solve(hessian, np.concatenate(rising))
        change = float(np.abs(step[:cells]).max() + reach @ np.abs(step[cells:]))
        step *= np.log1p(change) / change if change > 1 else 1.0
        alpha = alpha + step[:cells]
        beta = beta + step[cells:]
        if change < CONVERGED:
            break
    return alpha, alpha - alone, beta


def _too_few(failing: int, surviving: int) -> str | None:
    """The reason why so few failing or passing images give no result; several rows of one image count once."""
    if not failing + surviving:
        return "no correctly classified image has the score"
    if failing < FEWEST:
        return f"fewer than {FEWEST} images fail at the next severity"
    return f"fewer than {FEWEST} images stay correct at the next severity" if surviving < FEWEST else None


def _ratio(above: Float64Array, below: Float64Array) -> tuple[float, float]:
    """Σ above / Σ below over images (N,), and its widened error by linearization; both are 0 for images without rows.

    Source: Cochran 1977, Sampling Techniques, chapter 6.
    """
    count = np.count_nonzero(below)
    total = below.sum()
    ratio = above.sum() / total
    squares = np.square(above - ratio * below).sum()
    return float(ratio), float(WIDENED * np.sqrt(squares * count / (count - 1)) / total)


def _interval(value: float, error: float) -> Estimate:
    return Estimate(value, value - normal_quantile() * error, value + normal_quantile() * error)


def _nothing(reason: str, images: int = 0, rows: int = 0, events: int = 0) -> PredictorGain:
    return PredictorGain(None, None, None, images, rows, events, reason)
