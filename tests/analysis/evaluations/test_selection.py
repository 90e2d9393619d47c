"""Selections of evaluations that one chart may compare: filters, and what they refuse."""

from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_results import Synthetic

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection, select
from failmodes.runtime.errors import StudyError
from failmodes.warehouse.database.connection import open_warehouse


def test_selection_filters_and_refuses_what_is_not_there(shaped_warehouse: Path) -> None:
    with open_warehouse(shaped_warehouse) as con:
        (selection,) = select(con, models=["Beta"], corruptions=["fog", "contrast"])
        assert list(selection.labels.values()) == ["Beta"]
        assert selection.corruptions == ("fog", "contrast")
        with pytest.raises(StudyError, match="no model 'Gamma'.*Alpha and Beta"):
            select(con, models=["Gamma"])
        with pytest.raises(StudyError, match="no corruption 'snow'"):
            select(con, corruptions=["snow"])
        with pytest.raises(StudyError, match="no corruption 'fgo'.*did you mean 'fog'"):
            select(con, corruptions=["fgo"])


@pytest.mark.test_all
def test_four_characters_of_an_evaluation_id_name_it(shaped_warehouse: Path, synthetic: Synthetic) -> None:
    evaluation_id = synthetic.evaluations["Beta"]
    with open_warehouse(shaped_warehouse) as con:
        (selection,) = select(con, evaluations=[evaluation_id[:4]])
        assert selection.ids == [evaluation_id]
        with pytest.raises(StudyError, match="no evaluation"):
            select(con, evaluations=[evaluation_id[:3]])


def test_chance_is_among_all_that_may_be_the_prediction() -> None:
    facts = [
        {"class_protocol": protocol, "class_count": 4, "output_count": 1000} for protocol in ("subset", "all", None)
    ]
    one, all_, none = (
        Selection((EvaluationInfo(str(index), str(index), fact),), ("fog",), None) for index, fact in enumerate(facts)
    )
    assert (one.chance, all_.chance, none.chance) == (0.25, 0.001, 0.25)
    assert replace(one, evaluations=one.evaluations + none.evaluations).chance == 0.25
    assert replace(one, evaluations=one.evaluations + all_.evaluations).chance is None
    facts[1]["output_count"] = None
    assert all_.chance is None
