"""Models in memory: copied, named and identified; the original is not modified."""

import contextlib
import copy
import functools
import operator
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from live_models import (
    HALF,
    IMAGES,
    NAMES,
    PIXELS,
    Net,
    Predictor,
    Tied,
    as_model,
    assert_equal,
    live,
    logits,
    spec_of,
    state,
)
from torch import nn
from torchvision.models import resnet18

from failmodes.evaluate.models.preprocessing import UNIT_RANGE
from failmodes.runtime.errors import ModelError, StudyError


class Locked(Net):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class CopyIsItself(Net):
    def __deepcopy__(self, memo):
        return self


def optimized() -> nn.Module:
    return torch.jit.optimize_for_inference(torch.jit.script(Net().eval()))


class Raises(Net):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no such luck\nat all")


@pytest.mark.parametrize(
    "make",
    [Net, lambda: Net().half(), Tied, Raises, lambda: Net(5)],
    ids=["plain", "half", "tied", "raises", "other outputs"],
)
def test_the_callers_module_is_left_as_it_was(make) -> None:
    module = make().train()
    first = next(module.children())
    first.eval()
    first.requires_grad_(False)
    module.register_forward_hook(lambda module, given, output: output)
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = state(module)
    random_state = torch.get_rng_state()
    with contextlib.suppress(ModelError, StudyError):
        logits(as_model(module))
    assert_equal(state(module), before)
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize(
    ("make", "tolerance"),
    [(Net, 1e-5), (lambda: Net().half(), 1e-2), (Tied, 1e-5)],
    ids=["plain", "half", "tied"],
)
def test_its_logits_are_those_of_the_module_in_evaluation_mode(make, tolerance) -> None:
    module = make().train()
    found = logits(as_model(module, normalization=([0.5, 0.4, 0.3], [0.2, 0.3, 0.4])))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in ([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]))
    expected = copy.deepcopy(module).float().eval()((PIXELS / 255 - mean) / std)
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


PROGRAMS = {
    "scripted": lambda: torch.jit.script(Net()),
    "traced": lambda: torch.jit.trace(Net().eval(), torch.zeros(1, 3, 8, 8)),
    "frozen": lambda: torch.jit.freeze(torch.jit.script(Net().eval())),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("make", PROGRAMS.values(), ids=PROGRAMS)
def test_torchscript_is_evaluated(make) -> None:
    model = as_model(make())
    torch.testing.assert_close(logits(model), Net().eval()(PIXELS / 255), atol=1e-5, rtol=0)
    assert as_model(make()).model_id == model.model_id


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Locked, "cannot be copied .*lock"),
        (CopyIsItself, "cannot be copied .*shares parts"),
        (lambda: Net, r"is the class Net: call it, .*such as Net\(\)"),
        (lambda: resnet18, "is the function that builds a model resnet18: call it"),
        (lambda: optimized(), "cannot be copied .*before torch.jit.optimize_for_inference"),
        (lambda: "resnet18", "is a str"),
    ],
    ids=["lock", "copy is itself", "class", "builder", "optimized program", "name"],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_objects_that_cannot_be_copied_are_refused(make, said: str) -> None:
    given = make()
    with pytest.raises(ModelError, match=rf"^model 'Net A' {said}") as refused:
        live(given)
    assert "\n" not in str(refused.value)
    if isinstance(given, nn.Module) and not isinstance(given, torch.jit.ScriptModule):
        assert given.training
        assert all(parameter.requires_grad for parameter in given.parameters())


def identity(given, **more) -> str:
    return as_model(given, **more).model_id


def test_all_that_changes_rows_changes_the_identity() -> None:
    def with_net(net: nn.Module):
        return lambda images: net.eval()(torch.from_numpy(images).permute(0, 3, 1, 2) / 255).detach()

    hooked = Net()
    hooked.register_forward_hook(lambda module, given, output: output * 2)
    strided = Net()
    strided.conv.stride = (2, 2)
    many = [
        identity(Net()),
        identity(Net(seed=1)),
        identity(hooked),
        identity(strided),
        identity(Net(), normalization=HALF),
        identity(Net(), input_side_px=12),
        identity(Net(), class_names=["dog", "cat", "owl"]),
        identity(Net(), version="1"),
        identity(Net(), version="2"),
        identity(with_net(Net())),
        identity(with_net(Net(seed=1))),
        identity(Predictor()),
    ]
    assert len(set(many)) == len(many)
    assert identity(Net().train()) == identity(Net().requires_grad_(False).eval()) == many[0]
    assert identity(Net(), label="another") == many[0]
    assert identity(with_net(Net()), label="another") == many[9]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_quantized_model_runs_and_is_identified_by_its_numbers() -> None:
    def quantized(seed: int) -> nn.Module:
        return torch.ao.quantization.quantize_dynamic(Net(seed=seed).eval(), {nn.Linear}, torch.qint8)

    with pytest.raises(ModelError, match="dynamic quantization"):
        as_model(quantized(0))
    made = as_model(quantized(0), deterministic=False)
    expected = quantized(0)(PIXELS / 255)
    torch.testing.assert_close(logits(made), expected, atol=0.02, rtol=0)
    ids = [identity(quantized(seed), deterministic=False) for seed in (0, 1)]
    assert ids[1] != made.model_id == ids[0]


@pytest.mark.test_all
def test_an_exported_program_in_memory_is_evaluated_under_one_identity() -> None:
    shapes = ({0: torch.export.Dim("n")},)
    program = torch.export.export(Net().eval(), (torch.zeros(2, 3, 8, 8),), dynamic_shapes=shapes)
    made, module = as_model(program), as_model(program.module())
    torch.testing.assert_close(logits(made), Net().eval()(PIXELS / 255), atol=1e-5, rtol=0)
    assert made.model_id == module.model_id


LOGITS = IMAGES.mean((1, 2))
FUNCTIONS = {
    "NumPy": lambda images: images.mean((1, 2)),
    "lists": lambda images: images.mean((1, 2)).tolist(),
    "torch": lambda images: torch.from_numpy(images.mean((1, 2))),
    "tensors": lambda images: [torch.from_numpy(row) for row in images.mean((1, 2))],
    "with gradients": lambda images: torch.from_numpy(images.mean((1, 2))) * nn.Parameter(torch.ones(1)),
    "writes into its input": lambda images: images.mean((1, 2)) + 0 * np.add(images, 0, out=images).min(),
    "callable": Predictor(),
    "method": Predictor().__call__,
    "partial": functools.partial(np.mean, axis=(1, 2)),
    "methodcaller": operator.methodcaller("mean", (1, 2)),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_function_gets_pixels_and_gives_logits(function) -> None:
    made = as_model(function)
    torch.testing.assert_close(logits(made), torch.from_numpy(LOGITS).float())
    assert (made.preprocessing.normalization, made.checkpoint) == (None, None)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda images: 1 / 0, "raised ZeroDivisionError"),
        (lambda images: images.mean(1), r"returns \(1, 8, 3\) for one image"),
        (lambda images: np.ones((len(images), 5)), "5 outputs, but the dataset has 3 classes"),
        (lambda images: np.ones((1, 5)), r"returns \(1, 5\) for two images"),
        (lambda images: Net(), "it returns a Net: call it"),
    ],
    ids=["raises", "gives maps", "other classes", "one row", "builds a model"],
)
def test_a_function_without_logits_is_refused(function, said: str) -> None:
    with pytest.raises(StudyError if "3 classes" in said else ModelError, match=said):
        as_model(function)


NORMALIZATIONS = {
    "lists": ([0.5, 0.4, 0.3], [0.1, 0.2, 0.3]),
    "arrays": (np.array([0.5, 0.4, 0.3]), np.array([0.1, 0.2, 0.3])),
    "tensors": (torch.tensor([0.5, 0.4, 0.3], dtype=torch.float64), torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)),
    "mapping": {"mean": [0.5, 0.4, 0.3], "std": (0.1, 0.2, 0.3)},
}


@pytest.mark.parametrize("given", NORMALIZATIONS.values(), ids=NORMALIZATIONS)
def test_a_normalization_in_any_form(given) -> None:
    made = spec_of(Net(), normalization=given).normalization
    assert (made.mean, made.std) == ((0.5, 0.4, 0.3), (0.1, 0.2, 0.3))


@pytest.mark.test_all
def test_the_normalization_of_a_timm_model_is_the_default() -> None:
    import timm

    module = timm.create_model("test_resnet", num_classes=3)
    half = {"mean": (0.5, 0.5, 0.5), "std": [0.25, 0.25, 0.25], "input_size": (3, 160, 160)}
    module.pretrained_cfg = module.pretrained_cfg | half
    made, given, plain = as_model(module), as_model(module, normalization="none"), as_model(Net())
    assert (made.preprocessing.normalization.mean, made.preprocessing.normalization.std) == ((0.5,) * 3, (0.25,) * 3)
    assert made.preprocessing.input_side_px is None, "images are not resized by it"
    assert "160×160 px" in made.assumptions()["resize"]
    assert "create_transform" in made.assumptions()["resize"] == given.assumptions()["resize"]
    assert given.preprocessing.normalization == plain.preprocessing.normalization == UNIT_RANGE
    assert [one.preprocessing.is_assumed for one in (made, given, plain)] == [False, False, True]
    assert given.model_id != made.model_id
    module.pretrained_cfg = module.pretrained_cfg | {"std": (0, 0, 0)}
    assert as_model(module).preprocessing.is_assumed


def configured(*names: str, outputs: int = 3) -> Net:
    """A model with the configuration of Hugging Face's."""
    module = Net(outputs)
    module.config = SimpleNamespace(id2label=dict(enumerate(names)))
    return module


@pytest.mark.parametrize("wrap", [nn.Sequential, nn.DataParallel])
def test_names_of_a_models_own_config_decide_which_outputs_classes_are(wrap) -> None:
    made = as_model(wrap(configured("owl", "Cat, domestic", "dog")))
    assert (made.output_map.class_outputs, made.row()["class_names"]) == ([1, 2, 0], ["Cat, domestic", "dog", "owl"])
    assert as_model(wrap(configured(*NAMES))).output_map.class_outputs is None
    assert as_model(configured("LABEL_0", "LABEL_1", "LABEL_2")).output_map.class_outputs is None
    more = as_model(wrap(configured("owl", "fox", "cat", "dog", outputs=4)))
    assert (more.output_map.class_outputs, more.output_map.protocol) == ([2, 3, 0], "all")
