"""Parts of error messages: counts with their nouns, and names near to an unknown one."""

import pytest

from failmodes.runtime.errors import counted, did_you_mean


@pytest.mark.parametrize(
    ("count", "words", "text"),
    [
        (0, ("image",), "0 images"),
        (1, ("image",), "1 image"),
        (2000, ("image",), "2,000 images"),
        (1, ("class", "classes"), "1 class"),
        (3, ("class", "classes"), "3 classes"),
    ],
)
def test_a_noun_agrees_with_its_count(count: int, words: tuple[str, ...], text: str) -> None:
    assert counted(count, *words) == text


def test_a_near_name_is_found_in_any_case_and_given_in_its_own() -> None:
    assert "'ResNet-18'" in did_you_mean("RESNET-18", ["ResNet-18", "DenseNet-121"])
    both = did_you_mean("NET", ["Net", "net", "other"], most=2)
    assert "'Net'" in both
    assert "'net'" in both
    assert did_you_mean("xyz", ["abc"], "see the list") == "see the list"
