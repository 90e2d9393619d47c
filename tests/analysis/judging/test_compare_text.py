"""What a comparison says: who is better by how much, what is shown of the margin, and what must be known of images."""

from dataclasses import replace

import pytest
from model_comparisons import around, compared, few_images, inconclusive, of_different_images, over_seeds

from failmodes.analysis.judging.compare import Comparison
from failmodes.analysis.judging.compare_text import ComparisonText
from failmodes.analysis.statistics.image_pairing import ImagePairing


def text_of(comparison: Comparison) -> str:
    """All sentences with plain spaces."""
    return "\n".join(ComparisonText(comparison).sentences).replace("\u00a0", " ").replace("\u2212", "-")


def test_the_headline_names_the_worse_with_a_positive_size() -> None:
    assert text_of(compared()).splitlines()[0] == (
        "Beta is right less often than Alpha under corruption: by 2.2 points [1.4, 3.0] on average over 3 corruptions, "
        "on the same 500 images (checkpoints, one training run each)."
    )


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        (
            compared(),
            "Beta is shown to be more than 1 point worse: the difference is below -1.5 points (one-sided, 95 %)",
        ),
        (
            over_seeds(),
            "Beta is shown to be at most 1 point worse: the difference is above +0.2 points (one-sided, 95 %)",
        ),
        (inconclusive(), "Whether Beta is more than 1 point worse is inconclusive: about 4,300 images would decide it"),
        (replace(inconclusive(), images_needed=None), "no number of images would decide it"),
    ],
    ids=["contradicted", "supported", "inconclusive", "on the margin"],
)
def test_of_the_margin_it_says_what_is_shown(comparison: Comparison, expected: str) -> None:
    assert expected in text_of(comparison)


def test_what_is_inconclusive_is_no_claim() -> None:
    text = text_of(inconclusive())
    assert text.startswith("Whether Beta or Alpha is right more often under corruption is inconclusive: -0.1 points")
    assert "Left out are 2 cells that only one of the two has: snow 3 and snow 5." in text


def test_training_is_spoken_of_over_seeds_alone() -> None:
    assert "(over training seeds: 2 of Alpha, 3 of Beta)" in text_of(over_seeds())
    one_sided = replace(over_seeds(), is_about_training=False, b=compared().b)
    assert "(these checkpoints only: 2 training runs of Alpha and 1 training run of Beta)" in text_of(one_sided)


def test_how_images_pair_is_reported_where_it_is_not_the_rule() -> None:
    assert "compared" not in text_of(compared())
    different = text_of(of_different_images())
    assert "on different images (500 images of Alpha, 400 images of Beta)" in different
    assert "compared as independent samples, not image by image: they are of different data sets." in different
    other_pixels = replace(compared(), pairing=ImagePairing("same", 500, "another source of corruptions"))
    assert "They are compared on the same clean images: another source of corruptions." in text_of(other_pixels)


def test_few_images_have_figures_and_no_verdict() -> None:
    text = text_of(few_images())
    assert "Beta is right on 63.3 % and Alpha on 65.5 % of corrupted images" in text
    assert "12 images are too few for findings; at least 30 are needed." in text
    for word in ("less often", "contradicted", "cross", "inconclusive"):
        assert word not in text
    assert "less often" not in ComparisonText(few_images()).headline


def test_cells_are_counted_and_the_test_is_named() -> None:
    said = ComparisonText(compared()).cells_sentence.replace("\u00a0", " ")
    assert said.startswith(
        "Of 16 cells, clean included, Beta is right more often in 1, Alpha in 6, and 9 are inconclusive"
    )
    assert "exact McNemar tests with Holm's correction over all of them, at 5 %" in said
    assert "McNemar" not in ComparisonText(of_different_images()).cells_sentence


def test_a_crossover_says_who_is_ahead_where() -> None:
    assert (
        "Under contrast the curves cross at severity 2.4: Alpha is shown ahead at severity 2, Beta at severity 3."
        in text_of(compared())
    )


@pytest.mark.parametrize(("margin", "text"), [(0.01, "1 point"), (0.005, "0.5 points"), (0.02, "2 points")])
def test_the_margin_is_named_in_points(margin: float, text: str) -> None:
    assert ComparisonText(replace(compared(), margin=margin)).margin.replace("\u00a0", " ") == text


def test_a_mean_over_headline_corruptions_counts_those() -> None:
    some = replace(
        compared(), averaged=("fog", "contrast"), overall=replace(compared().overall, difference=around(-0.03))
    )
    assert "on average over 2 corruptions" in text_of(some)
