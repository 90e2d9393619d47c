"""A comparison on a terminal: sentences first, every table, no line wider than it, nothing that a terminal runs."""

from dataclasses import replace

import pytest
from model_comparisons import around, compared, few_images, inconclusive, of_different_images, over_seeds

from failmodes.analysis.comparison.terminal_text import as_text
from failmodes.analysis.statistics.model_comparison import Comparison, MetricComparison

CASES = [compared, few_images, inconclusive, of_different_images, over_seeds]


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("make", CASES)
def test_no_line_is_wider_than_the_terminal(make, width: int) -> None:
    assert max(map(len, as_text(make(), width).splitlines())) <= width


def test_it_has_headline_tables_and_source() -> None:
    text = as_text(compared()).replace("\u00a0", " ").replace("\u2212", "-")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[:2] == ["A: Alpha", "B: Beta; differences are B minus A"]
    for line in (
        "Mean of 3 65.5 63.3 -2.2 [-3.0, -1.4]",
        "Contrast 65.0 66.5 +1.5 [0.7, 2.3] 2.4 [2, 3]",
        "Gaussian noise -2.0 -4.0* -6.0* -8.0* -10.0*",
        "17 one 8 Fog 2 one seven",
        "34 one 7 Fog 2 one another class",
    ):
        assert line in lines


def test_other_metrics_tell_the_smallest_difference_in_their_unit() -> None:
    """Half of the interval is 0.008: with 80 % chance 0.008 (1 + 0.8416 / 1.96) is shown."""
    brier = MetricComparison("brier", "Brier score", "score", "lower", "corrupted", 0.6, 0.6, around(0.0))
    clean = replace(brier, cells="clean", difference=around(0.0, 0.5))
    comparison = replace(compared(), metrics=(*compared().metrics, brier, clean))
    text = " ".join(as_text(comparison, 200).replace("\u00a0", " ").split())
    message = "expected calibration error 1.1 points; Brier score 0.011."
    assert f"Smallest difference under corruption shown in 80 % of samples: {message}" in text
    assert "Smallest difference under" not in as_text(replace(comparison, metrics=(clean,)), 200)


def test_without_single_images_it_says_why() -> None:
    assert "the two were evaluated on different images" in as_text(of_different_images(), 200)
    assert "a model of several training runs gives each image several answers" in as_text(over_seeds(), 200)


def test_few_images_decide_no_cell() -> None:
    assert "*" not in as_text(few_images())


def test_names_cannot_steer_the_terminal() -> None:
    malicious: Comparison = compared("\x1b[31mred\x1b]0;title\x07", "[bold]b[/bold]\nnew line")
    text = as_text(malicious)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[bold]b[/bold] new line" in text
