"""Frames: widths on paper, even grids of panels, names that do not overlap."""

import pytest

from failmodes.analysis.charts.style.frame import (
    frame_of,
)
from failmodes.warehouse.errors import StudyError


def test_layouts_are_widths() -> None:
    assert frame_of("paper").width_mm == pytest.approx(85)
    assert frame_of("page").width_mm == pytest.approx(180)
    assert frame_of("paper", "180mm").width_mm == pytest.approx(180)
    for same in ("85mm", "8.5cm", " 85 mm ", "3.346457in", "240.9449pt", "321.2598px"):
        assert frame_of("page", same).width_mm == pytest.approx(85, abs=1e-4)


@pytest.mark.parametrize("bad", ["85", "-85mm", "nan mm", "9000mm", "85mm;", "", "٨٥mm"])
def test_other_widths_are_refused_in_one_line(bad: str) -> None:
    with pytest.raises(StudyError, match=r"width .*85mm") as refused:
        frame_of("page", bad)
    assert "\n" not in str(refused.value)
