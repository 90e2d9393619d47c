"""Ticks of a severity axis, and an even choice of severities."""

from failmodes.analysis.charts.style.axes import evenly_spaced, panel_title, severity_ticks

DENSE = [step / 4 for step in range(1, 21)]


def test_ticks_and_thinning() -> None:
    assert severity_ticks(5) == [0, 1, 2, 3, 4, 5]
    assert severity_ticks(2.5) == [0, 1, 2]
    assert severity_ticks(0.75) == [0, 0.75]
    assert evenly_spaced([0, *DENSE], 6) == [0, 1, 2, 3, 4, 5]
    assert evenly_spaced([0, 1, 2], 6) == [0, 1, 2]


def test_the_title_of_a_panel_is_no_wider_than_the_panel() -> None:
    assert panel_title("ResNet-18", 200).to_dict()["text"] == "ResNet-18"
    wide = panel_title("ResNet-18 (width 16, trained with AugMix), contrast at severity 5", 200).to_dict()
    assert len(wide["text"]) > 1
    assert " ".join(wide["text"]) == "ResNet-18 (width 16, trained with AugMix), contrast at severity 5"
    assert wide["limit"] == 200
