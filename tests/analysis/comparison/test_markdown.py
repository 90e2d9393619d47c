"""A comparison in a pull request: short, its tables whole, and nothing in a name is markup."""

import re

import pytest
from model_comparisons import compared, few_images, inconclusive, of_different_images, over_seeds

from failmodes.analysis.comparison.markdown import as_markdown
from failmodes.warehouse.markdown import harmless

MALICIOUS = "a|b <img src=x onerror=alert(1)> `code` @someone #12 [x](http://e.org)\n\n# heading"
CODE = re.compile(r"(`+).*?[^`]\1(?!`)")


def rows_of(text: str) -> list[list[str]]:
    """Cells of the lines of tables; a bar after a backslash parts none."""
    return [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("make", [compared, few_images, inconclusive, of_different_images, over_seeds])
def test_it_is_short_and_begins_with_the_headline(make) -> None:
    text = as_markdown(make())
    assert text.count("\n") <= 60
    assert len(text) <= 3000
    assert text.startswith("**")
    assert text.count("<details>") == text.count("</details>") > 0


def test_every_row_of_a_table_has_the_cells_of_its_heading() -> None:
    for comparison in (compared(), compared(MALICIOUS, "B|B")):
        counts = [len(row) for row in rows_of(as_markdown(comparison))]
        tables = as_markdown(comparison).count("| --- |")
        assert len(counts) > 3 * tables
        starts = [i for i, row in enumerate(rows_of(as_markdown(comparison))) if row[0].strip() == "---"]
        for start, end in zip(starts, [s - 1 for s in starts[1:]] + [len(counts)], strict=True):
            assert len(set(counts[start - 1 : end])) == 1


def test_nothing_in_a_name_is_markup() -> None:
    text = as_markdown(compared(MALICIOUS, "Net_B *x* www.e.org"))
    outside = CODE.sub("", text)
    for part in ("<img", "@someone", "#12", "www.", "*x*", "](", "# heading"):
        assert part not in outside, part
    assert "\n# heading" not in text


@pytest.mark.parametrize(
    "plain", ["ResNet-18", "Gaussian noise", "Net, seed 1", "DenseNet-121 (width 8)", "ViT+reg 0.5", "1.5 x", "3, 4"]
)
def test_plain_names_stay_as_they_are(plain: str) -> None:
    assert harmless(plain) == plain


@pytest.mark.parametrize(
    "text",
    [
        "a`b",
        "``",
        "`x`",
        "a_b",
        "@me",
        "GH-12",
        "see www.x.org",
        "<b>",
        "a|b",
        "~x~",
        "&lt;",
        "1. x",
        "2) x",
        "- x",
        "> x",
        "# x",
        "://x",
        "<!-- x -->",
        "a@b.org",
        "::x",
    ],
)
def test_other_names_are_code(text: str) -> None:
    assert CODE.fullmatch(harmless(text)), harmless(text)


def test_long_names_stand_beneath_as_letters() -> None:
    text = as_markdown(compared("A rather long name of a model", "Beta"))
    assert "- A: A rather long name of a model; B: Beta" in text
    assert "| Corruption | A | B | B \u2212 A |" in text
