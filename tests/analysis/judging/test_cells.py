"""Which cells a rule is about, and which of them are missing."""

from typing import Any

import pytest

from failmodes.analysis.gate.rule_cells import MissingCell, find_rule_cells
from failmodes.ingest.statements import GateRule
from failmodes.warehouse.errors import StudyError

CLEAN = ("none", 0.0)
FOG = [("fog", 1.0), ("fog", 2.0)]
MINE = [("mine", 1.0), ("mine", 2.0)]
CANDIDATE = {CLEAN, *FOG, *MINE}


def cells_of(candidate: Any = CANDIDATE, baseline: Any = CANDIDATE, **keys: Any) -> Any:
    limit = {} if "at_least" in keys else {"worse_by_at_most": 0.1}
    return find_rule_cells(GateRule(metric="accuracy", **limit, **keys), candidate, baseline, "rules")


def test_what_a_rule_leaves_out_is_all_that_is_stored_but_clean() -> None:
    assert cells_of() == ((*FOG, *MINE), ())
    assert cells_of(severities=[2]).present == (FOG[1], MINE[1])
    assert cells_of(corruptions=["none"]).present == (CLEAN,)
    assert cells_of(corruptions=["mine", "none"]).present == (*MINE, CLEAN)


def test_a_cell_that_one_model_lacks_is_missing() -> None:
    less = CANDIDATE - {FOG[1]}
    assert cells_of(candidate=less).missing == (MissingCell("fog", 2.0, "candidate"),)
    assert cells_of(baseline=less).missing == (MissingCell("fog", 2.0, "baseline"),)
    assert cells_of(corruptions=["fog"], severities=[3]).missing == (MissingCell("fog", 3.0, "both"),)
    assert cells_of(corruptions=["snow"]).missing == (MissingCell("snow", None, "both"),)


def test_a_rule_that_does_not_compare_needs_nothing_of_the_baseline() -> None:
    assert cells_of(baseline={CLEAN}, at_least=0.5) == ((*FOG, *MINE), ())
    assert cells_of(candidate={CLEAN, *FOG}, at_least=0.5).missing == tuple(MissingCell(*c, "candidate") for c in MINE)
    assert cells_of(baseline=None, at_least=0.5, corruptions=["snow"]).missing == (
        MissingCell("snow", None, "candidate"),
    )


def test_names_of_many_and_aliases() -> None:
    headline = cells_of(corruptions=["headline"])
    assert headline.present == tuple(FOG)
    assert len(headline.missing) == 14
    assert len(cells_of(corruptions=["all"]).missing) == 18
    assert cells_of(corruptions=["elastic"]).missing[0].corruption == "elastic_transform"


@pytest.mark.parametrize(
    ("name", "line"),
    [("foog", "did you mean 'fog'?"), ("Gaussian Noise", "did you mean 'gaussian_noise'?"),
     ("minee", "did you mean 'mine'?"), ("os:system", "known are none, headline")],
)  # fmt: skip
def test_an_unknown_name_is_an_error(name: str, line: str) -> None:
    with pytest.raises(StudyError, match="rules.corruptions: unknown corruption") as raised:
        cells_of(corruptions=[name])
    assert line in str(raised.value)
