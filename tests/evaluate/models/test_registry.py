"""Networks by name: whose they are, options and stems, and what is said of names and options that are none."""

import importlib
import sys

import pytest
import torch
from model_specs import BUILDERS_MODULE, untrained_spec

from failmodes.evaluate.models import registry as naming
from failmodes.evaluate.models.registry import family_of, resolve_architecture, source_hash
from failmodes.warehouse.errors import ModelError

NAMES = {
    "resnet18": ("resnet18", "resnet"),
    "torchvision:resnet18": ("torchvision:resnet18", "resnet"),
    "mobilenet_v3_small": ("torchvision:mobilenet_v3_small", "mobilenet"),
    "squeezenet1_1": ("torchvision:squeezenet1_1", "squeezenet"),
    "vit_tiny_patch16_224": ("timm:vit_tiny_patch16_224", "vit"),
    "timm:levit_128s": ("timm:levit_128s", "levit"),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_looked_up_and_written_one_way(name: str) -> None:
    if "vit" in name:
        pytest.importorskip("timm")
    canonical, family = NAMES[name]

    class LeViT(torch.nn.Module):
        pass

    assert resolve_architecture(name).canonical == canonical
    assert family_of(resolve_architecture(name), LeViT()) == family


@pytest.mark.parametrize("name", ["timm:resnet18", "resnet18x"])
def test_timm_is_asked_for_where_it_is_needed_and_missing(name: str, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModelError, match=r'pip install "failmodes\[timm\]"'):
        naming.resolve_architecture(name)


def test_a_users_network_is_defined_by_its_source_text(builders_module: str, tmp_path) -> None:
    spec = untrained_spec(f"{builders_module}:Flat")
    first = source_hash(spec)
    assert first == source_hash(untrained_spec(f"{builders_module}:fixed"))
    assert source_hash(untrained_spec("resnet18")) is None
    (tmp_path / f"{builders_module}.py").write_text(BUILDERS_MODULE + "changed = True\n")
    sys.modules.pop(builders_module)
    importlib.invalidate_caches()
    import linecache

    linecache.clearcache()
    assert source_hash(spec) != first
