"""Every kind of finding has a place in the report, and so has every chart."""

from failmodes.analysis.charts.drawing import CHARTS
from failmodes.analysis.judging.findings.kind import KINDS
from failmodes.analysis.report.topics import FIRST_SCREEN, IN_COMPARISON, IN_GALLERY, TOPICS


def test_every_kind_of_finding_is_reported_once() -> None:
    assert sorted(kind for topic in TOPICS for kind in topic.kinds) == sorted(KINDS)


def test_every_chart_is_shown_once() -> None:
    shown = [name for topic in TOPICS for name in (*topic.charts, *topic.more)]
    assert sorted([*shown, FIRST_SCREEN, IN_GALLERY, IN_COMPARISON]) == sorted(CHARTS)
