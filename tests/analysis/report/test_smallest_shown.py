"""What stands under the report's tables of the smallest difference shown: by hand, and by the intervals it comes of."""

import re
from dataclasses import replace
from statistics import NormalDist

import duckdb
import numpy as np
import polars as pl
import pytest
from scipy import stats

from failmodes.analysis.report.report_tables import tables
from failmodes.analysis.report.smallest_shown import shown_of_attention, shown_of_calibration, shown_of_predictions
from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.attention import attention_at_last
from failmodes.analysis.statistics.model_accuracy import drops_over_seeds, rows_of
from failmodes.analysis.statistics.predictions import class_gaps
from failmodes.analysis.trained_models import trained_models

Z_A, Z_B = stats.norm.ppf([0.975, 0.8])


def sizes(note: str, what: str) -> list[float]:
    """The smallest and the largest of the differences that a note tells, in points."""
    found = re.search(rf"Smallest {what} shown in 80% of samples: ([\d.]+)(?: to ([\d.]+))?\u00a0points\.", note)
    assert found, note
    return [float(found[1]), float(found[2] or found[1])]


def notes(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[str, str]:
    return {table.caption: table.note for table in tables(con, selection)}


def test_predictions_tell_the_gap_of_a_class_and_why_no_share(
    con: duckdb.DuckDBPyConnection, selection: Selection
) -> None:
    (alpha, *_) = selection.evaluations
    note = notes(con, selection)["Answers of Alpha"]
    gaps = class_gaps(con, selection, alpha)
    of_all = stats.norm.ppf(1 - 0.025 / (4 * 5 * 5))  # classes, corruptions, severities
    expected = sorted(50 * (one.gap.high - one.gap.low) * (1 + Z_B / of_all) for one in gaps)
    assert sizes(note, "gap of a class below the others") == pytest.approx([expected[0], expected[-1]], abs=0.051)
    assert note.endswith("Of the commonest answer's share none can be told: it is picked for being the largest.")
    one_class = shown_of_predictions(con, replace(selection.only(alpha), corruptions=()))
    assert one_class.startswith(" Of the commonest answer's share none")


def test_calibration_tells_confidence_against_accuracy_and_what_chance_gives() -> None:
    cells = pl.DataFrame({
        "evaluation_id": ["a"] * 4, "corruption": ["fog", "snow", "fog", "snow"], "severity": [0.0, 0.0, 5.0, 5.0],
        "image_count": [2000] * 4, "accuracy": [0.9, 0.9, 0.5, 0.5], "mean_confidence": [0.93, 0.93, 0.8, 0.8],
        "ece_noise_floor": [0.0114, 0.0114, 0.0221, None], "overconfidence": [0.03, 0.03, 0.3, 0.3],
    })  # fmt: skip
    half = NormalDist().inv_cdf(0.975) * (pl.col("accuracy") * (1 - pl.col("accuracy")) / 2000).sqrt()
    value = pl.col("overconfidence")
    cells = cells.with_columns(overconfidence_low=value - half, overconfidence_high=value + half)
    note = shown_of_calibration(cells)
    by_hand = [100 * (Z_A + Z_B) * np.sqrt(p * (1 - p) / 2000) for p in (0.9, 0.5)]
    assert sizes(note, "difference of confidence and accuracy") == pytest.approx(by_hand, rel=0.04)
    assert note.endswith("none can be told: chance alone gives a calibrated model up to 0.011 to 0.022.")
    assert shown_of_calibration(cells.clear()) == ""


def test_attention_tells_what_is_tested_and_that_the_rest_is_not(
    con: duckdb.DuckDBPyConnection, selection: Selection
) -> None:
    (alpha, *_) = selection.evaluations
    note = notes(con, selection)["Attention of Alpha at the last severity"]
    tests = attention_at_last(con, alpha, selection.corruptions).own_maps
    of_all = stats.norm.ppf(1 - 0.025 / len(selection.corruptions))
    expected = sorted(50 * (one.share.high - one.share.low) * (1 + Z_B / of_all) for one in tests)
    what = "excess over one half of centroids nearer to their own clean one than to that of another image of the class"
    assert sizes(note, what) == pytest.approx([expected[0], expected[-1]], abs=0.051)
    assert note.endswith("Of the other columns none can be told: no test stands behind them.")
    assert shown_of_attention(con, replace(selection.only(alpha), corruptions=())).startswith(" Of the other columns")


def test_seeds_tell_the_drop_over_seeds_and_images(seeded_con: duckdb.DuckDBPyConnection, seeded: Selection) -> None:
    model = next(one for one in trained_models(seeded.evaluations) if one.label == "Fir")
    note = notes(seeded_con, seeded)["Accuracy of Fir (3\u00a0seeds)"]
    halves = []
    for corruption, found in drops_over_seeds(seeded_con, seeded, model).items():
        answers = [run.correctness for run in rows_of(seeded_con, model).runs]
        clean, last = answers[0].cells.index(("none", 0.0)), answers[0].cells.index((corruption, 5.0))
        lost = np.stack([one.correct[:, clean].astype(float) - one.correct[:, last] for one in answers])
        of_seeds = lost.mean(axis=1).var(ddof=1) / 3
        of_images = stats.sem(np.append(lost.mean(axis=0), [1, -1]), ddof=0) ** 2
        half = np.sqrt(stats.t.ppf(0.975, 2) ** 2 * of_seeds + Z_A**2 * of_images)
        assert found.value == pytest.approx(lost.mean())
        assert (found.high - found.low) / 2 == pytest.approx(half)
        halves.append((found.high - found.low) / 2)
    expected = sorted(100 * half * (1 + Z_B / Z_A) for half in halves)
    assert sizes(note, "drop from clean to the last severity") == pytest.approx([expected[0], expected[-1]], abs=0.051)
