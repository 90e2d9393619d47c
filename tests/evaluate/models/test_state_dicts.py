"""Checkpoints: those that fit are loaded, those that do not are refused before the first batch."""

import pickle

import pytest
import torch
from model_specs import checkpoint_spec
from torch import nn

from failmodes.evaluate.models.checkpoints import load_checkpoint
from failmodes.evaluate.models.state_dicts import read_tensors, strip_prefix
from failmodes.warehouse.errors import ModelError

CLASSES = ("a", "b", "c")

NEUTRAL = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}


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
            load_checkpoint(path, checkpoint_spec(path, normalisation=NEUTRAL), CLASSES)
        assert not marker.exists()


def test_garbage_and_truncated_files_are_named(saved, tmp_path) -> None:
    path, _ = saved
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"a\.safetensors is not a readable checkpoint"):
        load_checkpoint(path, checkpoint_spec(path), CLASSES)
    numbers = tmp_path / "numbers.pt"
    torch.save([1, 2], numbers)
    with pytest.raises(ModelError, match="not a state_dict"):
        load_checkpoint(numbers, checkpoint_spec(numbers), CLASSES)


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
    found, _ = read_tensors(tmp_path / "a.pt")
    assert list(found) == list(tensors)
    assert all(torch.equal(found[n], tensors[n]) for n in tensors)


def test_two_containers_are_not_chosen_between(tmp_path) -> None:
    torch.save({"model": small().state_dict(), "net": small().state_dict()}, tmp_path / "a.pt")
    with pytest.raises(ModelError, match=r"a\.pt holds model and net: save the state_dict that is meant"):
        read_tensors(tmp_path / "a.pt")


@pytest.mark.parametrize("case", PREFIXES)
def test_a_prefix_is_stripped_where_names_then_fit(case: str) -> None:
    prefix, keep, expected = PREFIXES[case]
    renamed = strip_prefix(prefixed(prefix, keep), small())
    assert renamed.prefix == expected
    assert renamed.tensors.keys() == small().state_dict().keys()


def test_a_shared_first_part_that_belongs_to_the_names_stays() -> None:
    module = nn.Module()
    module.model = small()
    assert strip_prefix(module.state_dict(), module).prefix == ""
