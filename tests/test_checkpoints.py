"""Checkpoints: those that fit are loaded, those that do not are refused before the first batch."""

import json
import pickle

import pytest
import torch

from failmodes.evaluate.models.architectures import ARCHITECTURES
from failmodes.evaluate.models.checkpoints import load_checkpoint, save_checkpoint
from failmodes.evaluate.study.study_schema import ModelSpec, Normalisation
from failmodes.warehouse.errors import ModelError

CLASSES = ("a", "b", "c")

NEUTRAL = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    module = ARCHITECTURES["resnet18"].build(3, 8)
    path = tmp_path / "a.safetensors"
    metadata = {"architecture": "resnet18", "normalisation": json.dumps(NEUTRAL), "clean_accuracy": "0.5", "seed": "7"}
    save_checkpoint(path, module, metadata)
    return path, module


def spec_of(path, **changes) -> ModelSpec:
    return ModelSpec(**({"label": "A", "architecture": "resnet18", "width": 8, "checkpoint": path} | changes))


def test_a_saved_network_comes_back_with_what_its_file_says(saved) -> None:
    path, module = saved
    checkpoint = load_checkpoint(path, spec_of(path), CLASSES)
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(checkpoint.module.state_dict()[name], tensor)
    row = checkpoint.row()
    assert (row["stated_accuracy"], row["training_seed"], row["class_count"]) == (0.5, 7, 3)
    assert row["variant"] == "small: width 8 instead of 64"
    assert checkpoint.normalisation == Normalisation.model_validate(NEUTRAL)


def test_identity_is_of_the_weights_and_preprocessing_not_of_the_file(saved, tmp_path) -> None:
    path, module = saved
    first = load_checkpoint(path, spec_of(path), CLASSES).model_id()
    copy = tmp_path / "b.pt"
    torch.save(module.state_dict(), copy)
    spec = spec_of(copy, normalisation=NEUTRAL, label="another label")
    assert load_checkpoint(copy, spec, CLASSES).model_id() == first
    assert load_checkpoint(path, spec_of(path), ("x", "b", "c")).model_id() != first
    other = spec_of(path, normalisation=NEUTRAL | {"mean": [0.4, 0.5, 0.5]})
    assert load_checkpoint(path, other, CLASSES).model_id() != first
    module.fc.bias.data[0] += 1
    torch.save(module.state_dict(), copy)
    assert load_checkpoint(copy, spec, CLASSES).model_id() != first


def test_another_class_count_is_refused(saved) -> None:
    path, _ = saved
    with pytest.raises(ModelError, match="3 outputs, but the data set has 4 classes"):
        load_checkpoint(path, spec_of(path), (*CLASSES, "d"))


def test_another_architecture_is_refused(saved) -> None:
    path, _ = saved
    with pytest.raises(ModelError, match="holds a resnet18.*calls 'A' a densenet121"):
        load_checkpoint(path, spec_of(path, architecture="densenet121"), CLASSES)


def test_another_architecture_is_found_even_where_the_file_does_not_say(saved, tmp_path) -> None:
    copy = tmp_path / "c.pt"
    torch.save(saved[1].state_dict(), copy)
    with pytest.raises(ModelError, match="does not fit densenet121.*lacks"):
        load_checkpoint(copy, spec_of(copy, architecture="densenet121", normalisation=NEUTRAL), CLASSES)


def test_another_width_is_refused(saved) -> None:
    path, _ = saved
    with pytest.raises(ModelError, match="does not fit resnet18 of width 16"):
        load_checkpoint(path, spec_of(path, width=16), CLASSES)


def test_unknown_normalisation_is_asked_for(saved, tmp_path) -> None:
    copy = tmp_path / "d.pt"
    torch.save(saved[1].state_dict(), copy)
    with pytest.raises(ModelError, match="give model 'A' the mean and std"):
        load_checkpoint(copy, spec_of(copy), CLASSES)


class Evil:
    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __reduce__(self):
        return open, (self.marker, "w")


def test_a_checkpoint_that_would_run_code_is_refused_and_does_not(tmp_path) -> None:
    marker = tmp_path / "ran"
    for writer in (
        lambda value, path: torch.save(value, path),
        lambda value, path: path.write_bytes(pickle.dumps(value)),
    ):
        path = tmp_path / "evil.pt"
        writer({"fc.weight": Evil(str(marker))}, path)
        with pytest.raises(ModelError, match="more than tensors"):
            load_checkpoint(path, spec_of(path, normalisation=NEUTRAL), CLASSES)
        assert not marker.exists()


def test_garbage_and_truncated_files_are_named(saved, tmp_path) -> None:
    path, _ = saved
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"a\.safetensors is not a readable checkpoint"):
        load_checkpoint(path, spec_of(path), CLASSES)
    numbers = tmp_path / "numbers.pt"
    torch.save([1, 2], numbers)
    with pytest.raises(ModelError, match="not a state_dict"):
        load_checkpoint(numbers, spec_of(numbers), CLASSES)
