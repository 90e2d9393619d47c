"""Numbers, lists and labels as a reader sees them."""

from failmodes.analysis.render.formatting import (
    format_interval,
    format_number,
    format_percent,
    format_points,
    join_names,
    lower_label,
)
from failmodes.analysis.statistics.estimate import Estimate


def test_numbers_as_a_reader_sees_them() -> None:
    assert format_number(-0.04, 1) == "0.0"
    assert format_number(-1.25, 1, signed=True) == "\u22121.2"
    assert format_percent(0.9478) == "94.8%"
    assert format_points(-0.431) == "\u221243.1\u00a0points"
    assert format_interval(0.1, 0.25) == "[10.0,\u00a025.0]"
    assert join_names(["a", "b", "c"]) == "a, b and c"
    assert lower_label("Fog") == "fog"
    assert lower_label("Gaussian noise") == "Gaussian noise"
    assert lower_label("JPEG compression") == "JPEG compression"
    assert Estimate(1, 0.5, 2).above_zero
    assert not Estimate(1, -0.5, 2).above_zero
