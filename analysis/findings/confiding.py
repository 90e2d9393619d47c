"""How confidence behaves as images degrade."""

import duckdb

from analysis.confidence import SURE, Confidence, confidence_of, gap_words
from analysis.findings.finding import Finding, Verdict
from analysis.selection import Evaluation, Selection, corruption_labels
from analysis.words import counted, number, percent, percent_with_interval, within


def confidence_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """For each network, over- or under-confidence, calibration error and the share of confident failures."""
    names = corruption_labels(con)
    over = selection.averaged_words
    return [_finding(e, confidence_of(con, selection, e), names, over) for e in selection.evaluations]


def _finding(evaluation: Evaluation, found: Confidence, names: dict[str, str], averaged: str) -> Finding:
    gap = found.last_gap
    verdict: Verdict = "found" if gap.above_zero or gap.below_zero else "undecided"
    sure = (
        f" Of {counted(found.failure_count, 'failure')} there, {percent_with_interval(found.sure_failures)} come with "
        f"confidence of at least {percent(SURE, 0)}."
        if found.sure_failures
        else " There are no failures there."
    )
    return Finding(
        "Confidence",
        f"{evaluation.label} is {gap_words(gap)} at the last severity, averaged over {averaged}.",
        f"On clean images it is {gap_words(found.clean_gap)}. Expected calibration error ({found.bin_count} equal "
        f"bins): {number(found.clean_ece, 3)} clean, {number(found.last_ece_mean, 3)} on average at the last severity, "
        f"{number(found.last_ece_worst, 3)} at worst ({within(names[found.worst_corruption])})." + sure,
        verdict,
        {"evaluation_id": evaluation.evaluation_id, "gap": gap.value, "gap_low": gap.low, "gap_high": gap.high,
         "clean_gap": found.clean_gap.value, "clean_ece": found.clean_ece, "last_ece_mean": found.last_ece_mean,
         "last_ece_worst": found.last_ece_worst, "failure_count": found.failure_count,
         "sure_share": found.sure_failures.value if found.sure_failures else None},
    )  # fmt: skip
