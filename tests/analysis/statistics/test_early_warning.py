"""What scores tell of the next failure, against scikit-learn, a bootstrap over images, and cases by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from opened_results import opened
from scipy import stats
from sklearn.linear_model import LogisticRegression

from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.statistics.early_warning import (
    COMPARED,
    FEWEST,
    FOLDS,
    PSEUDO_ROWS,
    SCORES,
    SLOPE_RIDGE,
    WIDENED,
    PredictorGain,
    early_warning,
    predictor_gains,
)
from failmodes.analysis.statistics.shares import holm

Rows = tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]
LARGE = 1e3  # an indicator of this size has a coefficient as much smaller, which the ridge then leaves alone


def rows_at_risk(images: int, strength: float, seed: int = 0, curves: int = 2, severities: int = 6) -> Rows:
    """Images that leave once they fail; scores tell of what makes them fail by `strength`. Drift is 0 when clean."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=images)
    parts = []
    for curve in range(curves):
        alive = np.arange(images)
        for step in range(severities - 1):
            failed = rng.random(len(alive)) < 1 / (1 + np.exp(2.5 - 0.4 * step - 1.5 * hidden[alive]))
            parts.append((np.full(len(alive), curve * (severities - 1) + step), alive, failed))
            alive = alive[~failed]
    cell, image, event = (np.concatenate(column) for column in zip(*parts, strict=True))
    scores = {name: 5 + 0.1 * (strength * hidden[image] + rng.normal(size=len(image))) for name in SCORES}
    scores["drift"][cell % (severities - 1) == 0] = 0
    return cell, image, event, scores


def gains_of(
    cell: np.ndarray, image: np.ndarray, event: np.ndarray, scores: dict[str, np.ndarray]
) -> dict[str, PredictorGain]:
    return predictor_gains(pl.DataFrame({"cell": cell, "image_id": image, "event": event, **scores}))


def of_scikit_learn(rows: Rows, names: tuple[str, ...], ids: np.ndarray) -> np.ndarray:
    """Log-loss of each row out of fold, by the definition, with pseudo-rows as weighted rows; `ids` of all images."""
    cell, image, event, scores = rows
    fold = (np.random.default_rng(0).permutation(len(ids)) % FOLDS)[np.searchsorted(ids, image)]
    cells = np.unique(cell)
    indicators = LARGE * (cell[:, None] == cells)
    columns = []
    for name in names:
        frame = pl.DataFrame({"cell": cell, "x": scores[name]})
        centered = pl.col("x") - pl.col("x").mean().over("cell")
        x = frame.select(centered / pl.col("x").std(ddof=0).over("cell")).to_series().fill_nan(0)
        columns.append(x.to_numpy())
    design = np.column_stack([indicators, *columns])
    pseudo = np.column_stack([LARGE * np.eye(len(cells)), np.zeros((len(cells), len(names)))])
    losses = np.empty(len(cell))
    for number in range(FOLDS):
        held = fold == number
        share = (event[~held].sum() + 0.5) / ((~held).sum() + 1)
        weights = np.r_[np.ones((~held).sum()), np.repeat(PSEUDO_ROWS * np.array([share, 1 - share]), len(cells))]
        model = LogisticRegression(
            C=1 / SLOPE_RIDGE, fit_intercept=False, solver="newton-cholesky", tol=1e-10, max_iter=1000
        )
        outcome = np.r_[event[~held], np.ones(len(cells), bool), np.zeros(len(cells), bool)]
        model.fit(np.vstack([design[~held], pseudo, pseudo]), outcome, sample_weight=weights)
        p = model.predict_proba(design[held])[:, 1]
        losses[held] = -np.log(np.where(event[held], p, 1 - p))
    return losses


def kept(rows: Rows, which: np.ndarray) -> Rows:
    cell, image, event, scores = rows
    return cell[which], image[which], event[which], {name: score[which] for name, score in scores.items()}


def figures(gains: dict[str, PredictorGain]) -> list[float]:
    """Gains and shares with their intervals, and counts."""
    return [number for one in gains.values() for number in (*(one.gain or ())[:3], *(one.share or ())[:3], *one[3:6])]


def test_gains_agree_with_scikit_learn() -> None:
    rows = rows_at_risk(150, strength=1.0)
    rows[3]["drift"][::7] = np.nan
    rows[3]["confidence"][::11] = np.nan
    found = gains_of(*rows)
    finite = ~np.isnan(rows[3]["confidence"])
    with_drift = kept(rows, finite & ~np.isnan(rows[3]["drift"]))
    for name, models in COMPARED.items():
        of_name = with_drift if "drift" in name else kept(rows, finite)
        reference, model = (of_scikit_learn(of_name, names, np.unique(rows[1])) for names in models)
        assert found[name].gain.value == pytest.approx((reference - model).mean(), abs=1e-8)
        assert found[name].share.value == pytest.approx(1 - model.sum() / reference.sum(), abs=1e-8)
        assert found[name][3:] == (len(np.unique(of_name[1])), len(of_name[0]), of_name[2].sum(), None)


def test_intervals_agree_with_a_bootstrap_of_images() -> None:
    rows = rows_at_risk(400, strength=4.0)
    found = gains_of(*rows)["margin"]
    losses = [of_scikit_learn(rows, names, np.arange(400)) for names in ((), ("margin",))]
    weights = np.random.default_rng(1).multinomial(400, np.full(400, 1 / 400), 4000)
    base, model, counts = ((weights * np.bincount(rows[1], part)).sum(1) for part in (*losses, np.ones(len(rows[1]))))
    for estimate, resampled in ((found.gain, (base - model) / counts), (found.share, 1 - model / base)):
        assert (estimate.high - estimate.low) / 2 == pytest.approx(1.96 * WIDENED * resampled.std(), rel=0.06)


def test_p_values_are_one_sided_and_corrected() -> None:
    found = gains_of(*rows_at_risk(250, strength=0.5))
    z = [one.gain.value / (one.gain.high - one.gain.low) * 2 * 1.959964 for one in found.values() if one.gain]
    assert len(z) == len(COMPARED)
    assert [one.adjusted_p for one in found.values()] == pytest.approx(holm(stats.norm.sf(z).tolist()), rel=1e-4)


@pytest.mark.parametrize(("failing", "reason"), [(FEWEST - 1, "fail at"), (FEWEST, None), (191, "stay correct")])
def test_few_failures_or_survivors_say_nothing(failing: int, reason: str | None) -> None:
    """Of 200 images; each is in two cells, and an image that fails in both counts once."""
    cell = np.repeat([0, 1], 200)
    image = np.tile(np.arange(200), 2)
    scores = {name: np.random.default_rng(4).normal(size=400) for name in SCORES}
    for one in gains_of(cell, image, image < failing, scores).values():
        assert (one.images, one.rows, one.events) == (200, 400, 2 * failing)
        assert (one.gain is None) == (one.share is None) == (one.adjusted_p is None) == (reason is not None)
        assert reason is None or reason in str(one.reason)


def test_separation_and_cells_without_events_stay_finite() -> None:
    rng = np.random.default_rng(5)
    cell = np.repeat(np.arange(8), 60)
    image = np.tile(np.arange(60), 8)
    event = (cell < 3) & (image % 4 == 0)
    scores = {"margin": event * 1e6, "confidence": event - 1e-9, "entropy": rng.standard_cauchy(480) ** 3}
    found = gains_of(cell, image, event, scores | {"drift": scores["margin"]})
    assert len(figures(found)) == 9 * len(COMPARED)
    assert np.isfinite(figures(found)).all()


def test_rows_without_a_number_leave_their_comparison() -> None:
    rows = rows_at_risk(150, strength=1.0)
    for name, place in (("margin", 3), ("entropy", 5)):
        rows[3][name][place::29] = (np.nan, np.inf)[place == 5]
    finite = np.isfinite(rows[3]["margin"]) & np.isfinite(rows[3]["entropy"])
    rows[3]["drift"][2::13] = np.nan
    found = gains_of(*rows)
    assert found["margin"].rows == found["confidence"].rows == finite.sum()
    assert found["drift"].rows == found["drift_beyond_margin"].rows == (finite & ~np.isnan(rows[3]["drift"])).sum()
    assert figures(found) == pytest.approx(figures(gains_of(*kept(rows, finite))))


def test_a_score_that_is_the_same_in_every_cell_says_nothing() -> None:
    cell, image, event, scores = rows_at_risk(100, strength=1.0)
    found = gains_of(cell, image, event, {**scores, "drift": 0.1 * cell})
    assert {name for name, one in found.items() if one.gain is None} == {"drift", "drift_beyond_margin"}


def _by_hand(con: duckdb.DuckDBPyConnection, evaluation_id: str, corruptions: tuple[str, ...]) -> Rows:
    """Rows at risk, image by image and severity by severity."""
    read = con.sql(
        "select o.corruption, o.severity::double as severity, o.image_id, correct, margin, confidence, entropy_nats, "
        "centroid_shift from outcomes as o left join (from attention where target = 'clean') as a using "
        "(evaluation_id, corruption, severity, image_id) where evaluation_id = ?",
        params=[evaluation_id],
    ).pl()
    facts: dict[tuple[str, float], dict[int, Any]] = {}
    for corruption, severity, image, *row in read.rows():
        facts.setdefault((corruption, severity), {})[image] = row
    rows: list[tuple[Any, ...]] = []
    for number, corruption in enumerate(corruptions):
        curve = [facts["none", 0.0], *(facts[key] for key in sorted(facts) if key[0] == corruption)]
        for image in curve[0]:
            for step, (now, then) in enumerate(zip(curve, curve[1:], strict=False)):
                if not now[image][0]:
                    break
                rows.append((100 * number + step, image, not then[image][0], *now[image][1:]))
    cell, image, event, *scores = (np.array(column) for column in zip(*rows, strict=True))
    return cell, image, event, dict(zip(SCORES, scores, strict=True))


def test_rows_at_risk_are_those_of_a_warehouse(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    """Over the averaged corruptions, of which a load stores it, and over one, of which it does not."""
    evaluation = selection.evaluations[0]
    for chosen in (selection, replace(selection, corruptions=("fog",), extras=())):
        found = early_warning(con, chosen, evaluation)
        by_hand = gains_of(*_by_hand(con, evaluation.evaluation_id, chosen.averaged))
        assert figures(found) == pytest.approx(figures(by_hand), rel=1e-6)
    stored = "select score, share, failure_count from early_warning where evaluation_id = ?"
    found = early_warning(con, selection, evaluation)
    assert dict((score, row) for score, *row in con.execute(stored, [evaluation.evaluation_id]).fetchall()) == {
        name: [one.share.value, one.events] for name, one in found.items()
    }


@pytest.mark.test_all
def test_of_unpaired_images_it_says_why(tmp_path: Path) -> None:
    options = {"images": 40, "models": ("A",), "corruptions": ("fog",), "severities": (1, 5), "paired": False}
    with opened(tmp_path, **options) as it:
        found = early_warning(*it.first)
    assert {str(one.reason).split(": ")[1] for one in found.values()} == {"labels differ"}
