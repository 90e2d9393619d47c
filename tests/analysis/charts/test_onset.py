"""Failure onset: the title counts instead of listing where there are many networks."""

import duckdb
from model_comparisons import FALLS

from failmodes.analysis.charts.onset import _finding as onset_sentence
from failmodes.analysis.selection import Selection


def test_onset_is_tallied(many_con: duckdb.DuckDBPyConnection, many_selection: Selection) -> None:
    rows = many_con.sql("select * from onset_by_corruption order by corruption, severity").pl()
    named = rows.with_columns(label=rows["model_label"])
    ends = named.filter(severity=5).group_by("label").agg(worst=named["surviving_share"].min())
    assert len(ends) == 6
    told = onset_sentence(named, list(FALLS))
    lowest = {label: named.filter(label=label, severity=5)["surviving_share"].min() for label in FALLS}
    few = sum(share < 0.5 for share in lowest.values())
    least = min(lowest, key=lowest.__getitem__)
    assert f"{few} of 6 networks keep less than half" in told
    assert f"fewest are left in {least}, which keeps {100 * lowest[least]:.0f}\u00a0% of its right answers" in told
