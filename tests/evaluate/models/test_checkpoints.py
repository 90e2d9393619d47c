"""Checkpoints: matching ones are loaded, others are refused before the first batch."""

import json
import pickle

import pytest
import torch
import torchvision
from model_specs import checkpoint_spec, dataset_of, model_spec
from torch import nn

from failmodes.evaluate.models.checkpoints import read_checkpoint, save_checkpoint, strip_prefix
from failmodes.evaluate.models.load import load_model
from failmodes.evaluate.models.sources import build_module
from failmodes.evaluate.study.study_schema import Normalization
from failmodes.runtime.errors import ModelError, StudyError
from failmodes.warehouse.schema import MODELS

NEUTRAL = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}


def test_a_saved_model_loads_with_the_facts_in_its_file(saved) -> None:
    path, module = saved
    checkpoint = load_model(checkpoint_spec(path), dataset_of(16), path)
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(checkpoint.module.state_dict()[name], tensor)
    row = checkpoint.row()
    assert (row["stated_accuracy"], row["training_seed"], row["class_count"]) == (0.5, 7, 3)
    assert row["variant"] == "small: width 8 instead of 64"
    assert checkpoint.preprocessing.normalization == Normalization.model_validate(NEUTRAL)


OTHERS = {
    "another class count": (4, {}, StudyError, "3 outputs, but the dataset has 4 classes"),
    "another architecture": (3, {"architecture": "densenet121"}, ModelError, "is a resnet18"),
    "another width": (3, {"width": 16}, ModelError, "does not match resnet18 of width 16.*`width`"),
    "another training seed": (3, {"training_seed": 3}, ModelError, "states training seed 7"),
    "a key": (3, {"checkpoint_key": "ema"}, ModelError, "no 'ema'"),
}


@pytest.mark.parametrize(("classes", "changes", "error", "said"), OTHERS.values(), ids=OTHERS)
def test_a_checkpoint_of_something_else_is_refused(saved, classes: int, changes: dict, error, said: str) -> None:
    path, _ = saved
    with pytest.raises(error, match=said) as caught:
        load_model(checkpoint_spec(path, **changes), dataset_of(16, tuple("abcd")[:classes]), path)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_without_metadata_is_checked_by_its_tensors(saved, tmp_path) -> None:
    silent = tmp_path / "silent.pt"
    torch.save(saved[1].state_dict(), silent)
    with pytest.raises(ModelError, match="does not match densenet121.*`architecture`"):
        load_model(checkpoint_spec(silent, architecture="densenet121", normalization=NEUTRAL), dataset_of(16), silent)
    with pytest.raises(StudyError, match="mean and std"):
        load_model(checkpoint_spec(silent), dataset_of(16), silent)
    torch.save(torchvision.models.resnet18(num_classes=3).state_dict(), silent)
    with pytest.raises(ModelError, match="torchvision:resnet18"):
        load_model(checkpoint_spec(silent, width=64, normalization=NEUTRAL), dataset_of(16), silent)


VIT = {"img_size": 16, "patch_size": 4, "depth": 1, "embed_dim": 24, "num_heads": 3}

LOADED = {
    "safetensors with what it says": ("safetensors", {}, {}, ""),
    "prefixed, in a container": ("pt", {"normalization": NEUTRAL}, {}, "module."),
    "without counts of batches": ("pt", {"normalization": NEUTRAL}, {"drop": "num_batches_tracked"}, ""),
}


@pytest.mark.parametrize("case", LOADED)
@pytest.mark.parametrize(
    "architecture",
    [
        pytest.param("torchvision:mobilenet_v3_small", marks=pytest.mark.test_all),
        pytest.param("timm:vit_tiny_patch16_224", marks=pytest.mark.test_all),
        "MODULE:Net",
    ],
)
def test_a_checkpoint_gives_the_same_logits(case: str, architecture: str, user_module: str, tmp_path) -> None:
    kind, keys, changes, prefix = LOADED[case]
    if architecture.startswith("timm"):
        keys = keys | {"options": VIT}
    spec = model_spec(architecture.replace("MODULE", user_module), checkpoint=tmp_path / f"a.{kind}", **keys)
    torch.manual_seed(1)
    module = build_module(spec, 3).eval()
    if kind == "pt":
        dropped = changes.get("drop", "-")
        tensors = {prefix + n: t for n, t in module.state_dict().items() if not n.endswith(dropped)}
        torch.save({"state_dict": tensors}, spec.checkpoint)
    else:
        save_checkpoint(spec.checkpoint, module, {"normalization": json.dumps(NEUTRAL), "input_side_px": "16"})
    stated = 8 if ":Net" in architecture and kind == "pt" else 16  # by the attribute of its class
    model = load_model(spec, dataset_of(stated), spec.checkpoint)
    assert model.checkpoint_note == (prefix and f"prefix {prefix!r} stripped")
    assert model.preprocessing.normalization == Normalization.model_validate(NEUTRAL)
    images = torch.rand(2, 3, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(model.module(images), module(images))


def test_outputs_are_chosen_by_the_names_that_travel_with_the_file(four_outputs) -> None:
    path, module = four_outputs
    spec = model_spec("resnet18", width=8, checkpoint=path)
    model = load_model(spec, dataset_of(16), path)
    assert model.output_map.class_outputs == [1, 2, 0]
    images = torch.randint(0, 256, (3, 16, 16, 3), dtype=torch.uint8)
    with torch.inference_mode():
        own = module.eval()((images.permute(0, 3, 1, 2) / 255 - 0.5) / 0.25)
    torch.testing.assert_close(model.to(torch.device("cpu")).predict(images), own[:, [1, 2, 0, 3]])
    row = model.row()
    assert row.keys() == {column.name for column in MODELS.columns}
    assert (row["class_count"], row["class_names"], row["class_outputs"]) == (3, ["a", "b", "c"], [1, 2, 0])
    other = load_model(spec.model_copy(update={"class_map": {"a": 3}}), dataset_of(16), path)
    assert other.output_map.class_outputs == [3, 2, 0]
    assert other.model_id != model.model_id


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
            load_model(checkpoint_spec(path, normalization=NEUTRAL), dataset_of(16), path)
        assert not marker.exists()


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Linear(4, 3)))


def prefixed(prefix: str, keep: str = "-") -> dict[str, torch.Tensor]:
    return {(n if n.startswith(keep) else prefix + n): t for n, t in small().state_dict().items()}


PREFIXES = {
    "none": ("", "-", ""),
    "nested": ("module._orig_mod.", "-", "module._orig_mod."),
    "of somebody's own": ("classifier_v2.", "-", "classifier_v2."),
    "on some only": ("backbone.", "2.", "backbone."),
}


def test_two_containers_are_not_chosen_between(tmp_path) -> None:
    torch.save({"model": small().state_dict(), "net": small().state_dict()}, tmp_path / "a.pt")
    with pytest.raises(ModelError, match=r"a\.pt contains model and net"):
        read_checkpoint(tmp_path / "a.pt")


RAW, AVERAGED = ({"weight": torch.full((2,), value)} for value in (0.0, 1.0))
BOTH = {"state_dict": RAW, "state_dict_ema": AVERAGED}
SEVERAL = {
    "averaged beside": (BOTH, None, "state_dict; also in the file: state_dict_ema", 0),
    "averaged chosen": (
        BOTH, "state_dict_ema", "state_dict_ema; also in the file: state_dict", 1,
    ),
    "model and ema": ({"model": RAW, "ema": {"module": AVERAGED}}, None, "model; also in the file: ema", 0),
    "a key of somebody's own": ({"student": RAW, "teacher": {"model": AVERAGED}}, "teacher", "teacher.model", 1),
    "nested": ({"state_dict": {"model": RAW, "ema": AVERAGED}}, "ema", "state_dict.ema; also in the file: model", 1),
    "bare": (RAW, None, "", 0),
    "alone": ({"state_dict": RAW, "epoch": 3}, None, "", 0),
    "averaged alone": ({"state_dict_ema": AVERAGED}, None, "", 1),
    "settings beside": ({"model": RAW, "ema": {"decay": 0.99}, "optimizer": {"state": {}}}, None, "", 0),
}  # fmt: skip


@pytest.mark.parametrize(("content", "key", "said", "value"), SEVERAL.values(), ids=SEVERAL)
def test_the_choice_among_several_weights_is_reported(content, key, said: str, value: float, tmp_path) -> None:
    torch.save(content, tmp_path / "a.pt")
    found = read_checkpoint(tmp_path / "a.pt", key)
    assert (found.container, found.tensors["weight"].tolist()) == (said, [value, value])


@pytest.mark.parametrize(
    ("content", "key", "said"),
    [
        (BOTH, "state_dict_emma", "did you mean 'state_dict_ema'"),
        ({"state_dict": RAW, "epoch": 3}, "epoch", "expected one of 'state_dict'"),
        (RAW, "model", ""),
    ],
    ids=["misspelt", "no container", "bare"],
)  # fmt: skip
def test_a_key_that_a_checkpoint_lacks_is_refused(content, key: str, said: str, tmp_path) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ModelError, match=f"a.pt has no weights under '{key}': {said}"):
        read_checkpoint(tmp_path / "a.pt", key)


@pytest.mark.parametrize("case", PREFIXES)
def test_a_prefix_is_stripped_where_names_then_fit(case: str) -> None:
    prefix, keep, expected = PREFIXES[case]
    tensors, stripped = strip_prefix(prefixed(prefix, keep), small())
    assert stripped == expected
    assert tensors.keys() == small().state_dict().keys()
