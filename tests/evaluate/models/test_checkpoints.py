"""Checkpoints: those that fit are loaded, those that do not are refused before the first batch."""

import json

import pytest
import torch
from model_specs import checkpoint_spec, dataset_of, model_spec

from failmodes.evaluate.models.build import build_module
from failmodes.evaluate.models.checkpoints import load_checkpoint, save_checkpoint
from failmodes.evaluate.models.loading import check_model_outputs, load_model
from failmodes.evaluate.study.study_schema import ModelSpec, Normalisation
from failmodes.warehouse.errors import ModelError
from failmodes.warehouse.schema import MODELS

CLASSES = ("a", "b", "c")

NEUTRAL = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}


def test_a_saved_network_comes_back_with_what_its_file_says(saved) -> None:
    path, module = saved
    checkpoint = load_checkpoint(path, checkpoint_spec(path), CLASSES)
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(checkpoint.module.state_dict()[name], tensor)
    row = checkpoint.row()
    assert (row["stated_accuracy"], row["training_seed"], row["class_count"]) == (0.5, 7, 3)
    assert row["variant"] == "small: width 8 instead of 64"
    assert checkpoint.normalisation == Normalisation.model_validate(NEUTRAL)


def test_another_class_count_is_refused(saved) -> None:
    path, _ = saved
    with pytest.raises(ModelError, match="3 outputs, but the data set has 4 classes"):
        load_checkpoint(path, checkpoint_spec(path), (*CLASSES, "d"))


def test_another_architecture_is_refused(saved) -> None:
    path, _ = saved
    with pytest.raises(ModelError, match="holds a resnet18.*calls 'A' a densenet121"):
        load_checkpoint(path, checkpoint_spec(path, architecture="densenet121"), CLASSES)


def test_another_architecture_is_found_even_where_the_file_does_not_say(saved, tmp_path) -> None:
    copy = tmp_path / "c.pt"
    torch.save(saved[1].state_dict(), copy)
    with pytest.raises(ModelError, match="does not fit densenet121.*lacks"):
        load_checkpoint(copy, checkpoint_spec(copy, architecture="densenet121", normalisation=NEUTRAL), CLASSES)


def test_another_width_is_refused(saved) -> None:
    path, _ = saved
    with pytest.raises(ModelError, match="does not fit resnet18 of width 16"):
        load_checkpoint(path, checkpoint_spec(path, width=16), CLASSES)


def test_unknown_normalisation_is_asked_for(saved, tmp_path) -> None:
    copy = tmp_path / "d.pt"
    torch.save(saved[1].state_dict(), copy)
    with pytest.raises(ModelError, match="give model 'A' the mean and std"):
        load_checkpoint(copy, checkpoint_spec(copy), CLASSES)


NEUTRAL = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}

CLASSES = ("a", "b", "c")

VIT = {"img_size": 16, "patch_size": 4, "depth": 1, "embed_dim": 24, "num_heads": 3}

LOADED = {
    "safetensors with what it says": ("safetensors", {}, {}, ""),
    "prefixed, in a container": ("pt", {"normalisation": NEUTRAL}, {}, "module."),
    "without counts of batches": ("pt", {"normalisation": NEUTRAL}, {"drop": "num_batches_tracked"}, ""),
}


@pytest.mark.parametrize("case", LOADED)
@pytest.mark.parametrize("architecture", ["torchvision:mobilenet_v3_small", "timm:vit_tiny_patch16_224", "MODULE:Net"])
def test_a_checkpoint_gives_the_same_logits(case: str, architecture: str, user_module: str, tmp_path) -> None:
    kind, keys, changes, prefix = LOADED[case]
    if architecture.startswith("timm"):
        pytest.importorskip("timm")
        keys = keys | {"options": VIT}
    spec = model_spec(architecture.replace("MODULE", user_module), checkpoint=tmp_path / f"a.{kind}", **keys)
    torch.manual_seed(1)
    module = build_module(spec, 3).eval()
    if kind == "pt":
        dropped = changes.get("drop", "-")
        tensors = {prefix + n: t for n, t in module.state_dict().items() if not n.endswith(dropped)}
        torch.save({"state_dict": tensors}, spec.checkpoint)
    else:
        save_checkpoint(spec.checkpoint, module, {"normalisation": json.dumps(NEUTRAL), "input_side_px": "16"})
    model = load_model(spec, CLASSES, spec.checkpoint)
    assert model.prefix == prefix
    assert model.normalisation == Normalisation.model_validate(NEUTRAL)
    check_model_outputs(model, dataset_of(16 if model.input_side_px is None else model.input_side_px))
    images = torch.rand(2, 3, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(model.module(images), module(images))


HEADS = {
    "unknown names": ({}, "a.pt has 5 outputs, but the data set has 3 classes"),
    "fewer names": ({"class_names": ["a", "b", "c"]}, "a.pt has 5 outputs, but 3 class names are given"),
    "another network": (
        {"architecture": "mobilenet_v3_large"},
        r"a.pt does not fit mobilenet_v3_large: features.* instead",
    ),
    "another option": ({"options": {"width_mult": 0.5}}, "does not fit .* with options .*width_mult.*: features"),
}


@pytest.mark.parametrize("case", HEADS)
def test_a_checkpoint_of_other_outputs_or_another_network_is_refused(case: str, tmp_path) -> None:
    changes, message = HEADS[case]
    spec = model_spec("mobilenet_v3_small", checkpoint=tmp_path / "a.pt", normalisation=NEUTRAL)
    torch.save(build_module(spec, 5).state_dict(), spec.checkpoint)
    changed = ModelSpec.model_validate(spec.model_dump(exclude_unset=True) | changes)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(changed, CLASSES, spec.checkpoint)
    assert "\n" not in str(caught.value)
    named = spec.model_copy(update={"class_names": ["x", "c", "y", "b", "a"]})
    assert load_model(named, CLASSES, spec.checkpoint).outputs == [4, 3, 1]


def test_outputs_are_chosen_by_the_names_that_travel_with_the_file(four_outputs) -> None:
    path, module = four_outputs
    spec = model_spec("resnet18", width=8, checkpoint=path)
    model = load_checkpoint(path, spec, CLASSES)
    assert model.outputs == [1, 2, 0]
    check_model_outputs(model, dataset_of(16))
    images = torch.randint(0, 256, (3, 16, 16, 3), dtype=torch.uint8)
    with torch.inference_mode():
        own = module.eval()((images.permute(0, 3, 1, 2) / 255 - 0.5) / 0.25)
    torch.testing.assert_close(model.network(torch.device("cpu"), "float32").predict(images), own[:, [1, 2, 0]])
    row = model.row()
    assert row.keys() == {column.name for column in MODELS.columns}
    assert (row["class_count"], row["class_names"], row["class_outputs"]) == (3, ["a", "b", "c"], [1, 2, 0])
    assert row["variant"] == "small: width 8 instead of 64; 3 of 4 outputs"
    assert "3 classes on 3 of 4 outputs (a = 1, b = 2, c = 0)" in model.words()
    other = load_checkpoint(path, spec.model_copy(update={"class_map": {"a": 3}}), CLASSES)
    assert other.outputs == [3, 2, 0]
    assert other.model_id() != model.model_id()
