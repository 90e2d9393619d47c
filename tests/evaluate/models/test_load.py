"""Loading: what travels with a model, who goes first, and refusal before the first batch."""

import json

import pytest
import torch
from model_specs import dataset_of, model_spec

from failmodes.evaluate.models.checkpoints import save_checkpoint
from failmodes.evaluate.models.load import load_model
from failmodes.evaluate.models.sources import build_module
from failmodes.evaluate.study.study_schema import Normalization
from failmodes.warehouse.errors import ModelError, StudyError

NEUTRAL = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
CLASSES = ("a", "b", "c")
VIT = {"img_size": 16, "patch_size": 4, "depth": 1, "embed_dim": 24, "num_heads": 3}

UNFIT = {
    "no normalization": ("Silent", {}, "Silent does not say how its inputs were normalized.*mean = "),
    "a layer called normalization": ("Layer", {}, "Layer does not say how its inputs were normalized"),
    "a normalization that is none": ("Wrong", {}, "Wrong states a normalization that is none.*mean and std of three"),
    "another side": ("Net", {}, r"expects images of 8×8 px, .* are 16×16: set `input_side_px = 8`.*image_size = 8"),
    "two outputs of a name": ("Net", {"input_side_px": 8, "class_names": ["a", "a"]}, "'a' matches outputs 0 "),
    "more outputs": ("Many", {"normalization": NEUTRAL}, '1000 outputs, .* 3 classes: say `class_names = "imag'),
    "fewer outputs than said": (
        "Silent", {"normalization": NEUTRAL, "class_map": {"a": 7, "b": 1, "c": 2}}, "the output 7, but .* 0 to 2",
    ),
    "no logits": ("Maps", {"normalization": NEUTRAL}, r"gives \(1, 3, 16, 16\) for one image: expected logits"),
    "two results": ("Both", {"normalization": NEUTRAL}, r"gives a tuple \('0' \(1, 3\), '1' .*: say .*`output_key`"),
}  # fmt: skip

OF_THE_MODEL = ("a normalization that is none", "no logits")  # not of what the study says of it


@pytest.mark.parametrize("case", UNFIT)
def test_a_users_model_that_does_not_fit_is_refused_before_the_first_batch(case: str, user_module: str) -> None:
    function, changes, message = UNFIT[case]
    with pytest.raises(ModelError if case in OF_THE_MODEL else StudyError, match=message) as caught:
        load_model(model_spec(f"{user_module}:{function}", **changes), dataset_of(16))
    assert "\n" not in str(caught.value)


def test_a_side_that_a_transformer_cannot_take_is_named(tmp_path) -> None:
    pytest.importorskip("timm")
    spec = model_spec(
        "timm:vit_tiny_patch16_224", options=VIT, checkpoint=tmp_path / "a.pt", normalization=NEUTRAL, label="ViT"
    )
    torch.save(build_module(spec, 3).state_dict(), spec.checkpoint)
    model = load_model(spec, dataset_of(16), spec.checkpoint)
    with pytest.raises(ModelError, match=r"'ViT' .*cannot take images of 20×20 px: .*input_side_px"):
        load_model(spec, dataset_of(20), spec.checkpoint)
    resized = spec.model_copy(update={"input_side_px": 16})
    load_model(resized, dataset_of(20), spec.checkpoint)
    assert model.row()["variant"].startswith("img_size 16, patch_size 4, depth 1")


def test_stated_normalization_is_json_in_the_checkpoint() -> None:
    neutral = Normalization(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    assert Normalization.model_validate(json.loads(neutral.model_dump_json())) == neutral


OTHER = {"mean": [0.1, 0.2, 0.3], "std": [1.0, 1.0, 1.0]}


def test_the_studys_word_goes_before_the_files(four_outputs) -> None:
    path, _ = four_outputs
    spec = model_spec("resnet18", width=8, checkpoint=path, normalization=OTHER, class_names=["a", "b", "c", "d"])
    model = load_model(spec, dataset_of(16), path)
    assert model.preprocessing.normalization == Normalization.model_validate(OTHER)
    assert model.class_outputs == [0, 1, 2]


METADATA = {
    "no normalization": ({"normalization": "0.5"}, "four.safetensors states a normalization that is none: 0.5"),
    "names in words": ({"class_names": "a, b, c, d"}, "states class_names that is none: 'a, b, c, d'; expected a list"),
    "no side": ({"input_side_px": "wide"}, "states input_side_px that is none: 'wide'; .*say `input_side_px` in the"),
}


@pytest.mark.parametrize("case", METADATA)
def test_metadata_that_says_nothing_of_use_is_refused_unless_the_study_says_it(case: str, four_outputs) -> None:
    path, module = four_outputs
    changed, message = METADATA[case]
    whole = {"normalization": json.dumps(NEUTRAL), "class_names": json.dumps(["c", "a", "b", "d"])}
    save_checkpoint(path, module, whole | changed)
    spec = model_spec("resnet18", width=8, checkpoint=path)
    with pytest.raises(ModelError, match=message):
        load_model(spec, dataset_of(16), path)
    said = {"normalization": Normalization.model_validate(NEUTRAL), "class_names": ["a", "b", "c", "d"]}
    said["input_side_px"] = 16
    assert load_model(spec.model_copy(update=said), dataset_of(16), path).class_outputs == [0, 1, 2]


def test_a_misspelt_key_of_the_metadata_is_refused_unless_the_study_says_it(four_outputs) -> None:
    path, module = four_outputs
    save_checkpoint(
        path, module, {"normalizaton": json.dumps(NEUTRAL), "class_names": json.dumps(["c", "a", "b", "d"])}
    )
    with pytest.raises(ModelError, match=r"metadata key 'normalizaton' \(did you mean 'normalization'\?\)"):
        load_model(model_spec("resnet18", width=8, checkpoint=path), dataset_of(16), path)
    assert load_model(model_spec("resnet18", width=8, checkpoint=path, normalization=NEUTRAL), dataset_of(16), path)


def test_a_users_model_says_its_own_normalization_side_and_classes(user_module: str) -> None:
    model = load_model(model_spec(f"{user_module}:Named"), dataset_of(8))
    assert (model.class_outputs, model.preprocessing.input_side_px) == ([1, 2, 0], 8)
    assert model.preprocessing.normalization == Normalization.model_validate(OTHER)
    assert model.row()["family"] == "named"
    again = load_model(model_spec(f"{user_module}:Named"), dataset_of(8))
    assert again.model_id == model.model_id  # weights drawn at random are the same every time


def test_a_users_model_says_its_classes_in_a_config_unless_it_was_trained_here(write_module, tmp_path) -> None:
    name = write_module(CONFIGURED)
    given = load_model(model_spec(f"{name}:Configured"), dataset_of(8))
    assert (given.class_outputs, given.row()["class_names"]) == ([1, 2, 0], ["A", "b", "c"])
    path = tmp_path / "trained.safetensors"
    save_checkpoint(path, given.module, {"normalization": json.dumps(NEUTRAL)})
    trained = load_model(model_spec(f"{name}:Configured", training={}), dataset_of(8), path)
    assert (trained.class_outputs, trained.assumptions()["outputs"]) == (None, "logits; 3 classes")


CONFIGURED = """
from types import SimpleNamespace
from torch import nn
class Configured(nn.Module):
    normalization = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.config = SimpleNamespace(id2label={0: "c", 1: "A", 2: "b"})
    def forward(self, x): return self.fc(x.mean((2, 3)))
"""
