"""Costs of corruptions against the record: paired, by the last severity and on average."""

from pathlib import Path

import pytest
from synthetic_record import Synthetic

from failmodes.analysis.selection import select_one
from failmodes.analysis.statistics.bootstrap import Resampling
from failmodes.analysis.statistics.corruption_cost import rank_costs
from failmodes.warehouse.database.connection import open_warehouse


def test_ranking_is_paired_and_by_the_last_severity(shaped_warehouse: Path, synthetic: Synthetic) -> None:
    with open_warehouse(shaped_warehouse) as con:
        selection = select_one(con)
        ranking = rank_costs(con, selection, selection.evaluations[0], Resampling(200))
    drops = {c: float(r[0].mean() - r[-1].mean()) for (m, c), r in synthetic.correct.items() if m == "Alpha"}
    by_hand = sorted(drops.values(), reverse=True)
    assert [cost.at_last.value for cost in ranking.costs] == pytest.approx(by_hand)
    assert ranking.costs[0].corruption == "gaussian_noise"
    assert ranking.lead is not None
    assert ranking.lead.value == pytest.approx(by_hand[0] - by_hand[1])
    assert ranking.by_average[0].corruption == "motion_blur"
