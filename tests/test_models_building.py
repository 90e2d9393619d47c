"""Networks by name: whose they are, options and stems, and what is said of names and options that are none."""

import importlib
import sys

import pytest
import torch
from pydantic import ValidationError

from failmodes.evaluate.models import registry as naming
from failmodes.evaluate.models.build import build_module
from failmodes.evaluate.models.registry import family_of, resolve_architecture, source_hash
from failmodes.evaluate.study.study_schema import ModelSpec
from failmodes.warehouse.errors import ModelError

USER_MODULE = """
from torch import nn
class Flat(nn.Module):
    def __init__(self, num_classes=3, hidden=4):
        super().__init__()
        self.flat = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, hidden))
        self.fc = nn.Linear(hidden, num_classes)
    def forward(self, x):
        return self.fc(self.flat(x))
def fixed(): return Flat(5)
def any_argument(**kwargs): return Flat(**kwargs)
def nothing(): return 3
def broken(num_classes): raise RuntimeError("no such luck\\nat all")
instance = Flat()
"""

VIT = {"img_size": 16, "patch_size": 4, "depth": 1, "embed_dim": 24, "num_heads": 3}


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    name = f"nets_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(USER_MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield name
    sys.modules.pop(name, None)


def spec_of(architecture: str, **changes) -> ModelSpec:
    return ModelSpec(**({"label": "A", "architecture": architecture, "training": {}} | changes))


NAMES = {
    "resnet18": ("resnet18", "resnet"),
    "torchvision:resnet18": ("torchvision:resnet18", "resnet"),
    "mobilenet_v3_small": ("torchvision:mobilenet_v3_small", "mobilenet"),
    "squeezenet1_1": ("torchvision:squeezenet1_1", "squeezenet"),
    "vit_tiny_patch16_224": ("timm:vit_tiny_patch16_224", "vit"),
    "timm:levit_128s": ("timm:levit_128s", "levit"),
}

BUILT = {
    "torchvision by its bare name": ("mobilenet_v3_small", {}, 32),
    "torchvision with options": ("torchvision:mobilenet_v2", {"options": {"width_mult": 0.25}}, 32),
    "torchvision with the CIFAR stem": ("torchvision:resnet18", {"stem": "cifar"}, 8),
    "timm with options": ("timm:vit_tiny_patch16_224", {"options": VIT}, 16),
    "timm with the CIFAR stem": ("timm:resnet10t", {"options": {"stem_type": ""}, "stem": "cifar"}, 8),
    "a class of the user's": ("MODULE:Flat", {"options": {"hidden": 2}}, 8),
    "a function that hands on": ("MODULE:any_argument", {}, 8),
}

NOT_BUILT = {
    "no such name": ("resnet19", {}, "unknown architecture 'resnet19': did you mean .*resnet18"),
    "no such name of torchvision": ("torchvision:resnet19", {}, "torchvision:resnet19': did you mean .*resnet18"),
    "no such name of timm": ("timm:resnet18x", {}, "timm:resnet18x': did you mean .*resnet18"),
    "no classifier": ("torchvision:fcn_resnet50", {}, "unknown architecture"),
    "no such option": ("mobilenet_v2", {"options": {"widht": 1}}, "cannot be built with options.*TypeError.*widht"),
    "no such option of the user's": ("MODULE:Flat", {"options": {"deep": 1}}, "cannot be built.*deep"),
    "a function that raises": ("MODULE:broken", {}, "cannot be built: RuntimeError: no such luck$"),
    "a stem where there is none": ("mobilenet_v2", {"stem": "cifar"}, 'stem = "cifar" does not fit mobilenet_v2'),
    "a deep stem": ("timm:resnet18d", {"stem": "cifar"}, "does not fit timm:resnet18d"),
    "no network": ("MODULE:nothing", {}, "made a int: expected a torch nn.Module"),
    "a network, not a function": ("MODULE:instance", {}, "is a Flat: expected a function"),
    "no such function": ("MODULE:gone", {}, "cannot be imported.*AttributeError.*gone"),
    "no such module": ("no_such_module_:f", {}, "cannot be imported.*ModuleNotFoundError"),
}  # fmt: skip

REFUSED = {
    "not a name": ("resnet 18", {}, "unknown architecture 'resnet 18'"),
    "no weights at all": ("mobilenet_v2", {"training": None}, r"needs one of .*given: none"),
    "two sources": ("mobilenet_v2", {"weights": "DEFAULT"}, "given: training and weights"),
    "weights of ours": ("resnet18", {"training": None, "weights": "DEFAULT"}, "write torchvision:resnet18"),
    "width of others": ("mobilenet_v2", {"width": 8}, "`width` is for resnet18 and densenet121"),
    "options of ours": ("resnet18", {"options": {"a": 1}}, "`options` is not for resnet18"),
    "stem of ours": ("resnet18", {"stem": "cifar"}, "`stem` is not for resnet18"),
    "stem of pretrained": ("resnet50", {"training": None, "weights": "DEFAULT", "stem": "cifar"}, "`stem` goes with"),
    "outputs as an option": ("mobilenet_v2", {"options": {"num_classes": 3}}, "options must not hold num_classes"),
    "weights as an option": ("timm:resnet18", {"options": {"checkpoint_path": "x"}}, "must not hold checkpoint_path"),
    "class map in training": ("resnet18", {"class_map": {"a": 1}}, "class_map goes with given weights"),
    "a truth for an index": ("a:b", {"training": None, "class_map": {"a": True}}, "class_map"),
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


@pytest.mark.parametrize("case", BUILT)
def test_a_network_is_built_with_an_output_a_class(case: str, user_module: str) -> None:
    architecture, changes, side = BUILT[case]
    if architecture.startswith("timm"):
        pytest.importorskip("timm")
    module = build_module(spec_of(architecture.replace("MODULE", user_module), **changes), 7).eval()
    with torch.inference_mode():
        assert module(torch.zeros(2, 3, side, side)).shape == (2, 7)


def test_a_function_that_takes_no_class_count_decides_itself(user_module: str) -> None:
    assert build_module(spec_of(f"{user_module}:fixed"), 7).fc.out_features == 5


@pytest.mark.parametrize("case", NOT_BUILT)
def test_what_cannot_be_built_is_one_line(case: str, user_module: str) -> None:
    architecture, changes, message = NOT_BUILT[case]
    if architecture.startswith("timm"):
        pytest.importorskip("timm")
    with pytest.raises(ModelError, match=message) as caught:
        build_module(spec_of(architecture.replace("MODULE", user_module), **changes), 7)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", REFUSED)
def test_keys_that_do_not_go_together_are_refused(case: str) -> None:
    architecture, changes, message = REFUSED[case]
    with pytest.raises(ValidationError, match=message):
        spec_of(architecture, **changes)


@pytest.mark.parametrize("source", ["torchvision:resnet18", "timm:resnet18"])
def test_the_cifar_stem_keeps_resolution_and_is_ours_otherwise(source: str) -> None:
    if source.startswith("timm"):
        pytest.importorskip("timm")
    module = build_module(spec_of(source, stem="cifar"), 7)
    ours = build_module(spec_of("resnet18"), 7)
    assert {n: t.shape for n, t in module.state_dict().items()} == {n: t.shape for n, t in ours.state_dict().items()}
    torch.manual_seed(0)
    images = torch.rand(2, 3, 16, 16)
    module.load_state_dict(ours.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(module.eval()(images), ours.eval()(images))


@pytest.mark.parametrize("name", ["timm:resnet18", "resnet18x"])
def test_timm_is_asked_for_where_it_is_needed_and_missing(name: str, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModelError, match=r'pip install "failmodes\[timm\]"'):
        naming.resolve_architecture(name)


def test_a_users_network_is_defined_by_its_source_text(user_module: str, tmp_path) -> None:
    spec = spec_of(f"{user_module}:Flat")
    first = source_hash(spec)
    assert first == source_hash(spec_of(f"{user_module}:fixed"))
    assert source_hash(spec_of("resnet18")) is None
    (tmp_path / f"{user_module}.py").write_text(USER_MODULE + "changed = True\n")
    sys.modules.pop(user_module)
    importlib.invalidate_caches()
    import linecache

    linecache.clearcache()
    assert source_hash(spec) != first
