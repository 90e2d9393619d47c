"""Which cells a statement is about, and which of them are missing."""

from typing import Any

import pytest

from failmodes.analysis.judging.cells import EvaluatedCells, MissingCell, StatementCells, find_cells
from failmodes.ingest.statements import as_statement
from failmodes.runtime.errors import StudyError

CLEAN = ("none", 0.0)
FOG = [("fog", 1.0), ("fog", 2.0)]
MINE = [("mine", 1.0), ("mine", 2.0)]
CANDIDATE = {CLEAN, *FOG, *MINE}


def found(candidate: Any = CANDIDATE, baseline: Any = CANDIDATE, **keys: Any) -> StatementCells:
    relation = {} if "relation" in keys else {"relation": "worse_by_at_most"}
    return find_cells(
        as_statement({"metric": "accuracy"} | relation | keys), EvaluatedCells(candidate, baseline), "rules"
    )


def cells_of(**keys: Any) -> list[tuple[str, float]]:
    return [cell for group in found(**keys).stated.values() for cell in group]


def test_what_a_rule_leaves_out_is_all_that_is_stored_but_clean() -> None:
    assert cells_of() == [*FOG, *MINE]
    assert found().missing == []
    assert cells_of(severities=[2]) == [FOG[1], MINE[1]]
    assert cells_of(severities="last") == [FOG[1], MINE[1]]
    assert cells_of(corruptions=["none"]) == [CLEAN]
    assert cells_of(corruptions=["mine", "none"]) == [*MINE, CLEAN]


def test_severities_that_are_left_out_are_the_whole_ones_of_all_that_is_compared() -> None:
    grid = {CLEAN, ("fog", 0.5), ("fog", 1.0), ("fog", 1.5), ("fog", 2.0), ("mine", 0.5), ("mine", 1.0)}
    beside = {"relation": "less_than", "other": {"corruptions": ["mine"]}, "corruptions": ["fog"]}
    assert cells_of(candidate=grid, corruptions=["fog"]) == FOG
    for over in ("mean", "each"):
        both = found(candidate=grid, baseline=grid, over=over, **beside)
        assert (both.stated, both.other) == ({"fog": FOG[:1]}, {"mine": MINE[:1]})
    apart = found(candidate=grid, baseline=grid, **beside | {"other": {"corruptions": ["mine"], "severities": [0.5]}})
    assert (apart.stated, apart.other) == ({"fog": FOG}, {"mine": [("mine", 0.5)]})


def test_a_cell_that_one_model_lacks_is_missing() -> None:
    less = CANDIDATE - {FOG[1]}
    assert found(candidate=less).missing == [MissingCell("fog", 2.0, "candidate")]
    assert found(baseline=less).missing == [MissingCell("fog", 2.0, "baseline")]
    assert found(corruptions=["fog"], severities=[3]).missing == [MissingCell("fog", 3.0, "both")]
    assert found(corruptions=["snow"]).missing == [MissingCell("snow", None, "both")]


def test_a_rule_that_does_not_compare_needs_nothing_of_the_baseline() -> None:
    alone = {"relation": "at_least", "limit": 0.5}
    assert found(baseline={CLEAN}, **alone).missing == []
    assert found(candidate={CLEAN, *FOG}, **alone).missing == [MissingCell(*cell) for cell in MINE]
    assert found(baseline=None, corruptions=["snow"], **alone).missing == [MissingCell("snow", None)]


def test_names_of_many_and_aliases() -> None:
    headline = found(corruptions=["headline"])
    assert headline.stated["fog"] == FOG
    assert len(headline.missing) == 14
    assert len(found(corruptions=["all"]).missing) == 18
    assert found(corruptions=["elastic"]).missing[0].corruption == "elastic_transform"


@pytest.mark.parametrize(
    ("name", "line"),
    [("foog", "did you mean 'fog'?"), ("Gaussian Noise", "did you mean 'gaussian_noise'?"),
     ("minee", "did you mean 'mine'?"), ("os:system", "expected none, headline")],
)  # fmt: skip
def test_an_unknown_name_is_an_error(name: str, line: str) -> None:
    with pytest.raises(StudyError, match="rules.corruptions: unknown corruption") as raised:
        cells_of(corruptions=[name])
    assert line in str(raised.value)
