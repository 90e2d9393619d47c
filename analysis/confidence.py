"""Whether confidence keeps up with accuracy: over-confidence, calibration error, and failures that sound sure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import duckdb
import polars as pl

from analysis.reading import first_row
from analysis.selection import Evaluation, Selection, table
from analysis.words import MOST_LISTED, NORMAL_975, Estimate, listing, points_with_interval
from warehouse.schema import CLEAN

SURE = 0.9  # confidence from which a failure counts as confident, as in the view confident_failures


class Confidence(NamedTuple):
    """Confidence of one evaluation, clean and at the last severity of each corruption.

    Gaps are mean confidence minus accuracy; intervals count images: an image's gaps are averaged over corruptions
    first. Images without finite logits are left out.
    """

    clean_gap: Estimate
    last_gap: Estimate
    clean_ece: float
    last_ece_mean: float
    last_ece_worst: float
    worst_corruption: str
    bin_count: int
    sure_failures: Estimate | None
    failure_count: int


def confidence_of(con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: Evaluation) -> Confidence:
    """Measure the confidence of one evaluation, without the extra corruptions."""
    selection = replace(selection.only(evaluation), corruptions=selection.averaged)
    cells = table(con, "calibration_by_severity", selection)
    last = cells.filter(pl.col("severity") == pl.col("severity").max().over("corruption")).sort("ece", descending=True)
    clean = cells.filter(severity=0.0)
    sure, failures = _sure_failures(con, selection, evaluation)
    return Confidence(
        clean_gap=_gap(con, evaluation, [CLEAN]),
        last_gap=_gap(con, evaluation, list(selection.corruptions)),
        clean_ece=float(clean["ece"][0]),
        last_ece_mean=float(last.select(pl.col("ece").mean()).item()),
        last_ece_worst=float(last["ece"][0]),
        worst_corruption=str(last["corruption"][0]),
        bin_count=int(clean["bin_count"][0]),
        sure_failures=sure,
        failure_count=failures,
    )


def gap_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Over- or under-confidence at the last severity, beside the clean one: of each network, or of many in number."""
    found = {evaluation.label: confidence_of(con, selection, evaluation) for evaluation in selection.evaluations}
    if len(found) > MOST_LISTED:
        return gap_tally({label: one.last_gap for label, one in found.items()}, [c.clean_gap for c in found.values()])
    parts = [f"{label} {gap_words(c.last_gap)} (clean: {gap_words(c.clean_gap)})" for label, c in found.items()]
    return f"At the last severity: {listing(parts)}"


def gap_tally(last: dict[str, Estimate], clean: Sequence[Estimate]) -> str:
    """How many of many networks are over- and how many underconfident at the last severity, and how many when clean.

    Args:
        last: gap at the last severity by network.
        clean: the gaps on clean images.
    """
    told = []
    for word, way in (("overconfident", 1), ("underconfident", -1)):
        beyond = [label for label, gap in last.items() if _way(gap) == way]
        if not beyond:
            told.append(f"none is {word}")
            continue
        most = max(beyond, key=lambda label: abs(last[label].value))
        verb = "is" if len(beyond) == 1 else "are"
        told.append(f"{len(beyond)} {verb} {word}, most of all {most} by {_size(last[most])}")
    before = [sum(_way(gap) == way for gap in clean) for way in (1, -1)]
    return (
        f"Of {len(last)} networks at the last severity, {'; '.join(told)} (when clean {before[0]} over-, {before[1]} "
        "underconfident; all beyond noise)"
    )


def gap_words(gap: Estimate) -> str:
    """A gap in words: overconfident by 12.0 points [10.1, 13.9]."""
    if not _way(gap):
        return "neither over- nor underconfident beyond noise"
    return f"{'over' if gap.above_zero else 'under'}confident by {_size(gap)}"


def _way(gap: Estimate) -> int:
    """1 for over-, -1 for underconfident beyond noise, else 0."""
    return int(gap.above_zero) - int(gap.below_zero)


def _size(gap: Estimate) -> str:
    size = Estimate(-gap.value, -gap.high, -gap.low) if gap.below_zero else gap
    return points_with_interval(size)


_LAST = (
    "with last as (select corruption, max(severity) as severity from outcomes "
    "where evaluation_id = $1 and corruption = any($2) group by corruption) "
)


def _gap(con: duckdb.DuckDBPyConnection, evaluation: Evaluation, corruptions: list[str]) -> Estimate:
    row = first_row(
        con,
        f"{_LAST}, each as (select image_id, avg(confidence - correct::int) as gap "
        "from outcomes join last using (corruption, severity) where evaluation_id = $1 and finite group by image_id) "
        "select avg(gap), coalesce(stddev_samp(gap), 0), count(*) from each",
        [evaluation.evaluation_id, corruptions],
    )
    assert row is not None, "an aggregate without groups has one row"
    mean, deviation, count = row
    half = NORMAL_975 * deviation / count**0.5
    return Estimate(mean, mean - half, mean + half)


def _sure_failures(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: Evaluation
) -> tuple[Estimate | None, int]:
    """Share of failures at the last severity with confidence of at least SURE, and the number of failures.

    A ratio of two sums over images; its interval is the linearised one, with images as the units.
    """
    rows = con.sql(
        f"{_LAST} select image_id, count_if(confidence >= $3) as sure, count(*) as failures "
        "from outcomes join last using (corruption, severity) where evaluation_id = $1 and not correct group by all",
        params=[evaluation.evaluation_id, list(selection.corruptions), SURE],
    ).pl()
    failures = int(rows["failures"].sum())
    if not failures:
        return None, 0
    share = float(rows["sure"].sum()) / failures
    residual = (rows["sure"] - share * rows["failures"]).to_numpy()
    half = NORMAL_975 * float((residual**2).sum()) ** 0.5 / failures
    return Estimate(share, max(0.0, share - half), min(1.0, share + half)), failures
