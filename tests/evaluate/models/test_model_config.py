"""Attention against the grad-cam package, and its statistics against SciPy and cases by hand."""

import json

import pytest
from model_specs import dataset_of, model_spec

from failmodes.evaluate.models.checkpoints import load_checkpoint, save_checkpoint
from failmodes.evaluate.models.loading import check_model_outputs, load_model
from failmodes.evaluate.study.study_schema import Normalisation
from failmodes.warehouse.errors import ModelError

NEUTRAL = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}


def test_stated_normalisation_is_json_in_the_checkpoint() -> None:
    neutral = Normalisation(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    assert Normalisation.model_validate(json.loads(neutral.model_dump_json())) == neutral


OTHER = {"mean": [0.1, 0.2, 0.3], "std": [1.0, 1.0, 1.0]}

CLASSES = ("a", "b", "c")


def test_the_studys_word_goes_before_the_files(four_outputs) -> None:
    path, _ = four_outputs
    spec = model_spec("resnet18", width=8, checkpoint=path, normalisation=OTHER, class_names=["a", "b", "c", "d"])
    model = load_checkpoint(path, spec, CLASSES)
    assert model.normalisation == Normalisation.model_validate(OTHER)
    assert model.outputs == [0, 1, 2]


METADATA = {
    "no normalisation": ({"normalisation": "0.5"}, "four.safetensors states a normalisation that is none: 0.5"),
    "names in words": ({"class_names": "a, b, c, d"}, "states class_names that is none: 'a, b, c, d'; expected a list"),
    "no side": ({"input_side_px": "wide"}, "states input_side_px that is none: 'wide'; .*say `input_side_px` in the"),
}


@pytest.mark.parametrize("case", METADATA)
def test_metadata_that_says_nothing_of_use_is_refused_unless_the_study_says_it(case: str, four_outputs) -> None:
    path, module = four_outputs
    changed, message = METADATA[case]
    whole = {"normalisation": json.dumps(NEUTRAL), "class_names": json.dumps(["c", "a", "b", "d"])}
    save_checkpoint(path, module, whole | changed)
    spec = model_spec("resnet18", width=8, checkpoint=path)
    with pytest.raises(ModelError, match=message):
        load_checkpoint(path, spec, CLASSES)
    said = {"normalisation": Normalisation.model_validate(NEUTRAL), "class_names": ["a", "b", "c", "d"]}
    said["input_side_px"] = 16
    assert load_checkpoint(path, spec.model_copy(update=said), CLASSES).outputs == [0, 1, 2]


def test_a_users_network_says_its_own_normalisation_side_and_classes(user_module: str) -> None:
    model = load_model(model_spec(f"{user_module}:Named"), CLASSES)
    assert (model.outputs, model.input_side_px) == ([1, 2, 0], 8)
    assert model.normalisation == Normalisation.model_validate(OTHER)
    check_model_outputs(model, dataset_of(8))
    assert model.row()["family"] == "named"
    again = load_model(model_spec(f"{user_module}:Named"), CLASSES)
    assert again.model_id() == model.model_id()  # weights drawn at random are the same every time
