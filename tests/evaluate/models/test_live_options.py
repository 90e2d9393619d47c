"""How pixels become input and what the outputs are, in the forms in which users have it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from live_models import NAMES, Net, as_model, dataset, live, spec_of
from torch import nn

from failmodes.evaluate.benchmark import check_names
from failmodes.evaluate.models.load import load_model, names_in_config, output_names
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


def timm_model(**configuration):
    timm = pytest.importorskip("timm")
    module = timm.create_model("test_resnet", num_classes=3)
    module.pretrained_cfg = module.pretrained_cfg | configuration
    return module


def test_timms_own_normalization_is_taken_and_said_where_none_is_given() -> None:
    half = {"mean": (0.5, 0.5, 0.5), "std": [0.25, 0.25, 0.25], "input_size": (3, 160, 160)}
    made = as_model(timm_model(**half))
    assert made.assumptions()["input"] == (
        "normalized by mean 0.5/0.5/0.5, std 0.25/0.25/0.25 (of its timm configuration)"
    )
    assert not made.preprocessing.is_assumed
    assert made.preprocessing.input_side_px is None, "images are not resized by it"
    given = as_model(timm_model(**half), normalization="none")
    assert (given.assumptions()["input"], given.preprocessing.is_assumed) == ("values in [0, 1]", False)
    assert given.model_id != made.model_id
    own = as_model(timm_model(**half), preprocess=lambda images: images / 255)
    assert own.assumptions()["input"].startswith("preprocess <lambda>")
    unit = as_model(timm_model(mean=(0, 0, 0), std=(1, 1, 1)))
    assert (unit.assumptions()["input"], unit.preprocessing.is_assumed) == (
        "values in [0, 1] (of its timm configuration)",
        False,
    )


@pytest.mark.parametrize("configuration", [{"mean": (0.5,), "std": (0.5,)}, {"mean": None}, {"std": (0, 0, 0)}])
def test_a_timm_configuration_that_is_none_is_left_out(configuration) -> None:
    made = as_model(timm_model(**configuration))
    assert (made.assumptions()["input"], made.preprocessing.is_assumed) == ("values in [0, 1]", True)


def test_a_configuration_of_another_model_than_timms_is_left_out() -> None:
    module = Net()
    module.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    assert as_model(module).preprocessing.is_assumed


class Inside(nn.Module):
    """A module around another, as Lightning's are."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model(images)


def configured(*names: str, outputs: int = 3) -> Net:
    """A model with the configuration of Hugging Face's."""
    module = Net(outputs)
    module.config = SimpleNamespace(id2label=dict(enumerate(names)))
    return module


@pytest.mark.parametrize("wrap", [lambda module: module, Inside, nn.DataParallel], ids=["itself", "inside", "parallel"])
def test_names_of_a_models_own_config_decide_which_outputs_classes_are(wrap) -> None:
    made = as_model(wrap(configured("owl", "Cat, domestic", "dog")))
    assert made.class_outputs == [1, 2, 0]
    assert made.assumptions()["outputs"] == (
        "logits; 3 classes on 3 of 3 outputs (cat = 1 Cat, domestic, dog = 2, owl = 0), names from its config"
    )
    assert made.row()["class_names"] == ["Cat, domestic", "dog", "owl"]
    same = as_model(wrap(configured(*NAMES)))
    assert (same.class_outputs, same.assumptions()["outputs"]) == (None, "logits; 3 classes, names from its config")
    more = as_model(wrap(configured("owl", "fox", "cat", "dog", outputs=4)))
    assert (more.class_outputs, more.protocol) == ([2, 3, 0], "all")


@pytest.mark.parametrize("names", [("cat", "dog", "fox"), ("0", "1", "2"), ("cat", "cat", "dog")])
def test_names_of_a_config_that_are_not_those_of_the_classes_change_nothing(names) -> None:
    made, bare = as_model(configured(*names)), as_model(Net())
    assert (made.class_outputs, made.row()["class_names"]) == (None, None)
    order = "3 classes in the data set's order, for {} (cat = 0, dog = 1, owl = 2)"
    assert made.assumptions()["outputs"] == f"logits; {order.format('its config names its outputs otherwise')}"
    assert bare.assumptions()["outputs"] == f"logits; {order.format('nothing names its outputs')}"
    numbers = as_model(configured(*NAMES), names=("0", "1", "2"))
    assert numbers.assumptions()["outputs"] == "logits; 3 classes, by number"
    mapped = as_model(configured(*names), class_map={"cat": 2, "dog": 1, "owl": 0})
    assert mapped.class_outputs == [2, 1, 0]


def test_a_class_that_a_config_lacks_is_named_where_it_has_others() -> None:
    with pytest.raises(StudyError, match=r"model 'Net A' has no output for 'owl' \(of 3 classes; the nearest"):
        as_model(configured("cat", "dog", "fox", "cow", outputs=4))


OTHER_NAMES = {
    "default": lambda: configured("LABEL_0", "LABEL_1", "LABEL_2"),
    "too few": lambda: configured("owl", "cat"),
    "numbers": lambda: configured(2, 0, 1),
    "empty": lambda: configured("", "cat", "dog"),
    "two configs": lambda: nn.Sequential(configured("owl", "cat", "dog"), Inside(configured("dog", "owl", "cat"))),
}


@pytest.mark.parametrize("make", OTHER_NAMES.values(), ids=OTHER_NAMES)
def test_what_is_no_list_of_names_is_left_out(make) -> None:
    assert names_in_config(make(), 3) is None


def test_the_same_model_meets_data_sets_with_and_without_its_names() -> None:
    model = live(configured("owl", "cat", "dog"))
    spec = model.spec.with_live(model)
    found = [load_model(spec, dataset(names)).class_outputs for names in (NAMES, ("a", "b", "c"), NAMES)]
    assert found == [[1, 2, 0], None, [1, 2, 0]]


def test_given_names_precede_those_of_a_config() -> None:
    made = as_model(configured(*NAMES), class_names=["dog", "cat", "owl"])
    assert made.class_outputs == [1, 0, 2]
    assert "config" not in made.assumptions()["outputs"]


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
