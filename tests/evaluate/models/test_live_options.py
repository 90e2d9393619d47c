"""How pixels become input and what the outputs are, in the forms in which users have it."""

import numpy as np
import pytest
import torch
from live_models import NAMES, Net, as_model, spec_of

from failmodes.evaluate.benchmark import check_names
from failmodes.evaluate.models.load import output_names
from failmodes.evaluate.models.preprocessing import UNIT_RANGE
from failmodes.ingest.datasets.imagenet_classes import imagenet_names
from failmodes.warehouse.errors import StudyError

NORMALIZATIONS = {
    "lists": ([0.5, 0.4, 0.3], [0.1, 0.2, 0.3]),
    "list of tuples": [(0.5, 0.4, 0.3), (0.1, 0.2, 0.3)],
    "arrays": (np.array([0.5, 0.4, 0.3]), np.array([0.1, 0.2, 0.3])),
    "tensors": (torch.tensor([0.5, 0.4, 0.3], dtype=torch.float64), torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)),
    "NumPy numbers": ([np.float64(0.5), 0.4, 0.3], [0.1, 0.2, 0.3]),
    "mapping": {"mean": [0.5, 0.4, 0.3], "std": (0.1, 0.2, 0.3)},
}


@pytest.mark.parametrize("given", NORMALIZATIONS.values(), ids=NORMALIZATIONS)
def test_a_normalization_in_any_form(given) -> None:
    made = spec_of(Net(), normalization=given).normalization
    assert (made.mean, made.std) == ((0.5, 0.4, 0.3), (0.1, 0.2, 0.3))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((0.5, 0.5), "mean: input should be a valid tuple"),
        (([0.5], [0.5]), "mean.*"),
        (([0.5] * 3, [0.5, 0.5, 0]), "std.2: input should be greater than 0"),
        (([127.0] * 3, [60.0] * 3), "mean and std are of values / 255: divide them by 255"),
        ({"mean": [0.5] * 3}, "std: this key is missing"),
        ({"mean": [0.5] * 3, "std": [0.5] * 3, "max": 1}, "max: unknown key"),
        ("imagenett", "unknown normalization 'imagenett': did you mean 'imagenet'.*or give mean and std"),
        ([0.5, 0.5, 0.5], r"(valid dictionary|expected \(mean, std\))"),
    ],
    ids=["numbers", "one channel", "zero", "of bytes", "no std", "more", "word", "mean alone"],
)
def test_what_is_no_normalization_is_refused(given, said: str) -> None:
    with pytest.raises(StudyError, match=rf"^benchmark: (model 'Net A': )?normalization.*{said}") as refused:
        spec_of(Net(), normalization=given)
    assert "\n" not in str(refused.value)


def test_without_any_word_on_inputs_values_are_in_0_1() -> None:
    made = as_model(Net())
    assert made.preprocessing.normalization == UNIT_RANGE
    assert "values in [0, 1]" in "; ".join(made.assumptions().values())


def test_names_are_lists_of_different_words() -> None:
    assert check_names("label_names", None) is None
    for names in (["a", "b"], ("a", "b"), np.array(["a", "b"])):
        assert check_names("label_names", names) == ["a", "b"]
    assert output_names(spec_of(Net(), class_names="imagenet-1k").class_names) == imagenet_names()
    assert output_names(spec_of(Net(), class_names=NAMES).class_names) == NAMES
    for names, said in (
        ("imagenet", "class_names is 'imagenet': expected a list of names"),
        ({0: "a", 1: "b"}, "class_names is a dict: expected a list of names, in the order of their numbers"),
        ([0, 1], "class_names is a list"),
        ([], "class_names is a list"),
    ):
        with pytest.raises(StudyError, match=said):
            spec_of(Net(), class_names=names)


def outputs(count: int, names: tuple[str, ...] = NAMES, **more) -> list[int] | None:
    return as_model(Net(count), names=names, **more).class_outputs


def test_outputs_are_matched_with_labels_by_name() -> None:
    assert outputs(3) is None
    assert outputs(3, class_names=NAMES) is None
    assert outputs(4, class_names=["owl", "fox", "cat", "dog"]) == [2, 3, 0]
    assert outputs(3, class_names=["Cat", "DOG", "owl, bird of prey"]) is None
    assert outputs(3, class_names=["cat", "hound", "owl"], class_map={"dog": "hound"}) is None
    assert outputs(9, class_map={"cat": 8, "dog": 1, "owl": 5}) == [8, 1, 5]
    assert outputs(1000, ("goldfish", "n01491361"), class_names="imagenet-1k") == [1, 3]


@pytest.mark.parametrize(
    ("count", "more", "said"),
    [
        (5, {}, "5 outputs, but the data set has 3 classes"),
        (1000, {}, 'say `class_names = "imagenet-1k"` if these are its classes'),
        (4, {"class_names": ["cat", "dog", "owl"]}, "gives 4 outputs|has 4 outputs, but 3 class names"),
        (3, {"class_names": ["cat", "dog", "fox"]}, "has no output for 'owl'"),
        (3, {"class_map": {"cat": 0}}, "class_map leaves out 'dog', 'owl'"),
        (3, {"class_map": {"fox": 0}}, "class_map names 'fox', which is no class of the data set"),
        (3, {"class_map": {"cat": 3, "dog": 1, "owl": 2}}, "the output 3, but outputs go from 0 to 2"),
        (3, {"class_map": {"cat": 1, "dog": 1, "owl": 2}}, "'cat' and 'dog' would share output 1"),
    ],
    ids=["count", "imagenet", "names too few", "no such name", "map in part", "no class", "no output", "shared"],
)  # fmt: skip
def test_outputs_that_do_not_fit_are_refused(count: int, more, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        outputs(count, **more)
