"""Loading of models: stated facts, their precedence, class maps, and errors before the first batch."""

import pytest
from model_specs import dataset_of, model_spec
from torchvision.models._meta import _IMAGENET_CATEGORIES

from failmodes.evaluate.models.load import load_model, map_classes
from failmodes.evaluate.models.model import OutputMap
from failmodes.evaluate.study.study_schema import Normalization
from failmodes.ingest.datasets.imagenet_classes import SHARED_NAMES, by_wordnet_id, imagenet_names
from failmodes.runtime.errors import ModelError, StudyError

NEUTRAL = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}

UNFIT = {
    "no normalization": ("Silent", {}, "does not state its normalization"),
    "an invalid normalization": ("Wrong", {}, "an invalid normalization"),
    "another side": ("Net", {}, "expects images of 8×8 px, .* are 16×16"),
    "two outputs of a name": ("Net", {"input_side_px": 8, "class_names": ["a", "a"]}, "'a' matches outputs 0 "),
    "more outputs": ("Many", {"normalization": NEUTRAL}, "1000 outputs, .* 3 classes"),
    "fewer outputs than said": (
        "Silent", {"normalization": NEUTRAL, "class_map": {"a": 7, "b": 1, "c": 2}}, "output 7, but .* 0 to 2",
    ),
    "no logits": ("Maps", {"normalization": NEUTRAL}, r"returns \(1, 3, 16, 16\)"),
    "two results": ("Both", {"normalization": NEUTRAL}, "output_key"),
}  # fmt: skip

OF_THE_MODEL = ("an invalid normalization", "no logits")  # not of what the study says of it


@pytest.mark.parametrize("case", UNFIT)
def test_a_users_model_that_does_not_fit_is_refused_before_the_first_batch(case: str, user_module: str) -> None:
    function, changes, message = UNFIT[case]
    with pytest.raises(ModelError if case in OF_THE_MODEL else StudyError, match=message) as caught:
        load_model(model_spec(f"{user_module}:{function}", **changes), dataset_of(16))
    assert "\n" not in str(caught.value)


OTHER = {"mean": [0.1, 0.2, 0.3], "std": [1.0, 1.0, 1.0]}


def test_a_users_model_states_its_normalization_size_and_classes(user_module: str) -> None:
    model = load_model(model_spec(f"{user_module}:Named"), dataset_of(8))
    assert (model.output_map.class_outputs, model.preprocessing.input_side_px) == ([1, 2, 0], 8)
    assert model.preprocessing.normalization == Normalization.model_validate(OTHER)
    assert model.row()["family"] == "named"
    again = load_model(model_spec(f"{user_module}:Named"), dataset_of(8))
    assert again.model_id == model.model_id  # weights drawn at random are the same every time


CIFAR = ("cat", "dog", "ship")
IMAGENET = imagenet_names()

# indices by hand from the published list: tench 0, goldfish 1, golden retriever 207, tabby 281
GOOD = {
    "same names in the same order": (CIFAR, CIFAR, {}, None),
    "same names in another order": (("ship", "cat", "dog"), CIFAR, {}, [1, 2, 0]),
    "names unknown, as many outputs": (3, CIFAR, {}, None),
    "names unknown, all said": (9, CIFAR, {"ship": 0, "cat": 8, "dog": 3}, [8, 3, 0]),
    "case, underscores and commas": (("DOG, domestic", "a_cat", "Ship"), ("a cat", "dog", "ship"), {}, [1, 0, 2]),
    "one said, the others by name": (("feline", "ship", "dog"), CIFAR, {"cat": "Feline"}, [0, 2, 1]),
    "what is said goes before the name": (("cat", "lion", "dog", "ship"), CIFAR, {"cat": 1}, [1, 2, 3]),
    "exact before case": (("Dog", "dog", "cat", "ship"), CIFAR, {}, [2, 1, 3]),
    "ids, names and words together": (
        IMAGENET, ("kitten", "n01440764", "my dog"), {"kitten": 281, "my dog": "n02099601"}, [281, 0, 207],
    ),
    "all of ImageNet by id": (IMAGENET, tuple(by_wordnet_id()), {}, None),
    "outputs that are called by ids": (("n02123045", "n02099601"), ("golden retriever", "tabby"), {}, [1, 0]),
    "two that differ by case alone": (IMAGENET, ("Cardigan", "cardigan"), {}, [264, 474]),
}  # fmt: skip

BAD = {
    "names unknown, other count": (4, CIFAR, {}, "m.pt has 4 outputs, but the dataset has 3 classes"),
    "names unknown, ImageNet's count": (1000, CIFAR, {}, '1000 outputs, .*`class_names = "imagenet-1k"`'),
    "names unknown, some said": (3, CIFAR, {"cat": 0}, "no index for 'dog', 'ship', and the names .* unknown"),
    "names unknown, said by name": (3, CIFAR, {"cat": "x", "dog": 0, "ship": 1}, "no index for 'cat', and the names"),
    "as many outputs, other names": (
        ("car", "bus", "tram"),
        CIFAR,
        {},
        "no output for 'cat', 'dog', 'ship'.*class_map",
    ),
    "matches two": (("CAT", "Cat", "dog", "ship"), CIFAR, {}, r"'cat' matches outputs 0 \(CAT\) and 1 \(Cat\)"),
    "two on one output": (CIFAR, CIFAR, {"dog": "cat"}, "'cat' and 'dog' both match output 0"),
    "an index too high": (CIFAR, CIFAR, {"dog": 3}, "maps 'dog' to output 3, but outputs are 0 to 2"),
    "no such class": (CIFAR, CIFAR, {"dgo": 1}, "class_map: unknown class 'dgo': .* has dog"),
    "fewer names than outputs": ((5, CIFAR), CIFAR, {}, "m.pt has 5 outputs, but 3 class names.*`class_names`"),
    "a bird or a machine": (IMAGENET, ("crane", "tench"), {}, r"'crane' matches outputs 134 \(crane bird\) and 517"),
}


def outputs_of(case: tuple) -> list[int] | None:
    """The outputs of a case, None for all in order; known are their names, how many there are, or both."""
    known, class_names, class_map, _ = case
    count, names = known if isinstance(known, tuple) and isinstance(known[0], int) else (known, known)
    names = names if isinstance(names, tuple) else None
    count = count if isinstance(count, int) else len(names)
    outputs = map_classes("m.pt", class_names, class_map, output_count=count, output_names=names)
    return OutputMap(outputs, count=count).class_outputs


@pytest.mark.parametrize("case", GOOD)
def test_each_class_finds_its_output(case: str) -> None:
    assert outputs_of(GOOD[case]) == GOOD[case][-1]


@pytest.mark.parametrize("case", BAD)
def test_ambiguous_or_missing_classes_are_one_line_with_a_fix(case: str) -> None:
    with pytest.raises(StudyError, match=BAD[case][-1]) as caught:
        outputs_of(BAD[case])
    assert "\n" not in str(caught.value)


@pytest.mark.test_all
def test_imagenet_is_the_published_list() -> None:
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    ids = info.label_names()
    assert list(by_wordnet_id()) == ids == sorted(ids)
    assert list(imagenet_names()) == list(_IMAGENET_CATEGORIES)
    for c in by_wordnet_id().values():  # timm has WordNet's own words
        first = info.label_name_to_description(c.wordnet_id).split(",")[0].lower()
        assert first == (SHARED_NAMES.get(c.output) or c.name).lower()


@pytest.mark.test_all
def test_wordnet_ids_find_outputs_that_are_called_by_wordnets_own_words() -> None:
    """As in Hugging Face's classifiers: "tench, Tinca tinca", and "crane" twice."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    words = tuple(info.index_to_description(index) for index in range(1000))
    ids = tuple(by_wordnet_id())[::-1]
    assert map_classes("m.pt", ids, {}, output_count=1000, output_names=words) == tuple(range(1000))[::-1]
