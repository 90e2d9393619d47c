"""A model's identity depends on its weights and preprocessing."""

import json

import pytest
import torch
from model_specs import checkpoint_spec, dataset_of, model_spec

from failmodes.evaluate.models.checkpoints import save_checkpoint
from failmodes.evaluate.models.load import load_model
from failmodes.evaluate.models.sources.builtin import ARCHITECTURES

NEUTRAL = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}


def test_identity_is_of_the_weights_and_preprocessing_not_of_the_file(saved, tmp_path) -> None:
    path, module = saved
    first = load_model(checkpoint_spec(path), dataset_of(16), path).model_id
    copy = tmp_path / "b.pt"
    torch.save(module.state_dict(), copy)
    spec = checkpoint_spec(copy, normalization=NEUTRAL, label="another label")
    assert load_model(spec, dataset_of(16), copy).model_id == first
    assert load_model(checkpoint_spec(path), dataset_of(16, ("x", "b", "c")), path).model_id != first
    other = checkpoint_spec(path, normalization=NEUTRAL | {"mean": [0.4, 0.5, 0.5]})
    assert load_model(other, dataset_of(16), path).model_id != first
    module.fc.bias.data[0] += 1
    torch.save(module.state_dict(), copy)
    assert load_model(spec, dataset_of(16), copy).model_id != first


# of the project's first version, all tensors filled with ones: what is stored under them must be found again
FIRST_IDS = {
    ("resnet18", None): "3ff53a54259f755d",
    ("resnet18", 12): "77be6c194aa68669",
    ("densenet121", None): "a1fa7a685ae1a5b2",
    ("densenet121", 12): "f39a5f8b852282ca",
}


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[pytest.mark.test_all] * (case != ("resnet18", 12))) for case in FIRST_IDS],
    ids=str,
)
def test_identities_of_our_models_stay_what_they_were(case: tuple[str, int | None], tmp_path) -> None:
    architecture, side = case
    module = ARCHITECTURES[architecture](3, 8)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.fill_(1)
    path = tmp_path / "a.safetensors"
    metadata = {"architecture": architecture, "normalization": json.dumps(NEUTRAL)}
    save_checkpoint(path, module, metadata)
    spec = model_spec(architecture, width=8, checkpoint=path, input_side_px=side)
    assert load_model(spec, dataset_of(16), path).model_id == FIRST_IDS[case]
    for augmentation, differs in (("standard", False), ("augmix", True)):
        save_checkpoint(path, module, metadata | {"recipe": json.dumps({"augmentation": augmentation})})
        assert (load_model(spec, dataset_of(16), path).model_id != FIRST_IDS[case]) == differs


def test_weights_have_an_identity_of_their_own(saved) -> None:
    """It does not change with preprocessing or classes, which change `model_id`, but with a single weight."""
    path, module = saved
    first = load_model(checkpoint_spec(path), dataset_of(16), path)
    other = load_model(checkpoint_spec(path, normalization=NEUTRAL | {"mean": [0.4] * 3}), dataset_of(16), path)
    assert other.model_id != first.model_id
    assert other.row()["weights_id"] == first.row()["weights_id"] != first.model_id
    resized = load_model(checkpoint_spec(path, input_side_px=12), dataset_of(16), path).row()
    columns = ("input_side_px", "resize_px", "crop_px", "interpolation", "preprocessing")
    assert [resized[name] for name in columns] == [12, None, None, "bilinear", None]
    first.torch_module.get_parameter("fc.bias").data[0] += 1
    assert first.identified().weights_id != first.weights_id
