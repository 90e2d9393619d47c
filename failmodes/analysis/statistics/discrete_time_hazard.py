"""A discrete-time hazard over many cells (Singer & Willett 1993, J. Educ. Stat. 18: 155-195), tested out of fold.

logit h = α(cell) + βx, where a cell is a corruption and a severity, and x are one or two scores, standardized over the
rows of their cell. A row touches one α alone, so a Newton step needs no more than sums by cell.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.analysis.statistics.bootstrap import Float64Array

SLOPE_RIDGE = 1e-3  # λ of λ|β|²/2 beside the sum of log-losses: keeps β finite where a score separates all events
PSEUDO_ROWS = 1.0  # rows added to each cell at x = 0, with events as often as in all rows: keeps α finite
CONVERGED = 1e-3  # change of log-odds after which a Newton step leaves an error of about its square
MOST_STEPS = 100
Model = tuple[str, ...]  # names of its scores; none: the cells alone


class HazardRows(NamedTuple):
    """Rows at risk, which lie by fold of their images, then by cell.

    Attributes:
        event: (R,) 0 or 1.
        counts: (F, K) rows of each fold and cell.
        scores: (R,) by name, standardized over all rows of each cell.
    """

    event: Float64Array
    counts: NDArray[np.intp]
    scores: dict[str, Float64Array]

    def split(self, fold: int, memory: "HazardRows") -> tuple["HazardRows", "HazardRows"]:
        """The rows of all other folds, which lie in `memory` of as many rows as these, and those of this one."""
        start, end = self.counts[:fold].sum(), self.counts[: fold + 1].sum()

        def others(values: Float64Array, kept: Float64Array) -> Float64Array:
            return np.concatenate([values[:start], values[end:]], out=kept[: len(values) - (end - start)])

        own = {name: score[start:end] for name, score in self.scores.items()}
        scores = {name: others(score, memory.scores[name]) for name, score in self.scores.items()}
        training = HazardRows(others(self.event, memory.event), np.delete(self.counts, fold, axis=0), scores)
        return training, HazardRows(self.event[start:end], self.counts[fold : fold + 1], own)

    def of_model(self, model: Model) -> list[Float64Array]:
        """The scores of a model, (R,) each."""
        return [self.scores[name] for name in model]


class Hazard(NamedTuple):
    """α (K,) of each cell and β (P,) of each score, in log-odds; `cell_alone` is α (K,) without scores."""

    alpha: Float64Array
    beta: Float64Array
    cell_alone: Float64Array

    def log_odds(self, counts: NDArray[np.intp], scores: Sequence[Float64Array]) -> Float64Array:
        """Log-odds of an event, (R,)."""
        odds = _of_rows(self.alpha, counts)
        added = np.empty_like(odds)
        for slope, score in zip(self.beta, scores, strict=True):
            odds += np.multiply(slope, score, out=added)
        return odds

    def moved(self, alpha_step: Float64Array, beta_step: Float64Array) -> "Hazard":
        """The same with other α and β."""
        return Hazard(self.alpha + alpha_step, self.beta + beta_step, self.cell_alone)


def standardized(values: Float64Array, counts: NDArray[np.intp]) -> Float64Array:
    """Values (R,) with mean 0 and standard deviation 1 in each cell; 0 where all of a cell are equal.

    Args:
        values: by fold, then by cell.
        counts: (F, K) rows of each fold and cell.
    """
    if not len(values):
        return values
    size = np.maximum(counts.sum(axis=0), 1)
    starts = (np.cumsum(counts) - counts.ravel()).reshape(counts.shape)
    firsts = values[np.minimum(np.where(counts > 0, starts, len(values) - 1).min(axis=0), len(values) - 1)]
    differs = _cell_sums((values != _of_rows(firsts, counts)).astype(np.float64), counts) > 0
    centered = values - _of_rows(_cell_sums(values, counts) / size, counts)
    spread = np.sqrt(_cell_sums(centered * centered, counts) / size)
    scale = np.divide(1.0, spread, out=np.zeros(len(spread)), where=differs & (spread > 0))
    standard: Float64Array = centered * _of_rows(scale, counts)
    return standard


def held_out_losses(rows: HazardRows, models: Iterable[Model]) -> dict[Model, Float64Array]:
    """Log-loss of each row under each model, fitted to the rows of the other folds.

    Args:
        rows: the rows at risk.
        models: which scores each has.

    Returns:
        (R,) nats by model.
    """
    parts: dict[Model, list[Float64Array]] = {model: [] for model in models}
    near: dict[Model, Hazard] = {}
    scores = {name: np.empty_like(score) for name, score in rows.scores.items()}
    memory = rows._replace(event=np.empty_like(rows.event), scores=scores)  # new for each fold costs more
    for fold in range(len(rows.counts)):
        training, testing = rows.split(fold, memory)
        for model, losses in parts.items():
            near[model] = fit_hazard(training, model, near.get(model))
            odds = near[model].log_odds(testing.counts, testing.of_model(model))
            losses.append(np.log(1 + np.exp(-np.abs(odds))) + np.maximum(odds, 0) - testing.event * odds)
    return {model: np.concatenate(losses) for model, losses in parts.items()}


def fit_hazard(rows: HazardRows, model: Model, near: Hazard | None = None) -> Hazard:
    """The maximum of the penalized likelihood, by Newton steps that never overshoot.

    A full step may overshoot where log-odds change by D > 1; one of log(1 + D) / D of it does not, by the
    self-concordance of the logistic loss (Bach 2010, Electron. J. Stat. 4: 384-414).

    Args:
        rows: the rows at risk.
        model: which scores it has.
        near: a fit to similar rows of the same cells, to begin with.
    """
    share = (rows.event.sum() + 0.5) / (len(rows.event) + 1)
    alone = (_cell_sums(rows.event, rows.counts) + PSEUDO_ROWS * share) / (rows.counts.sum(axis=0) + PSEUDO_ROWS)
    cell_alone = np.log(alone / (1 - alone))
    hazard = Hazard(cell_alone, np.zeros(len(model)), cell_alone)
    if not model:
        return hazard
    if near is not None:
        hazard = Hazard(near.alpha + cell_alone - near.cell_alone, near.beta, cell_alone)
    scores = rows.of_model(model)
    reach = np.array([np.abs(score).max(initial=0) for score in scores])
    for _ in range(MOST_STEPS):
        alpha_step, beta_step = _newton_step(rows, scores, hazard, share)
        change = float(np.abs(alpha_step).max() + (reach * np.abs(beta_step)).sum())
        length = np.log1p(change) / change if change > 1 else 1.0
        hazard = hazard.moved(length * alpha_step, length * beta_step)
        if change < CONVERGED:
            break
    return hazard


def _newton_step(
    rows: HazardRows, scores: Sequence[Float64Array], hazard: Hazard, share: float
) -> tuple[Float64Array, Float64Array]:
    """The full step of α (K,) and β (P,): α is eliminated first, as the Hessian is diagonal there.

    Products are sums and einsum: those of BLAS keep threads busy.
    """
    pseudo, chance = _probability(hazard.alpha.copy()), _probability(hazard.log_odds(rows.counts, scores))
    weight = 1 - chance
    weight *= chance
    chance -= rows.event
    slope = _cell_sums(chance, rows.counts) + PSEUDO_ROWS * (pseudo - share)
    curvature = _cell_sums(weight, rows.counts) + PSEUDO_ROWS * pseudo * (1 - pseudo)
    weighted = [weight * score for score in scores]
    mixed = np.array([_cell_sums(score, rows.counts) for score in weighted])  # (P, K)
    own = np.array([[np.einsum("r,r->", one, other) for other in scores] for one in weighted])
    own += SLOPE_RIDGE * np.eye(len(scores)) - np.einsum("pk,qk->pq", mixed / curvature, mixed)
    pull = np.array([np.einsum("r,r->", chance, score) for score in scores]) + SLOPE_RIDGE * hazard.beta
    beta_step: Float64Array = -np.linalg.solve(own, pull - np.einsum("pk,k->p", mixed, slope / curvature))
    alpha_step: Float64Array = -(slope + np.einsum("pk,p->k", mixed, beta_step)) / curvature
    return alpha_step, beta_step


def _probability(log_odds: Float64Array) -> Float64Array:
    """1 / (1 + exp(-x)), in the memory of the log-odds x."""
    with np.errstate(over="ignore"):  # exp of a large number is infinite, and the probability 0
        chance = np.exp(np.negative(log_odds, out=log_odds), out=log_odds)
    chance += 1
    return np.divide(1, chance, out=chance)


def _of_rows(of_cells: Float64Array, counts: NDArray[np.intp]) -> Float64Array:
    """A value of each cell (K,) at each of its rows, (R,)."""
    return np.repeat(np.tile(of_cells, len(counts)), counts.ravel())


def _cell_sums(values: Float64Array, counts: NDArray[np.intp]) -> Float64Array:
    """Sums by cell (K,) of values (R,), ten times as fast as bins that are looked up row by row."""
    sums = np.zeros(counts.shape)
    if len(values):
        sums[counts > 0] = np.add.reduceat(values, (np.cumsum(counts) - counts.ravel())[counts.ravel() > 0])
    of_cells: Float64Array = sums.sum(axis=0)
    return of_cells
