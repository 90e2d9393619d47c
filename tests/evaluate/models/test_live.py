"""Models that are objects of this process: copied, named, identified; the caller's own is left as it was."""

import copy
import functools
import io
import threading
import warnings

import numpy as np
import pytest
import torch
from live_models import HALF, PIXELS, Net, Predictor, Tied, as_model, assert_equal, live, logits, state
from torch import nn
from torch.nn.utils.prune import random_unstructured

from failmodes.evaluate.benchmark import why_unnamed
from failmodes.warehouse.errors import ModelError, StudyError


class Locked(Net):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class CopyIsItself(Net):
    def __deepcopy__(self, memo):
        return self


class SharesWeights(Net):
    def __deepcopy__(self, memo):
        other = Net()
        other.head.weight = self.head.weight
        return other


class Raises(Net):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no such luck\nat all")


class Maps(Net):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.conv(images)


@pytest.mark.parametrize(
    "make",
    [Net, lambda: Net().half(), lambda: Net().bfloat16(), lambda: Net().double(), Tied, Raises, Maps, lambda: Net(5)],
    ids=["plain", "half", "bfloat16", "double", "tied", "raises", "gives maps", "other outputs"],
)
def test_the_callers_module_is_left_as_it_was(make) -> None:
    module = make().train()
    first = next(module.children())
    first.eval()
    first.requires_grad_(False)
    hook = module.register_forward_hook(lambda module, given, output: output)
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = state(module)
    random_state = torch.get_rng_state()
    try:
        logits(as_model(module))
    except (ModelError, StudyError):
        assert isinstance(module, Raises | Maps) or module.head.out_features == 5
    assert_equal(state(module), before)
    assert torch.equal(torch.get_rng_state(), random_state)
    hook.remove()


@pytest.mark.parametrize(
    ("make", "tolerance"),
    [(Net, 1e-5), (lambda: Net().half(), 1e-2), (lambda: Net().double(), 1e-5), (Tied, 1e-5)],
    ids=["plain", "half", "double", "tied"],
)
def test_its_logits_are_those_of_the_module_in_evaluation_mode(make, tolerance) -> None:
    module = make().train()
    found = logits(as_model(module, normalization=([0.5, 0.4, 0.3], [0.2, 0.3, 0.4])))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in ([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]))
    expected = copy.deepcopy(module).float().eval()((PIXELS / 255 - mean) / std)
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize(
    "wrap",
    [
        torch.compile, nn.DataParallel,
        lambda net: torch.compile(nn.DataParallel(net)), lambda net: nn.DataParallel(torch.compile(net)),
    ],
    ids=["compiled", "parallel", "compiled and parallel", "parallel and compiled"],
)  # fmt: skip
def test_a_wrapper_does_not_change_the_model(wrap) -> None:
    plain, wrapped = (as_model(module) for module in (Net(), wrap(Net())))
    assert wrapped.model_id == plain.model_id
    assert wrapped.architecture == plain.architecture


class Around(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.jit.script(Net())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.inner(images)


def loaded() -> nn.Module:
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(Net()), file)
    file.seek(0)
    return torch.jit.load(file)


PROGRAMS = {
    "scripted": lambda: torch.jit.script(Net()),
    "traced": lambda: torch.jit.trace(Net().eval(), torch.zeros(1, 3, 8, 8)),
    "frozen": lambda: torch.jit.freeze(torch.jit.script(Net().eval())),
    "loaded": loaded,
    "inside a module": Around,
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("make", PROGRAMS.values(), ids=PROGRAMS)
def test_torchscript_is_evaluated_and_left_as_it_was(make) -> None:
    program = make()
    before = program_state(program)
    with warnings.catch_warnings():  # that it is deprecated is for whoever compiles a model
        warnings.filterwarnings("error", r".*torch\.jit\.(save|load)")
        model = as_model(program)
    torch.testing.assert_close(logits(model), Net().eval()(PIXELS / 255), atol=1e-5, rtol=0)
    assert_equal(program_state(program), before)
    assert as_model(make()).model_id == model.model_id
    if not isinstance(program, Around):
        assert (model.architecture, model.row()["family"]) == ("torch.jit:Net", "scriptedmodule")


def program_state(program: nn.Module) -> dict[str, object]:
    return {
        "tensors": {name: tensor.clone() for name, tensor in program.state_dict().items()},
        "gradients": {name: (p.requires_grad, p.grad) for name, p in program.named_parameters()},
        "modes": [getattr(part, "training", None) for part in program.modules()],  # a frozen one has none
    }


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Locked, r"cannot be copied \(TypeError: cannot pickle '_thread.lock' object\)"),
        (CopyIsItself, r"cannot be copied \(TypeError: its copy shares parts with it\)"),
        (SharesWeights, r"cannot be copied \(TypeError: its copy shares parts with it\)"),
        (lambda: Net().to("meta"), r"cannot be copied \(NotImplementedError"),
        (lambda: Net, "is the class Net: expected a torch module or a function .*: make one, Net\\(\\)"),
        (lambda: Predictor, "is the class Predictor: .*: make one, Predictor\\(\\)"),
        (lambda: "resnet18", "is a str: expected a torch module or a function from pixels to logits$"),
        (lambda: None, "is a NoneType: expected a torch module"),
    ],
    ids=["lock", "copy is itself", "copy shares weights", "no values", "class", "class of a callable", "name", "None"],
)
def test_what_is_no_model_that_can_be_copied_is_refused(make, said: str) -> None:
    given = make()
    with pytest.raises(ModelError, match=rf"^model 'Net A' {said}") as refused:
        live(given)
    assert "\n" not in str(refused.value)
    if isinstance(given, nn.Module):
        assert given.training
        assert all(parameter.requires_grad for parameter in given.parameters())


def test_a_module_that_keeps_what_it_computed_is_copied_and_identified_whatever_it_saw() -> None:
    class Keeps(Net):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.seen = self.conv(images)
            return super().forward(images)

    fresh, used, pruned = Keeps(), Keeps().eval(), Net()
    used(torch.ones(2, 3, 9, 9)).sum()
    random_unstructured(pruned.head, "weight", 0.5)
    made = as_model(used)
    assert used.seen.requires_grad
    assert made.model_id == as_model(fresh).model_id
    torch.testing.assert_close(logits(as_model(pruned)), pruned.eval()(PIXELS / 255), atol=1e-5, rtol=0)


def test_a_forward_pass_that_holds_the_module_itself_is_refused_before_it_runs() -> None:
    module = Net().train()
    original = module.forward
    module.forward = lambda images: original(images) * 2
    before = state(module)
    with pytest.raises(ModelError, match="'Net A' cannot be copied: its forward pass was replaced by a function that"):
        live(module)
    assert_equal(state(module), before)
    assert not torch.nn.modules.module._global_forward_pre_hooks


def test_a_forward_pass_that_is_replaced_for_all_is_used() -> None:
    module, patched = Net(), Net()
    patched.forward = functools.partial(Net.forward, patched)
    torch.testing.assert_close(logits(as_model(patched)), logits(as_model(module)))


def test_preprocessing_stands_instead_of_normalization() -> None:
    def prepare(images):
        return images.float() / 255

    made = as_model(Net(), preprocess=prepare)
    torch.testing.assert_close(logits(made), logits(as_model(Net())))
    assert made.model_id != as_model(Net()).model_id
    assert "with preprocessing of its own" in why_unnamed(made)
    for more in ({"normalization": HALF}, {"input_side_px": 16}):
        with pytest.raises(ModelError, match="preprocess= stands instead of normalization and input_side_px"):
            live(Net(), preprocess=prepare, **more)


def test_a_module_without_tensors() -> None:
    class Means(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean((2, 3))

    made = as_model(Means())
    assert "a Means of the program that called this benchmark" in why_unnamed(made)
    assert made.row()["parameter_count"] is None


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


def test_a_version_stands_for_code_that_cannot_be_read_under_its_label() -> None:
    lock = threading.Lock()

    def predict(images: np.ndarray) -> np.ndarray:
        with lock:
            return images.mean((1, 2))

    with pytest.raises(ModelError, match=r"model 'Net A' cannot be identified: .*lock.*version=\"1\""):
        as_model(predict)
    one = identity(predict, version="1")
    assert identity(predict, version="1") == one
    assert identity(predict, version="2") != one
    assert identity(predict, version="1", label="another session") != one


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_quantized_model_runs_and_is_identified_by_its_numbers() -> None:
    def quantized(seed: int) -> nn.Module:
        return torch.ao.quantization.quantize_dynamic(Net(seed=seed).eval(), {nn.Linear}, torch.qint8)

    with pytest.raises(ModelError, match="other outputs in another batch .* dynamic quantization"):
        as_model(quantized(0))
    made = as_model(quantized(0), deterministic=False)
    expected = quantized(0)(PIXELS / 255)
    torch.testing.assert_close(logits(made), expected, atol=0.02, rtol=0)
    ids = [identity(quantized(seed), deterministic=False) for seed in (0, 1)]
    assert ids[1] != made.model_id == ids[0]


def test_complex_weights_count_in_both_parts() -> None:
    class Spectral(nn.Module):
        def __init__(self, phase: float) -> None:
            super().__init__()
            self.filter = nn.Parameter(torch.polar(torch.ones(3), torch.tensor([phase] * 3)))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return (images.mean((2, 3)) * self.filter).imag

    assert identity(Spectral(0.1)) != identity(Spectral(-0.1))


def test_outputs_are_counted_once_and_an_error_is_one_line() -> None:
    calls = []

    def predict(images: np.ndarray) -> np.ndarray:
        calls.append(images.shape)
        return images.mean((1, 2))

    model = live(predict)
    assert model.output_count == 3
    assert calls == [(1, 8, 8, 3), (2, 8, 8, 3), (2, 8, 8, 3)]
    with pytest.raises(
        ModelError, match=r"'Net A' .*:Raises\) raised RuntimeError at its first images, of 8×8 px: no such luck"
    ) as error:
        live(Raises())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("label", "seed"),
    [("Net A, seed 4", 4), ("Net A", None), ("Net A, seed 04", None), ("Net A, seed 9999999999", None)],
)
def test_a_label_may_state_the_training_seed(label: str, seed: int | None) -> None:
    assert as_model(Net(), label=label).row()["training_seed"] == seed
