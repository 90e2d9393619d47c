"""Findings on confidence: many networks are counted, not listed."""

from failmodes.analysis.findings.calibration import overconfidence_tally
from failmodes.analysis.statistics.bootstrap import Estimate


def test_confidence_is_tallied() -> None:
    over, under, neither = Estimate(0.2, 0.1, 0.3), Estimate(-0.05, -0.08, -0.02), Estimate(0.01, -0.01, 0.03)
    last = {"A": over, "B": neither, "C": Estimate(0.3, 0.2, 0.4), "D": under, "E": neither}
    assert overconfidence_tally(last, [over, neither, neither, under, under]) == (
        "Of 5 networks at the last severity, 2 are overconfident, most of all C by 30.0\u00a0points "
        "[20.0,\u00a040.0]; 1 is underconfident, most of all D by 5.0\u00a0points [2.0,\u00a08.0] "
        "(when clean 1 over-, 2 underconfident; all beyond noise)"
    )
    assert "none is underconfident" in overconfidence_tally({"A": over}, [over])
