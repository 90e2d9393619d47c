"""Models in a study: architectures, options, stems, and conflicting keys."""

import json

import pytest
from pydantic import ValidationError

from failmodes.evaluate.study.study_schema import ModelSpec, TrainingSpec

REFUSED = {
    "not a name": ("resnet 18", {}, "unknown architecture 'resnet 18'"),
    "no weights at all": ("mobilenet_v2", {"training": None}, r"expected one of .*given: none"),
    "weights of ours": ("resnet18", {"training": None, "weights": "DEFAULT"}, "write torchvision:resnet18"),
    "width of others": ("mobilenet_v2", {"width": 8}, "`width` is only for resnet18 and densenet121"),
    "stem of pretrained": (
        "resnet50",
        {"training": None, "weights": "DEFAULT", "stem": "cifar"},
        "`stem` is for a ResNet",
    ),
    "weights as an option": (
        "timm:resnet18",
        {"options": {"checkpoint_path": "x"}},
        "must not contain checkpoint_path",
    ),
    "class map in training": ("resnet18", {"class_map": {"a": 1}}, "`class_map` is for given weights"),
    "the seed of given weights in training": (
        "resnet18",
        {"training_seed": 3},
        "`training_seed` is for given weights",
    ),
    "no seed": ("a:b", {"training": None, "training_seed": -1}, "training_seed"),
    "a truth for an index": ("a:b", {"training": None, "class_map": {"a": True}}, "class_map"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_conflicting_keys_are_refused(case: str) -> None:
    architecture, changes, message = REFUSED[case]
    with pytest.raises(ValidationError, match=message):
        ModelSpec(**({"label": "A", "architecture": architecture, "training": {}} | changes))


@pytest.mark.parametrize(
    ("given", "rate", "decay"),
    [
        pytest.param({}, 0.1, 5e-4, id="sgd"),
        pytest.param({"optimizer": "adamw"}, 1e-3, 0.05, id="adamw"),
        pytest.param({"weight_decay": 0, "peak_learning_rate": 3, "optimizer": "adamw"}, 3, 0, id="given"),
    ],
)
def test_rate_and_decay_follow_the_optimizer_unless_given(given, rate: float, decay: float) -> None:
    recipe = TrainingSpec(**given)
    assert (recipe.peak_learning_rate, recipe.weight_decay) == (rate, decay)
    assert TrainingSpec.model_validate_json(recipe.model_dump_json()) == recipe


@pytest.mark.parametrize("given", [{"augmentation": "cutmix"}, {"optimizer": "lion"}, {"workers": 3}])
def test_unknown_values_of_a_recipe_are_refused(given) -> None:
    with pytest.raises(ValidationError):
        TrainingSpec.model_validate_json(json.dumps(given))
