"""Checkpoints: those that fit are loaded, those that do not are refused before the first batch."""

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
from failmodes.evaluate.study.study_schema import ModelSpec, Normalization
from failmodes.warehouse.errors import ModelError, StudyError
from failmodes.warehouse.schema import MODELS

CLASSES = ("a", "b", "c")
NEUTRAL = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}


def test_a_saved_model_comes_back_with_what_its_file_says(saved) -> None:
    path, module = saved
    checkpoint = load_model(checkpoint_spec(path), dataset_of(16), path)
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(checkpoint.module.state_dict()[name], tensor)
    row = checkpoint.row()
    assert (row["stated_accuracy"], row["training_seed"], row["class_count"]) == (0.5, 7, 3)
    assert row["variant"] == "small: width 8 instead of 64"
    assert checkpoint.preprocessing.normalization == Normalization.model_validate(NEUTRAL)


def test_another_class_count_is_refused(saved) -> None:
    path, _ = saved
    with pytest.raises(StudyError, match="3 outputs, but the data set has 4 classes"):
        load_model(checkpoint_spec(path), dataset_of(16, (*CLASSES, "d")), path)


def test_another_architecture_is_refused(saved) -> None:
    path, _ = saved
    with pytest.raises(ModelError, match="holds a resnet18.*calls 'A' a densenet121"):
        load_model(checkpoint_spec(path, architecture="densenet121"), dataset_of(16), path)


def test_another_architecture_is_found_even_where_the_file_does_not_say(saved, tmp_path) -> None:
    copy = tmp_path / "c.pt"
    torch.save(saved[1].state_dict(), copy)
    with pytest.raises(ModelError, match="does not fit densenet121.*lacks"):
        load_model(checkpoint_spec(copy, architecture="densenet121", normalization=NEUTRAL), dataset_of(16), copy)


def test_another_width_is_refused(saved) -> None:
    path, _ = saved
    with pytest.raises(ModelError, match="does not fit resnet18 of width 16"):
        load_model(checkpoint_spec(path, width=16), dataset_of(16), path)


def test_weights_of_torchvisions_own_model_name_it(tmp_path) -> None:
    path = tmp_path / "photographs.pt"
    torch.save(torchvision.models.resnet18(num_classes=3).state_dict(), path)
    with pytest.raises(ModelError, match=r'7\) instead of.*architecture = "torchvision:resnet18"'):
        load_model(checkpoint_spec(path, width=64, normalization=NEUTRAL), dataset_of(16), path)


def test_unknown_normalization_is_asked_for(saved, tmp_path) -> None:
    copy = tmp_path / "d.pt"
    torch.save(saved[1].state_dict(), copy)
    with pytest.raises(StudyError, match="give model 'A' the mean and std"):
        load_model(checkpoint_spec(copy), dataset_of(16), copy)


VIT = {"img_size": 16, "patch_size": 4, "depth": 1, "embed_dim": 24, "num_heads": 3}

LOADED = {
    "safetensors with what it says": ("safetensors", {}, {}, ""),
    "prefixed, in a container": ("pt", {"normalization": NEUTRAL}, {}, "module."),
    "without counts of batches": ("pt", {"normalization": NEUTRAL}, {"drop": "num_batches_tracked"}, ""),
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
        save_checkpoint(spec.checkpoint, module, {"normalization": json.dumps(NEUTRAL), "input_side_px": "16"})
    stated = 8 if ":Net" in architecture and kind == "pt" else 16  # by the attribute of its class
    model = load_model(spec, dataset_of(stated), spec.checkpoint)
    assert model.prefix == prefix
    assert model.preprocessing.normalization == Normalization.model_validate(NEUTRAL)
    images = torch.rand(2, 3, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(model.module(images), module(images))


HEADS = {
    "unknown names": ({}, r"a.pt\) has 5 outputs, but the data set has 3 classes"),
    "fewer names": ({"class_names": ["a", "b", "c"]}, r"a.pt\) has 5 outputs, but 3 class names are given"),
    "another model": (
        {"architecture": "mobilenet_v3_large"},
        r"a.pt does not fit mobilenet_v3_large: features.* instead",
    ),
    "another option": ({"options": {"width_mult": 0.5}}, "does not fit .* with options .*width_mult.*: features"),
}


@pytest.mark.parametrize("case", HEADS)
def test_a_checkpoint_of_other_outputs_or_another_model_is_refused(case: str, tmp_path) -> None:
    changes, message = HEADS[case]
    spec = model_spec("mobilenet_v3_small", checkpoint=tmp_path / "a.pt", normalization=NEUTRAL)
    torch.save(build_module(spec, 5).state_dict(), spec.checkpoint)
    changed = ModelSpec.model_validate(spec.model_dump(exclude_unset=True) | changes)
    with pytest.raises(StudyError if "names" in case else ModelError, match=message) as caught:
        load_model(changed, dataset_of(16), spec.checkpoint)
    assert "\n" not in str(caught.value)
    named = spec.model_copy(update={"class_names": ["x", "c", "y", "b", "a"]})
    assert load_model(named, dataset_of(16), spec.checkpoint).class_outputs == [4, 3, 1]


def test_outputs_are_chosen_by_the_names_that_travel_with_the_file(four_outputs) -> None:
    path, module = four_outputs
    spec = model_spec("resnet18", width=8, checkpoint=path)
    model = load_model(spec, dataset_of(16), path)
    assert model.class_outputs == [1, 2, 0]
    images = torch.randint(0, 256, (3, 16, 16, 3), dtype=torch.uint8)
    with torch.inference_mode():
        own = module.eval()((images.permute(0, 3, 1, 2) / 255 - 0.5) / 0.25)
    torch.testing.assert_close(model.to(torch.device("cpu")).predict(images), own[:, [1, 2, 0, 3]])
    row = model.row()
    assert row.keys() == {column.name for column in MODELS.columns}
    assert (row["class_count"], row["class_names"], row["class_outputs"]) == (3, ["a", "b", "c"], [1, 2, 0])
    assert row["variant"] == "small: width 8 instead of 64; 3 of 4 outputs"
    assert "3 classes on 3 of 4 outputs, any of which may be the answer (a = 1, b = 2, c = 0)" in "; ".join(
        model.assumptions().values()
    )
    other = load_model(spec.model_copy(update={"class_map": {"a": 3}}), dataset_of(16), path)
    assert other.class_outputs == [3, 2, 0]
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


def test_garbage_and_truncated_files_are_named(saved, tmp_path) -> None:
    path, _ = saved
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"a\.safetensors is not a readable checkpoint"):
        load_model(checkpoint_spec(path), dataset_of(16), path)
    numbers = tmp_path / "numbers.pt"
    torch.save([1, 2], numbers)
    with pytest.raises(ModelError, match="not a state_dict"):
        load_model(checkpoint_spec(numbers), dataset_of(16), numbers)


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Linear(4, 3)))


def prefixed(prefix: str, keep: str = "-") -> dict[str, torch.Tensor]:
    return {(n if n.startswith(keep) else prefix + n): t for n, t in small().state_dict().items()}


CONTAINERS = {
    "bare": lambda t: t,
    "state_dict": lambda t: {"epoch": 3, "state_dict": t},
    "model": lambda t: {"model": t, "optimizer": {"state": {}}},
    "model_state_dict": lambda t: {"model_state_dict": t},
    "net": lambda t: {"net": t, "acc": 0.5},
    "params": lambda t: {"params": t},
    "a container in a container": lambda t: {"state_dict": {"model": t}},
    "averaged alone": lambda t: {"state_dict_ema": t},
    "averaged beside": lambda t: {"state_dict": t, "state_dict_ema": {n: v + 1 for n, v in t.items()}},
}

PREFIXES = {
    "none": ("", "-", ""),
    "data parallel": ("module.", "-", "module."),
    "compiled": ("_orig_mod.", "-", "_orig_mod."),
    "nested": ("module._orig_mod.", "-", "module._orig_mod."),
    "of somebody's own": ("classifier_v2.", "-", "classifier_v2."),
    "on some only": ("backbone.", "2.", "backbone."),
}


@pytest.mark.parametrize("case", CONTAINERS)
def test_tensors_are_found_in_their_usual_containers(case: str, tmp_path) -> None:
    tensors = small().state_dict()
    torch.save(CONTAINERS[case](tensors), tmp_path / "a.pt")
    found = read_checkpoint(tmp_path / "a.pt").tensors
    assert list(found) == list(tensors)
    assert all(torch.equal(found[n], tensors[n]) for n in tensors)


def test_two_containers_are_not_chosen_between(tmp_path) -> None:
    torch.save({"model": small().state_dict(), "net": small().state_dict()}, tmp_path / "a.pt")
    with pytest.raises(ModelError, match=r"a\.pt holds model and net: save the state_dict that is meant"):
        read_checkpoint(tmp_path / "a.pt")
    assert read_checkpoint(tmp_path / "a.pt", "net").container == "net; it also holds model"


RAW, AVERAGED = ({"weight": torch.full((2,), value)} for value in (0.0, 1.0))
BOTH = {"state_dict": RAW, "state_dict_ema": AVERAGED}
SEVERAL = {
    "averaged beside": (BOTH, None, "state_dict; it also holds state_dict_ema", 0),
    "averaged chosen": (
        BOTH, "state_dict_ema", "state_dict_ema; it also holds state_dict", 1,
    ),
    "model and ema": ({"model": RAW, "ema": {"module": AVERAGED}}, None, "model; it also holds ema", 0),
    "a key of somebody's own": ({"student": RAW, "teacher": {"model": AVERAGED}}, "teacher", "teacher.model", 1),
    "nested": ({"state_dict": {"model": RAW, "ema": AVERAGED}}, "ema", "state_dict.ema; it also holds model", 1),
    "alone": ({"state_dict": RAW, "epoch": 3}, None, "", 0),
    "settings beside": ({"model": RAW, "ema": {"decay": 0.99}, "optimizer": {"state": {}}}, None, "", 0),
}  # fmt: skip


@pytest.mark.parametrize(("content", "key", "said", "value"), SEVERAL.values(), ids=SEVERAL)
def test_which_of_several_weights_were_taken_is_said(content, key, said: str, value: float, tmp_path) -> None:
    torch.save(content, tmp_path / "a.pt")
    found = read_checkpoint(tmp_path / "a.pt", key)
    assert (found.container, found.tensors["weight"].tolist()) == (said, [value, value])


@pytest.mark.parametrize(
    ("content", "key", "said"),
    [
        (BOTH, "state_dict_emma", r"did you mean 'state_dict_ema'\?"),
        ({"student": RAW, "optimizer": {}}, "x", "expected one of 'student', 'optimizer'"),
        ({"state_dict": RAW, "epoch": 3}, "epoch", "expected one of 'state_dict'"),
        (RAW, "model", "leave `checkpoint_key` out"),
        ([1], "model", "leave `checkpoint_key` out"),
    ],
    ids=["misspelt", "others", "no container", "bare", "list"],
)  # fmt: skip
def test_a_key_that_a_checkpoint_lacks_is_refused(content, key: str, said: str, tmp_path) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ModelError, match=f"a.pt holds no weights under '{key}': {said}"):
        read_checkpoint(tmp_path / "a.pt", key)


def test_a_study_chooses_weights_and_the_line_before_the_run_names_them(saved, tmp_path) -> None:
    path, averaged = tmp_path / "f.pt", {name: tensor + 1 for name, tensor in saved[1].state_dict().items()}
    torch.save({"state_dict": saved[1].state_dict(), "state_dict_ema": averaged}, path)
    raw, chosen = (
        load_model(checkpoint_spec(path, normalization=NEUTRAL, **given), dataset_of(16), path)
        for given in ({}, {"checkpoint_key": "state_dict_ema"})
    )
    assert "; weights f.pt (state_dict; it also holds state_dict_ema)" in raw.assumptions()["model"]
    assert "; weights f.pt (state_dict_ema; it also holds state_dict)" in chosen.assumptions()["model"]
    assert torch.equal(chosen.module.state_dict()["conv1.weight"], averaged["conv1.weight"])
    with pytest.raises(
        ModelError, match=r"a\.safetensors holds tensors alone, and no 'ema': leave `checkpoint_key` out"
    ):
        load_model(checkpoint_spec(saved[0], checkpoint_key="ema"), dataset_of(16), saved[0])
    with pytest.raises(ValueError, match="checkpoint_key goes with a checkpoint"):
        model_spec("torchvision:resnet18", weights="DEFAULT", checkpoint_key="ema")


@pytest.mark.parametrize("case", PREFIXES)
def test_a_prefix_is_stripped_where_names_then_fit(case: str) -> None:
    prefix, keep, expected = PREFIXES[case]
    tensors, stripped = strip_prefix(prefixed(prefix, keep), small())
    assert stripped == expected
    assert tensors.keys() == small().state_dict().keys()


def test_a_shared_first_part_that_belongs_to_the_names_stays() -> None:
    module = nn.Module()
    module.model = small()
    assert strip_prefix(module.state_dict(), module)[1] == ""


def test_a_study_states_the_training_seed_where_the_file_does_not(saved, tmp_path) -> None:
    copy = tmp_path / "e.pt"
    torch.save(saved[1].state_dict(), copy)
    silent, stated = (
        load_model(checkpoint_spec(copy, normalization=NEUTRAL, **given), dataset_of(16), copy)
        for given in ({}, {"training_seed": 3})
    )
    assert (silent.row()["training_seed"], stated.row()["training_seed"]) == (None, 3)
    assert silent.model_id == stated.model_id, "a seed is no part of an identity"


def test_a_study_that_states_another_training_seed_than_the_file_is_refused(saved) -> None:
    path, _ = saved
    assert load_model(checkpoint_spec(path, training_seed=7), dataset_of(16), path).row()["training_seed"] == 7
    with pytest.raises(ModelError, match=r"trained with seed 7, but the study gives model 'A' training_seed = 3"):
        load_model(checkpoint_spec(path, training_seed=3), dataset_of(16), path)
