"""The widths of page and paper."""

import pytest

from failmodes.analysis.charts.style.theme import CHART_SIZES, PAGE


def test_page_is_wider_than_paper() -> None:
    assert PAGE.width_px == 680
    assert CHART_SIZES["paper"].width_px == pytest.approx(85 / 25.4 * 96, abs=1)
