"""What a model returns, as one tensor of logits: tried on a few images, chosen among several outputs."""

import math
import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from failmodes.evaluate.study.study_schema import OutputKind
from failmodes.warehouse.errors import FailmodesError, ModelError, StudyError, did_you_mean, first_line

if TYPE_CHECKING:
    from failmodes.evaluate.models.model import Model

LOGITS = "logits"  # what Hugging Face's classifiers call theirs
SUM_TOLERANCE = 1e-3  # of probabilities, as in a file of predictions
FLOOR = float(np.finfo(np.float32).eps)  # of a probability of 0: where scikit-learn's log_loss clips float32
TRIAL_IMAGES = 16  # that outputs which may be a sigmoid's are judged by
SIGMOIDS = ("sigmoid", "sigmoid_", "special_expit", "sigmoid.default")
NEAR_0, NEAR_1 = 0.1, 0.9
RANDOM = (
    "it draws random numbers (a dropout that is on in evaluation, for one): mend it, or say `deterministic = false`"
)
MIXING = (
    "it uses statistics of its batch (batch norm in training mode, or dynamic quantization): mend it, or say "
    "`deterministic = false`"
)
STABLE = 1e-4  # largest difference between two passes of an image, relative to the largest logit: rounding is 1e-6

# PyTorch: "to have 1 channels, but got 3 channels instead"; Transformers: "channel dimension … Expected 1 but got 3"
_OF_CHANNELS = re.compile(r"channels?\b.*\bgot 3\b", re.I)
# torch.export: "Guard failed: x.size()[0] == 8"; ONNX Runtime: "index: 0 Got: 1 Expected: 8"
_OF_BATCH = re.compile(r"size\(\)\[0\]|shape\[0\]|index: 0 got|\bbatch.?(size|dim)", re.I)
_OF_SHAPE = re.compile(r"size|shape|dimension|height|width|mat1|kernel|resolution|broadcast|divisible|patch", re.I)


@dataclass(frozen=True)
class LogitsHook:
    """A forward hook on a whole model that gives its logits in place of what it returned.

    Attributes:
        key: which of its outputs they are, by name or by position from "0"; None where it gives one tensor.
        kind: probabilities become their logarithm, of which a softmax gives them back; those of 0 see `fill_zeros`.
    """

    key: str | None = None
    kind: OutputKind = "logits"

    def __call__(self, _module: nn.Module, _inputs: Any, output: Any) -> torch.Tensor:
        """The logits among what a model gave."""
        values: torch.Tensor = output if self.key is None else _entries(output)[self.key]
        return values if self.kind == "logits" else fill_zeros(log_probabilities(values.float()), math.log(FLOOR))

    def describe(self) -> str:
        """In a few words, for the line that describes a model."""
        kind = (
            "logits"
            if self.kind == "logits"
            else f"probabilities, kept as their logarithm, those of 0 as {FLOOR:.1e} at most"
        )
        return kind if self.key is None else f"{kind} (output {self.key!r} of several)"


def log_probabilities(probabilities: torch.Tensor) -> torch.Tensor:
    """The logarithm of probabilities of any float dtype and shape: −inf where one is 0, or below it by rounding.

    No gradient passes through a probability of 0. What is not finite gives NaN or inf.
    """
    zero = (probabilities <= 0) & (probabilities > -math.inf)
    return probabilities.masked_fill(zero, 1).log().masked_fill(zero, -math.inf)


def fill_zeros(log_p: torch.Tensor, log_floor: float | torch.Tensor) -> torch.Tensor:
    """Probabilities of 0 become those of a floor, or half of the least other of their row if that is less.

    So no class changes its rank, and no probability but those of 0 its value, save for the sum to which a softmax
    normalizes.

    Args:
        log_p: (N, C), as `log_probabilities` gives it.
        log_floor: the logarithm of the floor, one number or (N, 1).
    """
    zero = log_p == -math.inf
    least_other = log_p.detach().masked_fill(zero, math.inf).amin(-1, keepdim=True) - math.log(2)
    return torch.where(zero, least_other.minimum(torch.as_tensor(log_floor).to(log_p)), log_p)


class SigmoidsSeen(TorchFunctionMode):
    """While it is on, keeps what each sigmoid of PyTorch gives of two dimensions, be it a module's or a function's."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: list[torch.Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The function's result."""
        result = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", None) in SIGMOIDS and result.ndim == 2:
            self.outputs.append(result)
        return result


class ScriptedModule(nn.Module):
    """A module around one of TorchScript, on which PyTorch allows little."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, inputs: torch.Tensor) -> Any:
        """What the module gives."""
        return self.inner(inputs)


def as_plain_module(module: nn.Module) -> nn.Module:
    """The module, or one around it where PyTorch allows neither hooks nor to switch gradients off."""
    return ScriptedModule(module) if isinstance(module, torch.jit.ScriptModule) else module


def try_model(model: "Model", images: np.ndarray) -> None:
    """Put images through a model on the CPU: its outputs are counted, and its module gives logits from then on.

    Args:
        model: with its weights; its classes do not matter.
        images: (N, H, W, 3) uint8, N ≥ 1; the first is tried beside its negative, up to TRIAL_IMAGES where outputs may
            be a sigmoid's.

    Raises:
        StudyError: its logits are not to be found among its outputs, or are probabilities, or a sigmoid's outputs, and
            nobody says so.
        ModelError: it does not take such images, or an image's logits differ from pass to pass or batch to batch.
    """
    subject = f"model {model.label!r}"
    model.to(torch.device("cpu"))
    image = images[:1]
    first = _forward(model, image)
    hook = LogitsHook(find_output_key(first, model.spec.output_key, subject))
    alone = hook(model.module, None, first)
    _check_one_image(alone, subject)
    pair, both = np.concatenate([image, 255 - image]), alone
    try:
        both = hook(model.module, None, _forward(model, pair))
    except ModelError:
        pair = image  # it takes one image at a time; a run says in which cell and batch it does not
    if both.shape != (len(pair), alone.shape[1]):
        raise ModelError(f"{subject} gives {tuple(both.shape)} for two images: expected {(2, alone.shape[1])}")
    if model.spec.deterministic:
        again = hook(model.module, None, _forward(model, pair))
        _check_stable(again, both, f"{subject} gives an image other outputs when it is asked again", RANDOM)
        _check_stable(alone, both[:1], f"{subject} gives an image other outputs in another batch", MIXING)
    if model.spec.output_kind != "logits" and _may_be_sigmoids(both):
        _check_not_sigmoids(model, hook, images)
    model.logits_hook = LogitsHook(hook.key, _output_kind(both, model.spec.output_kind, subject))
    if model.logits_hook != LogitsHook():
        model.module.register_forward_hook(model.logits_hook)
    model.output_count = alone.shape[1]


def describe_forward_error(error: Exception, seen: str, count: int) -> str:
    """What a model raised at images that it was given, in one line, with the mend where the cause is known.

    Args:
        error: what it raised.
        seen: the images, such as "224×224 px".
        count: how many were given at once; where several were, one alone passes.
    """
    message = first_line(error)
    is_of_shape = _OF_SHAPE.search(message) and "channel" not in message.lower()  # those of a layer within
    if _OF_CHANNELS.search(message):
        fix = "convert them as its forward begins, such as by x.mean(1, keepdim=True)"
        return f"cannot take images of {seen} in three channels, RGB: {message}; {fix}"
    if _OF_BATCH.search("\n".join(str(error).splitlines()[:2])) or (count > 1 and is_of_shape):
        return (
            f"cannot take {count} {'images' if count > 1 else 'image'} of {seen} at once: {message}; export it with a "
            'dynamic batch dimension; one for a single image runs with `batch_size = 1` and `attention = "none"`'
        )
    if is_of_shape:
        return (
            f"cannot take images of {seen}: {message}; set `input_side_px` to the side that it was made for, or "
            "`options` for this one"
        )
    return f"raised {type(error).__name__} at its first images, of {seen}: {message} ({raised_at(error)})"


def raised_at(error: Exception) -> str:
    """File and line where a model raised, such as my_model.py:12."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return f"{Path(last.filename).name}:{last.lineno}"


def _forward(model: "Model", images: np.ndarray) -> Any:
    """What the module gives for images (N, H, W, 3)."""
    try:
        with torch.no_grad():  # not inference mode: what a model caches at its first pass must serve gradients too
            return model.module(model.inputs(images))
    except FailmodesError:
        raise
    except Exception as error:  # whatever a model raises at an input that it does not take
        seen = model.preprocessing.seen(images.shape[1:])
        raise ModelError(
            f"model {model.label!r} ({model.architecture}) {describe_forward_error(error, seen, len(images))}"
        ) from error


def _output_kind(values: torch.Tensor, stated: OutputKind | None, subject: str) -> OutputKind:
    """What outputs (N, C) are: what the study says, where that can be.

    Raises:
        StudyError: they are probabilities, and nobody says so; or they are said to be, and are none.
    """
    found = are_probabilities(values)
    if stated is None and found:
        raise StudyError(
            f"{subject} gives probabilities: each row lies in 0 to 1 and sums to 1, as after a softmax; say "
            '`output_kind = "probabilities"` (or "logits", if they are)'
        )
    if stated == "probabilities" and not found:
        total = float(values[0].sum())
        raise StudyError(f'{subject} gives no probabilities: a row sums to {total:.4g}; say `output_kind = "logits"`')
    return stated or "logits"


def _may_be_sigmoids(values: torch.Tensor) -> bool:
    """Whether all outputs lie in 0 to 1, and some row does not sum to 1."""
    return bool(((values >= 0) & (values <= 1)).all()) and not are_probabilities(values)


def _check_not_sigmoids(model: "Model", hook: LogitsHook, images: np.ndarray) -> None:
    """Refuse outputs of a sigmoid, given that all lie in 0 to 1 for two images.

    Logits of a small or untrained model may lie there by chance. So the outputs of up to TRIAL_IMAGES images must lie
    there, and one of these must hold: they are exactly what a sigmoid of PyTorch gave; or they come near both 0 and 1,
    and are not all exactly 0 or 1, as votes are. A sigmoid outside PyTorch, or in TorchScript, whose outputs stay away
    from either end is not found.

    Raises:
        StudyError: they are a sigmoid's.
    """
    with SigmoidsSeen() as seen:
        given = [hook(model.module, None, _forward(model, image[None])) for image in images[:TRIAL_IMAGES]]
    values = torch.cat(given)
    are_votes = bool(((values == 0) | (values == 1)).all())
    near_both_ends = not are_votes and float(values.min()) <= NEAR_0 and float(values.max()) >= NEAR_1
    computed = any(torch.equal(output.float(), given[-1].float()) for output in seen.outputs)
    if _may_be_sigmoids(values) and (computed or near_both_ends):
        raise StudyError(
            f"model {model.label!r} gives values in 0 to 1 that do not sum to 1 (a row sums to "
            f"{float(given[0].sum()):.4g}), as after a sigmoid: expected logits; sigmoid outputs of a multi-label "
            "model are not supported as they stand: take the layer before the sigmoid; if these are logits, say "
            '`output_kind = "logits"`'
        )


def _check_one_image(outputs: torch.Tensor, subject: str) -> None:
    """Refuse what are no logits of one image, (1, C), of two classes or more.

    Raises:
        ModelError: it has another shape, or is one number.
    """
    shape = tuple(outputs.shape)
    if outputs.ndim <= 2 and outputs.numel() == 1:
        raise ModelError(
            f"{subject} gives one number for one image, of shape {shape}: expected the logits of each class, of shape "
            "(images, classes), two or more; for the logit x of a binary model, (images, 1) and before any sigmoid, "
            "return torch.cat([-x, x], 1) / 2, the two logits whose softmax is its sigmoid"
        )
    if outputs.ndim != 2 or len(outputs) != 1 or not outputs.shape[1]:
        raise ModelError(f"{subject} gives {shape} for one image: expected logits of shape (1, classes)")


def _check_stable(other: torch.Tensor, outputs: torch.Tensor, what: str, why: str) -> None:
    known = outputs[outputs.isfinite()].abs()
    largest = float(known.max()) if len(known) else 1.0
    difference = float((other.nan_to_num() - outputs.nan_to_num()).abs().max())
    if difference > STABLE * largest:
        raise ModelError(f"{what} (by {difference:.2g}, the largest being {largest:.3g}): {why}")


def find_output_key(output: Any, key: str | None, subject: str) -> str | None:
    """Which of a model's outputs are its logits; None where it gives one tensor.

    One that is called "logits" is taken, else the only one of two dimensions.

    Args:
        output: a tensor; or a mapping, tuple or object with several.
        key: which one the study says.
        subject: the model, for errors.

    Raises:
        StudyError: there is no such output, or nothing says which it is.
    """
    if isinstance(output, torch.Tensor):
        if key is not None:
            raise StudyError(f"{subject} gives one tensor: leave `output_key` out")
        return None
    entries = _entries(output)
    listing = ", ".join(f"{name!r} {_shape(value)}" for name, value in entries.items()) or "none"
    if key is not None:
        if not isinstance(entries.get(key), torch.Tensor):
            hint = did_you_mean(key, entries, f"its outputs are {listing}")
            raise StudyError(f"{subject} gives no tensor as output {key!r}: {hint}")
        return key
    if isinstance(entries.get(LOGITS), torch.Tensor):
        return LOGITS
    tables = [name for name, value in entries.items() if isinstance(value, torch.Tensor) and value.ndim == 2]
    if len(tables) != 1:
        raise StudyError(
            f"{subject} gives a {type(output).__name__} ({listing}): say which of these are its logits (images, "
            "classes) with `output_key`"
        )
    return tables[0]


def are_probabilities(values: torch.Tensor) -> bool:
    """Whether all rows of outputs (N, C) lie in 0 to 1 and sum to 1, as a softmax makes them."""
    if values.shape[1] < 2:
        return False
    values = values.detach().double()
    return bool((values >= 0).all() and (values <= 1).all() and ((values.sum(1) - 1).abs() < SUM_TOLERANCE).all())


def _entries(output: Any) -> dict[str, Any]:
    """Several outputs by name, or by position."""
    if isinstance(output, Mapping):
        return {str(name): value for name, value in output.items()}
    if isinstance(output, tuple | list):
        names = getattr(output, "_fields", range(len(output)))
        return {str(name): value for name, value in zip(names, output, strict=True)}
    return dict(vars(output)) if hasattr(output, "__dict__") else {}


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, torch.Tensor) else type(value).__name__
