"""What stands under the report's tables: the smallest difference that their images could show, or why there is none."""

from collections.abc import Iterable

import duckdb
import polars as pl

from failmodes.analysis.render.formatting import format_number, smallest_shown_sentence
from failmodes.analysis.selection import Selection, read_for_selection
from failmodes.analysis.statistics.attention import attention_at_last
from failmodes.analysis.statistics.bootstrap import Estimate, stored_resampling
from failmodes.analysis.statistics.model_accuracy import drops_over_seeds
from failmodes.analysis.statistics.model_pairs import compare_models_of
from failmodes.analysis.statistics.predictions import class_gaps
from failmodes.analysis.statistics.published import Standing
from failmodes.analysis.statistics.sufficiency import difference_shown
from failmodes.analysis.trained_models import TrainedModel

FROM_CLEAN = "drop from clean to the last severity"


def shown_between_models(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Of two models' mean corrupted accuracies."""
    differences = [pair.difference for pair in compare_models_of(con, selection)]
    return _sentence(differences, "difference of two models' means")


def shown_from_clean(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Of accuracy from clean to the last severity."""
    shown = read_for_selection(con, "shapes", selection)["smallest_drop_shown"].drop_nulls()
    return smallest_shown_sentence(shown.to_list(), FROM_CLEAN)


def shown_over_seeds(con: duckdb.DuckDBPyConnection, selection: Selection, model: TrainedModel) -> str:
    """Of accuracy from clean to the last severity, over training seeds and images."""
    return _sentence(drops_over_seeds(con, selection, model).values(), FROM_CLEAN)


def shown_of_predictions(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Of the accuracy of one class, below the others; `selection` has one evaluation."""
    (evaluation,) = selection.evaluations
    gaps = class_gaps(con, selection, evaluation)
    comparisons = gaps[0].comparisons if gaps else 1
    gap = _sentence([one.gap for one in gaps], "gap of a class below the others", comparisons)
    return f"{gap} Of the commonest answer's share none can be told: it is picked for being the largest."


def shown_of_calibration(cells: pl.DataFrame) -> str:
    """Of confidence and accuracy, in rows of `calibration_by_severity`, and the error that chance alone gives."""
    corruption = pl.when(pl.col("severity") > 0).then("corruption").alias("corruption")  # clean images count once
    known = cells.with_columns(corruption).unique(["evaluation_id", "corruption", "severity"])
    names = ("overconfidence", "overconfidence_low", "overconfidence_high")
    gaps = [Estimate(*row) for row in known.select(names).drop_nulls().rows()]
    floor = sorted(known["ece_noise_floor"].drop_nulls())
    chance = ""
    if floor:
        ends = " to ".join(dict.fromkeys(format_number(end, 3) for end in (floor[0], floor[-1])))
        chance = f" Of the error itself none can be told: chance alone gives a calibrated model up to {ends}."
    return _sentence(gaps, "difference of confidence and accuracy") + chance


def shown_of_attention(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Of attention at the last severity, where a test stands behind it; `selection` has one evaluation."""
    (evaluation,) = selection.evaluations
    found = attention_at_last(con, evaluation, selection.corruptions)
    nearer = (
        "excess over one half of centroids nearer to their own clean one than to that of another image of the class"
    )
    return (
        _sentence([test.share for test in found.own_maps], nearer, len(selection.corruptions))
        + _sentence(found.mask_changes.values(), "change of the mask share from clean", len(found.mask_changes))
        + " Of the other columns none can be told: no test stands behind them."
    )


def shown_of_published(con: duckdb.DuckDBPyConnection, standings: Iterable[Standing]) -> str:
    """Of models of ours and a published figure, which is taken as it is."""
    level = stored_resampling(con).interval_level
    own = _sentence([one.corrupted for one in standings], "difference of yours from a given figure", level=level)
    return f"{own} Between published figures none can be told: there are no images behind them."


def _sentence(estimates: Iterable[Estimate], what: str, comparisons: int = 1, level: float = 0.95) -> str:
    """The smallest of such differences that intervals as wide as theirs show; nothing without any."""
    known = list(estimates)
    shown = difference_shown(
        [one.low for one in known], [one.high for one in known], comparisons=max(1, comparisons), level=level
    )
    return smallest_shown_sentence(shown.tolist(), what)
