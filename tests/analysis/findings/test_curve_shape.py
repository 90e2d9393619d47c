"""Findings on shapes and collapse, by name."""

from model_comparisons import of_topic

from failmodes.analysis.findings.finding import Finding


def test_shapes_and_collapse_are_named(all_findings: list[Finding]) -> None:
    shape, collapse = of_topic(all_findings, "Shape")[0], of_topic(all_findings, "Collapse")[0]
    assert shape.figures["shape_fog"] == "late_collapse"
    assert "fog: late collapse" in shape.headline
    assert "between severity 4 and 5" in collapse.headline
    assert "39.8\u00a0points, under fog" in collapse.headline
