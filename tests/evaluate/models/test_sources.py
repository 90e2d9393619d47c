"""Architectures by name: their sources, options, and errors for unknown names and options."""

import importlib
import sys

import pytest
import torch
from model_specs import BUILDERS_MODULE, untrained_spec

from failmodes.evaluate.models.model import family_of
from failmodes.evaluate.models.sources import build_module, resolve_architecture
from failmodes.evaluate.models.sources.own_code import definition
from failmodes.runtime.errors import ModelError, StudyError

VIT = {"img_size": 16, "patch_size": 4, "depth": 1, "embed_dim": 24, "num_heads": 3}

NAMES = {
    "resnet18": ("resnet18", "resnet"),
    "mobilenet_v3_small": ("torchvision:mobilenet_v3_small", "mobilenet"),
    "vit_tiny_patch16_224": ("timm:vit_tiny_patch16_224", "vit"),
    "timm:levit_128s": ("timm:levit_128s", "levit"),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.test_all] * ("vit" in name)) for name in NAMES])
def test_a_name_is_looked_up_and_written_one_way(name: str) -> None:
    canonical, family = NAMES[name]

    class LeViT(torch.nn.Module):
        pass

    assert resolve_architecture(name).canonical == canonical
    assert family_of(resolve_architecture(name).canonical, LeViT()) == family


def test_a_users_model_is_defined_by_its_source_text(builders_module: str, tmp_path) -> None:
    spec = untrained_spec(f"{builders_module}:Flat")
    first = definition(spec.architecture)
    assert first == definition(f"{builders_module}:fixed")
    (tmp_path / f"{builders_module}.py").write_text(BUILDERS_MODULE + "changed = True\n")
    sys.modules.pop(builders_module)
    importlib.invalidate_caches()
    import linecache

    linecache.clearcache()
    assert definition(spec.architecture) != first


BUILT = {
    "torchvision by its bare name": ("mobilenet_v3_small", {}, 32),
    "torchvision with options": ("torchvision:mobilenet_v2", {"options": {"width_mult": 0.25}}, 32),
    "timm with options": ("timm:vit_tiny_patch16_224", {"options": VIT}, 16),
    "timm with the CIFAR stem": ("timm:resnet10t", {"options": {"stem_type": ""}, "stem": "cifar"}, 8),
    "a class of the user's": ("MODULE:Flat", {"options": {"hidden": 2}}, 8),
    "a function that hands on": ("MODULE:any_argument", {}, 8),
}

NOT_BUILT = {
    "no such name": ("resnet19", {}, "unknown architecture 'resnet19': .*did you mean .*resnet18"),
    "no classifier": ("torchvision:fcn_resnet50", {}, "unknown architecture"),
    "no such option": ("mobilenet_v2", {"options": {"widht": 1}}, "cannot be built with options.*TypeError.*widht"),
    "a function that raises": ("MODULE:broken", {}, "cannot be built: RuntimeError: no such luck$"),
    "a stem where there is none": ("mobilenet_v2", {"stem": "cifar"}, 'stem = "cifar" does not fit mobilenet_v2'),
    "no model": ("MODULE:nothing", {}, "returned a int: expected a torch nn.Module"),
    "no such source": ("torchvison:resnet18", {}, "did you mean 'torchvision:'"),
    "no such module": ("no_such_module_:f", {}, "cannot be imported.*ModuleNotFoundError"),
}  # fmt: skip


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[pytest.mark.test_all] * ("timm" in case)) for case in BUILT]
)
def test_a_model_is_built_with_an_output_a_class(case: str, builders_module: str) -> None:
    architecture, changes, side = BUILT[case]
    module = build_module(untrained_spec(architecture.replace("MODULE", builders_module), **changes), 7).eval()
    with torch.inference_mode():
        assert module(torch.zeros(2, 3, side, side)).shape == (2, 7)


@pytest.mark.parametrize("case", NOT_BUILT)
def test_an_invalid_architecture_is_one_line(case: str, builders_module: str) -> None:
    architecture, changes, message = NOT_BUILT[case]
    with pytest.raises(ModelError if case == "a function that raises" else StudyError, match=message) as caught:
        build_module(untrained_spec(architecture.replace("MODULE", builders_module), **changes), 7)
    assert "\n" not in str(caught.value)
