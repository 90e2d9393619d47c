"""The built-in models and the CIFAR stem."""

import pytest
import torch
from model_specs import untrained_spec

from failmodes.evaluate.models.sources import build_module
from failmodes.evaluate.models.sources.builtin import ARCHITECTURES


@pytest.mark.parametrize("source", ["torchvision:resnet18", pytest.param("timm:resnet18", marks=pytest.mark.test_all)])
def test_the_cifar_stem_keeps_resolution_and_is_ours_otherwise(source: str) -> None:
    module = build_module(untrained_spec(source, stem="cifar"), 7)
    ours = build_module(untrained_spec("resnet18"), 7)
    assert {n: t.shape for n, t in module.state_dict().items()} == {n: t.shape for n, t in ours.state_dict().items()}
    torch.manual_seed(0)
    images = torch.rand(2, 3, 16, 16)
    module.load_state_dict(ours.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(module.eval()(images), ours.eval()(images))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_models_keep_resolution_at_the_stem_and_have_the_published_parameters(architecture: str) -> None:
    module = ARCHITECTURES[architecture](7, 64).eval()
    seen = []
    module.get_submodule({"resnet18": "layer4", "densenet121": "features"}[architecture]).register_forward_hook(
        lambda _m, _i, output: seen.append(tuple(output.shape[2:]))
    )
    with torch.inference_mode():
        assert module(torch.zeros(1, 3, 32, 32)).shape == (1, 7)
    assert seen == [(4, 4)]
    # torchvision's own count for 1,000 classes, less the larger stem and the larger head
    published, channels = {"resnet18": (11_689_512, 512), "densenet121": (7_978_856, 1024)}[architecture]
    expected = published - 3 * 64 * (7 * 7 - 3 * 3) - (channels + 1) * (1000 - 7)
    assert sum(p.numel() for p in module.parameters()) == expected
