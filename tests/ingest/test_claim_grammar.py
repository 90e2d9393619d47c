"""Claims: what is printed is read back, every form in several spellings, and one line for what is no claim."""

import re
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failmodes.ingest.claim_forms import (
    ATTENTION_WORDS,
    AVERAGE,
    LAST,
    SHAPE_WORDS,
    AccuracyLimit,
    AttentionClaim,
    BetterModel,
    Claim,
    DropComparison,
    DropLimit,
    LargestDrop,
    ShapeClaim,
)
from failmodes.ingest.claim_grammar import FORMS, MOST_LETTERS, parse_claim, read_claims
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.warehouse.database.claim_tables import MOST_CLAIMS
from failmodes.warehouse.errors import StudyError, printable, shown

READ: dict[str, Claim] = {
    "fog costs more than gaussian_noise": DropComparison("fog", "gaussian_noise", True),
    "Gaussian noise costs less than JPEG compression at 2.5": DropComparison(
        "gaussian_noise", "jpeg_compression", False, 2.5
    ),
    "contrast costs more than fog at the last severity for resnet18": DropComparison(
        "contrast", "fog", True, LAST, "resnet18"
    ),
    "contrast costs up to 43 points at 5": DropLimit("contrast", "at most", 43, 5.0),
    "contrast costs less than 10.5 points": DropLimit("contrast", "less than", 10.5),
    'fog costs over 1 point on average for "Net A"': DropLimit("fog", "more than", 1, AVERAGE, "Net A"),
    "fog costs most": LargestDrop("fog"),
    "fog costs the most at last": LargestDrop("fog", LAST),
    "Contrast is near-linear.": ShapeClaim("contrast", "near_linear"),
    "contrast falls near-linearly": ShapeClaim("contrast", "near_linear"),
    "fog collapses at the higher severities": ShapeClaim("fog", "late_collapse"),
    "motion blur falls early and levels off for resnet18": ShapeClaim("motion_blur", "early_drop", "resnet18"),
    "fog stays flat": ShapeClaim("fog", "flat"),
    "elastic rises": ShapeClaim("elastic_transform", "rise"),
    "densenet121 better than resnet18": BetterModel("densenet121", "resnet18"),
    '"Net A" is worse than "Net \\"B\\"" under fog at 3': BetterModel('Net "B"', "Net A", "fog", 3.0),
    "a better than b when clean": BetterModel("a", "b", "none"),
    "accuracy is above 90 % when clean": AccuracyLimit("more than", 90, "none"),
    "accuracy is below 30% under fog at 5 for net": AccuracyLimit("less than", 30, "fog", 5.0, "net"),
    "accuracy is at least 50 per cent on average": AccuracyLimit("at least", 50),
    "attention is on the object when clean": AttentionClaim("on_object", "none"),
    "attention drifts to the background under contrast": AttentionClaim("leaves_object", "contrast"),
    "attention loses its localization under fog at the last severity": AttentionClaim("loses_place", "fog"),
}  # fmt: skip

REFUSED = {
    "": "is not understood: claims are such as fog costs more than",
    "fog kosts more than gaussian_noise": "did you mean 'fog costs more than gaussian_noise'?",
    "fogg is flat": "unknown corruption 'fogg': did you mean 'fog'?",
    "fog and contrast cost more than gaussian_noise": "unknown corruption 'fog and contrast'",
    "fog costs more than fog": "compares fog with itself",
    "a better than a": "compares a with itself",
    "fog costs most at 3": "leave out at 3",
    "fog costs more than contrast at 0": "severity 0: expected one above 0 and up to 5",
    "fog costs more than contrast at 9": "severity 9",
    "fog costs less than 101 points": "101 is too large",
    "accuracy is at least 900 % when clean": "900 is too large",
    "attention leaves the object": "is not understood",
    "attention leaves the object when clean": "say under which corruption",
    "attention leaves the object under fog at 3": "attention is judged at the last severity",
    "fog is flat for a model": 'names of several words in "quotation marks"',
    '"a"b better than c': "is not understood",
    "none is flat": "unknown corruption 'none'",
    "fog is \x1b[31mflat": "holds letters that cannot be printed",
    "fog is flat\u202e": "holds letters that cannot be printed",
    "fog " * 60: "expected at most 200",
}

corruptions = st.sampled_from(sorted(CORRUPTIONS))
severities = st.integers(1, 5000).map(lambda thousandths: thousandths / 1000)
limits = st.integers(0, 100_000).map(lambda thousandths: thousandths / 1000)
names = st.text(min_size=1, max_size=20).map(lambda text: " ".join(text.split())).filter(
    lambda text: text and printable(text) == text
)  # fmt: skip
models = st.none() | names
at = st.sampled_from([AVERAGE, LAST]) | severities
relations = st.sampled_from(["less than", "at most", "more than", "at least"])
places = st.tuples(corruptions, at) | st.sampled_from([(None, AVERAGE), ("none", AVERAGE)])


@st.composite
def claims(draw: st.DrawFn) -> Claim:
    """A claim of any form."""
    corruption, model = draw(corruptions), draw(models)
    other = draw(corruptions.filter(lambda name: name != corruption))
    kind = draw(st.sampled_from(sorted(ATTENTION_WORDS)))
    under = draw(st.sampled_from([corruption, "none"])) if kind == "on_object" else corruption
    one = draw(names)
    return draw(
        st.sampled_from([
            DropComparison(corruption, other, draw(st.booleans()), draw(at), model),
            DropLimit(corruption, draw(relations), draw(limits), draw(at), model),
            LargestDrop(corruption, draw(st.sampled_from([AVERAGE, LAST])), model),
            ShapeClaim(corruption, draw(st.sampled_from(sorted(SHAPE_WORDS))), model),
            BetterModel(one, draw(names.filter(lambda name: name != one)), *draw(places)),
            AccuracyLimit(draw(relations), draw(limits), *draw(places), model),
            AttentionClaim(kind, under, model),
        ])
    )  # fmt: skip


@given(claims())
def test_what_is_printed_is_read_back(claim: Claim) -> None:
    if len(str(claim)) <= MOST_LETTERS:
        assert parse_claim(str(claim)) == claim


@given(st.text(max_size=300))
def test_any_text_is_a_claim_or_one_line(text: str) -> None:
    said = ""
    try:
        parse_claim(text)
    except StudyError as error:
        said = str(error)
    assert printable(said) == said


@pytest.mark.parametrize(("text", "claim"), READ.items())
def test_a_form_is_read(text: str, claim: Claim) -> None:
    assert parse_claim(text) == claim


@pytest.mark.parametrize("text", FORMS)
def test_what_an_error_lists_can_be_said(text: str) -> None:
    assert parse_claim(str(parse_claim(text))) == parse_claim(text)


@pytest.mark.parametrize(("text", "says"), REFUSED.items())
def test_what_is_no_claim_is_one_line(text: str, says: str) -> None:
    with pytest.raises(StudyError) as error:
        parse_claim(text)
    assert says in str(error.value)
    assert len(str(error.value).splitlines()) == 1


LABELS = ("DenseNet-121, 7 epochs", "ResNet-18, 8 epochs", "ResNet-18", "ResNet-18, 8", 'Net "B" two', "A(1) net.")


@pytest.mark.parametrize(("text", "meant"), {
    "DenseNet-121, 7 epochs better than ResNet-18, 8 epochs on average":
        '"DenseNet-121, 7 epochs" better than "ResNet-18, 8 epochs" on average',
    "densenet-121,  7 epochs is worse than ResNet-18":
        '"DenseNet-121, 7 epochs" is worse than ResNet-18',
    "accuracy is above 50 % under fog for ResNet-18, 8 epochs.":
        'accuracy is above 50 % under fog for "ResNet-18, 8 epochs".',
    '"ResNet-18, 8 epochs" better than DenseNet-121, 7 epochs':
        '"ResNet-18, 8 epochs" better than "DenseNet-121, 7 epochs"',
    'fog is flat for Net "B" two': 'fog is flat for "Net \\"B\\" two"',
    "fog is flat for A(1) net..": 'fog is flat for "A(1) net.".',
}.items())  # fmt: skip
def test_names_without_their_quotation_marks_are_shown_with_them(text: str, meant: str) -> None:
    with pytest.raises(StudyError) as error:
        parse_claim(text, models=LABELS)
    message = (
        f"claim {shown(text)} is not understood: did you mean {meant!r}? Names of several words stand in quotation"
    )
    assert str(error.value).startswith(message)
    parse_claim(meant)


@pytest.mark.parametrize(
    "text", [*REFUSED, "Oak, 7 epochs better than Elm, 8 epochs on average", "ResNet-18, 8 epochs"]
)
def test_where_quotation_marks_would_not_do_the_error_is_as_before(text: str) -> None:
    errors = []
    for models in ((), LABELS):
        with pytest.raises(StudyError) as error:
            parse_claim(text, models=models)
        errors.append(str(error.value))
    assert errors[0] == errors[1]


def test_own_corruptions_are_known_by_name_and_label() -> None:
    known = [("vignette_2", "Dark corners")]
    assert parse_claim("dark corners is flat", known) == ShapeClaim("vignette_2", "flat")
    assert parse_claim("vignette_2 costs most", known) == LargestDrop("vignette_2")
    with pytest.raises(StudyError, match="unknown corruption 'vignette_2'"):
        parse_claim("vignette_2 costs most")


def test_the_page_of_claims_says_what_can_be_said() -> None:
    page = (Path(__file__).parents[2] / "docs" / "claims.md").read_text(encoding="utf-8")
    table = page[page.index("| claim |") : page.index("- **Where.**")]
    firsts = [line.split("|")[1] for line in table.splitlines()[2:] if line]
    said = [text for first in firsts for text in re.findall(r"`([^`]+ [^`]+)`", first.split("(")[0])]
    assert {type(parse_claim(text)) for text in said} == set(get_args(Claim))
    assert {claim.shape for text in said if isinstance(claim := parse_claim(text), ShapeClaim)} == set(SHAPE_WORDS)
    kinds = {claim.kind for text in said if isinstance(claim := parse_claim(text), AttentionClaim)}
    assert kinds == set(ATTENTION_WORDS)


def test_a_label_never_hides_a_name() -> None:
    assert parse_claim("fog is flat", [("snow_2", "Fog"), ("none", "Clean")]) == ShapeClaim("fog", "flat")
    with pytest.raises(StudyError, match="unknown corruption 'clean'"):
        parse_claim("clean is flat", [("none", "Clean")])


def test_claims_are_kept_once_in_their_order() -> None:
    found = read_claims(["fog  is\nflat", "fog costs most", "fog is flat"])
    assert [claim.text for claim in found] == ["fog is flat", "fog costs most"]


def test_too_many_claims_are_refused() -> None:
    with pytest.raises(StudyError, match="101 claims are given: expected at most 100"):
        read_claims(["fog is flat"] * (MOST_CLAIMS + 1))


def test_a_claim_is_a_text() -> None:
    with pytest.raises(StudyError, match="a claim is a text, not 3"):
        read_claims(["fog is flat", 3])  # type: ignore[list-item]
