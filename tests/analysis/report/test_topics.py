"""Every kind of finding has a place in the report, and so has every chart."""

from failmodes.analysis.chart_registry import warehouse_charts
from failmodes.analysis.judging.findings.registry import all_kinds
from failmodes.analysis.report.topics import FINDINGS, FIRST_SCREEN, IN_COMPARISON, MORE_CHARTS, TOPICS


def test_every_kind_of_finding_has_its_part_and_every_part_a_kind() -> None:
    assert {kind.section for kind in all_kinds().values()} == set(FINDINGS)
    assert {topic.key for topic in TOPICS} <= set(FINDINGS)


def test_every_chart_is_shown_once() -> None:
    in_gallery = "exemplars"
    shown = [*(topic.chart for topic in TOPICS), *MORE_CHARTS]
    assert sorted([*shown, FIRST_SCREEN, in_gallery, IN_COMPARISON]) == warehouse_charts()
