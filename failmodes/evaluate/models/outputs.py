"""Logits from what a model returns: tried on a few images, selected among several outputs."""

import math
import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from failmodes.evaluate.study.study_schema import OutputKind
from failmodes.runtime.errors import FailmodesError, ModelError, StudyError, did_you_mean, first_line, listed

if TYPE_CHECKING:
    from failmodes.evaluate.models.model import Model

LOGITS = "logits"  # name in Hugging Face classifiers
SHOWN = 3  # outputs listed in an error
SUM_TOLERANCE = 1e-3  # for the sum of probabilities, as in a predictions file
FLOOR = float(np.finfo(np.float32).eps)  # for probabilities of 0: where scikit-learn's log_loss clips float32
TRIAL_IMAGES = 16  # to detect sigmoid outputs
SIGMOIDS = ("sigmoid", "sigmoid_", "special_expit", "sigmoid.default")
NEAR_0, NEAR_1 = 0.1, 0.9
RANDOM = "it draws random numbers (such as dropout active in evaluation): fix it, or set `deterministic = false`"
MIXING = (
    "it depends on the other images of a batch (batch norm in training mode, dynamic quantization, or random numbers "
    "with a seed of their own): fix it, or set `deterministic = false`"
)
REPEATS = 20  # passes that tell random outputs from those that depend on the batch
PERCENT, PERCENT_TOLERANCE = 100, 0.5  # sum of a row of percentages
MULTI_LABEL = "multi_label_classification"  # `problem_type` of a configuration of transformers
# Outputs of backbones of transformers that are no logits, though they may have their shape
FEATURES = {"last_hidden_state", "pooler_output", "image_embeds", "text_embeds", "hidden_states"}
CLASSIFIERS = {"fc", "classifier", "head", "heads", "last_linear"}  # in timm, torchvision and transformers
STATE_LOGITS = 'if these are logits, set `output_kind = "logits"`'
STABLE = 1e-4  # largest difference between two passes of an image, relative to the largest logit: rounding is 1e-6

# PyTorch: "to have 1 channels, but got 3 channels instead"; Transformers: "channel dimension … Expected 1 but got 3"
_OF_CHANNELS = re.compile(r"channels?\b.*\bgot 3\b", re.I)
# torch.export: "Guard failed: x.size()[0] == 8"; ONNX Runtime: "index: 0 Got: 1 Expected: 8"
_OF_BATCH = re.compile(r"size\(\)\[0\]|shape\[0\]|index: 0 got|\bbatch.?(size|dim)", re.I)
_OF_SHAPE = re.compile(r"size|shape|dimension|height|width|mat1|kernel|resolution|broadcast|divisible|patch", re.I)


@dataclass(frozen=True)
class LogitsHook:
    """A forward hook on a whole module that replaces its output by its logits.

    Attributes:
        key: which output holds the logits, by name or by position from "0"; None if the module returns one tensor.
        kind: probabilities are replaced by their logarithm, which a softmax inverts; for zeros see `fill_zeros`.
        single: whether it returns one number per image, of the second class of two: a logit x becomes (−x, x) / 2,
            whose softmax is the sigmoid of x, and a probability p becomes (1 − p, p).
    """

    key: str | None = None
    kind: OutputKind = "logits"
    single: bool = False

    def __call__(self, _module: nn.Module, _inputs: Any, output: Any) -> torch.Tensor:
        """The logits in the output of a module."""
        values: torch.Tensor = output if self.key is None else _entries(output)[self.key]
        if self.single:
            values = values.reshape(-1, 1).float()
            values = torch.cat([-values, values] if self.kind == "logits" else [1 - values, values], 1)
        if self.kind == "logits":
            return values / 2 if self.single else values
        return fill_zeros(log_probabilities(values.float()), math.log(FLOOR))

    def describe(self) -> str:
        """A short description for the assumptions of a model."""
        kind = (
            "logits" if self.kind == "logits" else f"probabilities, stored as logarithms, zeros as at most {FLOOR:.1e}"
        )
        return kind if self.key is None else f"{kind} (output {self.key!r} of several)"


def log_probabilities(probabilities: torch.Tensor) -> torch.Tensor:
    """Logarithm of probabilities of any float dtype and shape: −inf for 0, or for values below 0 by rounding.

    No gradient passes through a probability of 0. Non-finite values give NaN or inf.
    """
    zero = (probabilities <= 0) & (probabilities > -math.inf)
    return probabilities.masked_fill(zero, 1).log().masked_fill(zero, -math.inf)


def fill_zeros(log_p: torch.Tensor, log_floor: float | torch.Tensor) -> torch.Tensor:
    """Replace probabilities of 0 by a floor, or by half of the smallest other probability of their row if that is less.

    So no class changes its rank, and only probabilities of 0 change, apart from the normalization by a softmax.

    Args:
        log_p: (N, C), from `log_probabilities`.
        log_floor: logarithm of the floor, one number or (N, 1).
    """
    zero = log_p == -math.inf
    least_other = log_p.detach().masked_fill(zero, math.inf).amin(-1, keepdim=True) - math.log(2)
    return torch.where(zero, least_other.minimum(torch.as_tensor(log_floor).to(log_p)), log_p)


class SigmoidsSeen(TorchFunctionMode):
    """While active, records the two-dimensional outputs of every PyTorch sigmoid, module or function."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: list[torch.Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the function and record its result."""
        result = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", None) in SIGMOIDS and result.ndim == 2:
            self.outputs.append(result)
        return result


class ScriptedModule(nn.Module):
    """A wrapper of a TorchScript module, which takes no hooks itself."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, inputs: torch.Tensor) -> Any:
        """Call the inner module."""
        return self.inner(inputs)


def unwrapped(given: Any) -> Any:
    """The model inside a wrapper of torch.compile, DataParallel or torch.export."""
    if isinstance(given, torch.export.ExportedProgram):
        return given.module()
    if isinstance(given, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return unwrapped(given.module)
    original = getattr(given, "_orig_mod", None)
    return unwrapped(original) if isinstance(original, nn.Module) else given


def as_plain_module(module: nn.Module) -> nn.Module:
    """The module with its parts as they were before torch.compile, which would compile hooks on them, too.

    It is wrapped if it is TorchScript, which takes no hooks and cannot switch gradients off.
    """
    for part in list(module.modules()):
        for name, child in part.named_children():
            if unwrapped(child) is not child:
                setattr(part, name, unwrapped(child))
    return ScriptedModule(module) if isinstance(module, torch.jit.ScriptModule) else module


def try_model(model: "Model", images: np.ndarray) -> None:
    """Run images through a model on the CPU to count its outputs and make its module return logits.

    Args:
        model: with its weights; its classes do not matter.
        images: (N, H, W, 3) uint8, N ≥ 1; the first is tried with its negative, and up to TRIAL_IMAGES if outputs may
            come from a sigmoid.

    Raises:
        StudyError: none of its outputs are logits, or they are features, class indices, undeclared probabilities,
            percentages or sigmoid outputs.
        ModelError: it does not accept such images, or logits of an image differ from pass to pass or batch to batch.
    """
    model.to(torch.device("cpu"))
    hook, alone = _first_outputs(model, images[:1])
    both = _outputs_of_two(model, hook, images[:1], alone)
    stated = model.spec.output_kind or model.output_kinds.get(hook.key)
    if alone.shape[1] == 1:
        model.logits_hook = LogitsHook(hook.key, _kind_of_single(model, hook, images, stated), single=True)
    else:
        if model.spec.output_kind != "logits":
            _check_not_sigmoids(model, hook, images, both)
            _check_not_percentages(model, hook, images, both)
        model.logits_hook = LogitsHook(hook.key, _output_kind(both, stated, f"model {model.label!r}"))
    if model.logits_hook != LogitsHook():
        model.module.register_forward_hook(model.logits_hook)
    model.output_count = 2 if model.logits_hook.single else alone.shape[1]


def _first_outputs(model: "Model", image: np.ndarray) -> tuple[LogitsHook, torch.Tensor]:
    """The hook that finds the outputs (1, C) for an image (1, H, W, 3), and these.

    Raises:
        StudyError: the model states that it is no classifier with one label per image, or returns features.
        ModelError: it does not accept such an image, or returns another shape.
    """
    subject, is_stated = f"model {model.label!r}", model.spec.output_kind is not None
    if not is_stated:
        _check_single_label(model.module, subject)
    with _heads_seen(model.module) as heads:
        output = _forward(model, image)
    hook = LogitsHook(find_output_key(output, model.spec.output_key, subject))
    outputs = _table(hook(model.module, None, output))
    _check_one_image(outputs, subject)
    if not is_stated and _are_features(outputs, heads):
        raise StudyError(
            f"{subject} returns {outputs.shape[1]:,} features, not logits: its last layer is an Identity in place of a "
            f"classifier; evaluate the model with its classifier, or {STATE_LOGITS}"
        )
    return hook, outputs


def _outputs_of_two(model: "Model", hook: LogitsHook, image: np.ndarray, alone: torch.Tensor) -> torch.Tensor:
    """The outputs (2, C) for an image (1, H, W, 3) and its negative; `alone` are those of the image by itself.

    Of a model that accepts one image at a time, those of the image: a run reports the batch in which it fails.

    Raises:
        ModelError: they have another shape, or change from pass to pass or with their batch.
    """
    pair, both = np.concatenate([image, 255 - image]), alone
    try:
        both = _table(hook(model.module, None, _forward(model, pair)))
    except ModelError:
        pair = image
    if both.shape != (len(pair), alone.shape[1]):
        raise ModelError(
            f"model {model.label!r} returns {tuple(both.shape)} for two images: expected {(2, alone.shape[1])}"
        )
    if model.spec.deterministic:
        turned = _table(hook(model.module, None, _forward(model, pair[::-1]))).flip(0)
        for other, outputs in (turned, both), (alone, both[:1]):
            if _difference(other, outputs) is not None:
                _refuse_unstable(model, hook, image, (other, outputs))
    return both


def describe_forward_error(error: Exception, seen: str, count: int) -> str:
    """Describe an error of a forward pass in one line, with a fix if the cause is known.

    Args:
        error: the error.
        seen: the images, such as "224×224 px".
        count: batch size; if above 1, a single image works.
    """
    message = first_line(error)
    is_of_shape = _OF_SHAPE.search(message) and "channel" not in message.lower()  # channels of an inner layer
    if _OF_CHANNELS.search(message):
        fix = "convert them at the start of its forward, for example with x.mean(1, keepdim=True)"
        return f"does not accept RGB images (three channels) of {seen}: {message}; {fix}"
    if _OF_BATCH.search("\n".join(str(error).splitlines()[:2])) or (count > 1 and is_of_shape):
        return (
            f"does not accept {count} {'images' if count > 1 else 'image'} of {seen} at once: {message}; export it "
            'with a dynamic batch dimension, or for single images set `batch_size = 1` and `attention = "none"`'
        )
    if is_of_shape:
        return (
            f"does not accept images of {seen}: {message}; set `input_side_px` to its input size, or `options` for "
            "this size"
        )
    return f"raised {type(error).__name__} at its first images ({seen}): {message} ({raised_at(error)})"


def raised_at(error: Exception) -> str:
    """File and line where an error was raised, such as my_model.py:12."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return f"{Path(last.filename).name}:{last.lineno}"


def _forward(model: "Model", images: np.ndarray) -> Any:
    """The output of the module for images (N, H, W, 3)."""
    try:
        # not inference mode: tensors that a model caches in its first pass may need gradients later
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            return model.module(model.inputs(images))
    except FailmodesError:
        raise
    except Exception as error:  # any error of a model
        seen = model.preprocessing.seen(images.shape[1:])
        raise ModelError(
            f"model {model.label!r} ({model.architecture}) {describe_forward_error(error, seen, len(images))}"
        ) from error


def _output_kind(values: torch.Tensor, stated: OutputKind | None, subject: str) -> OutputKind:
    """The kind of outputs (N, C), checked against the study.

    Raises:
        StudyError: they are undeclared probabilities, or declared as probabilities but are not.
    """
    found = are_probabilities(values)
    if stated is None and found:
        raise StudyError(
            f"{subject} returns probabilities: each row is in 0 to 1 and sums to 1, as after a softmax; set "
            '`output_kind = "probabilities"` (or "logits", if they are logits)'
        )
    if stated == "probabilities" and not found:
        total = float(values[0].sum())
        raise StudyError(
            f'{subject} does not return probabilities: a row sums to {total:.4g}; set `output_kind = "logits"`'
        )
    return stated or "logits"


def _kind_of_single(model: "Model", hook: LogitsHook, images: np.ndarray, stated: OutputKind | None) -> OutputKind:
    """The kind of a single output per image: stated, or a logit if one of up to TRIAL_IMAGES is outside 0 to 1.

    Raises:
        StudyError: all are in 0 to 1 and the kind is not stated, or they are stated to be probabilities and are not.
    """
    values = _outputs_one_by_one(model, hook, images)
    if stated is None and bool((values == values.round()).all()):
        raise StudyError(
            f"model {model.label!r} returns one whole number for an image, such as {float(values.flatten()[0]):g}, "
            "like the index of a class: expected one logit per class, (images, classes)"
        )
    outside = values[(values < 0) | (values > 1)]
    if stated is None and not len(outside):
        raise StudyError(
            f"model {model.label!r} returns one number in 0 to 1 for an image, which may be a probability or a logit: "
            'set `output_kind = "probabilities"` if it ends in a sigmoid, "logits" if not'
        )
    if stated == "probabilities" and len(outside):
        raise StudyError(
            f"model {model.label!r} does not return probabilities: one is {float(outside[0]):.4g}; set "
            '`output_kind = "logits"`'
        )
    return stated or "logits"


def _may_be_sigmoids(values: torch.Tensor) -> bool:
    """Whether all outputs are in 0 to 1 and some row does not sum to 1."""
    return bool(((values >= 0) & (values <= 1)).all()) and not are_probabilities(values)


def _check_not_sigmoids(model: "Model", hook: LogitsHook, images: np.ndarray, both: torch.Tensor) -> None:
    """Refuse sigmoid outputs; `both` are those of two images.

    Logits of a small or untrained model may be in 0 to 1 by chance. So the outputs of up to TRIAL_IMAGES images must
    be, and either equal the output of a PyTorch sigmoid, or come near both 0 and 1 without all being exactly 0 or 1
    (votes). A sigmoid outside PyTorch or in TorchScript whose outputs stay away from 0 or 1 is not detected.

    Raises:
        StudyError: they are sigmoid outputs.
    """
    if not _may_be_sigmoids(both):
        return
    with SigmoidsSeen() as seen:
        values = _outputs_one_by_one(model, hook, images)
    are_votes = bool(((values == 0) | (values == 1)).all())
    near_both_ends = not are_votes and float(values.min()) <= NEAR_0 and float(values.max()) >= NEAR_1
    in_graph = hook.key in model.output_kinds
    computed = in_graph or any(torch.equal(output.float(), values[-1:].float()) for output in seen.outputs)
    if _may_be_sigmoids(values) and (computed or near_both_ends):
        raise StudyError(
            f"model {model.label!r} returns values in 0 to 1 that do not sum to 1 (a row sums to "
            f"{float(values[0].sum()):.4g}), as after a sigmoid: expected logits; sigmoid outputs of multi-label "
            "models "
            f"are not supported: use the layer before the sigmoid, or {STATE_LOGITS}"
        )


def _are_percentages(values: torch.Tensor) -> bool:
    """Whether no output is negative and all rows sum to 100."""
    return bool((values >= 0).all() and ((values.double().sum(1) - PERCENT).abs() <= PERCENT_TOLERANCE).all())


def _check_not_percentages(model: "Model", hook: LogitsHook, images: np.ndarray, both: torch.Tensor) -> None:
    """Refuse percentages: those of up to TRIAL_IMAGES images must look like them, first `both`, those of two.

    Raises:
        StudyError: they are percentages.
    """
    if _are_percentages(both) and _are_percentages(_outputs_one_by_one(model, hook, images)):
        raise StudyError(
            f"model {model.label!r} returns percentages: no output is negative, and each row sums to {PERCENT}; divide "
            f'them by {PERCENT} and set `output_kind = "probabilities"`, or {STATE_LOGITS}'
        )


def _outputs_one_by_one(model: "Model", hook: LogitsHook, images: np.ndarray) -> torch.Tensor:
    """The outputs of up to TRIAL_IMAGES images, one pass each."""
    return torch.cat([hook(model.module, None, _forward(model, image[None])) for image in images[:TRIAL_IMAGES]])


def _check_single_label(module: nn.Module, subject: str) -> None:
    """Refuse a model whose configuration states several labels per image.

    Raises:
        StudyError: it does.
    """
    configs = (vars(part).get("config") for part in module.modules())
    if any(getattr(config, "problem_type", None) == MULTI_LABEL for config in configs):
        raise StudyError(
            f"{subject} is a multi-label model (problem_type of its configuration): only models that predict one class "
            f"per image can be evaluated; {STATE_LOGITS}"
        )


@contextmanager
def _heads_seen(module: nn.Module) -> Iterator[list[tuple[bool, Any]]]:
    """Inside this context, outputs of linear layers, convolutions and Identities in the place of a classifier.

    Each comes with whether it is that of an Identity.
    """
    seen: list[tuple[bool, Any]] = []

    def record(layer: nn.Module, _inputs: Any, output: Any) -> None:
        seen.append((isinstance(layer, nn.Identity), output))

    parts = [(name, part) for name, part in module.named_modules() if not isinstance(part, torch.jit.ScriptModule)]
    layers = [part for _, part in parts if isinstance(part, nn.Linear | nn.modules.conv._ConvNd)]
    heads = [part for name, part in parts if isinstance(part, nn.Identity) and CLASSIFIERS & set(name.split("."))]
    handles = [part.register_forward_hook(record) for part in layers + heads]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _are_features(outputs: torch.Tensor, seen: list[tuple[bool, Any]]) -> bool:
    """Whether outputs come from an Identity, and not from a linear layer or a convolution before it."""
    return {is_identity for is_identity, output in seen if output is outputs} == {True}


def _table(outputs: torch.Tensor) -> torch.Tensor:
    """Outputs (N, 1) of a binary model that returns (N,); others unchanged."""
    return outputs[:, None] if outputs.ndim == 1 else outputs


def _check_one_image(outputs: torch.Tensor, subject: str) -> None:
    """Check that outputs are logits of one image, (1, C).

    Raises:
        ModelError: they have another shape.
    """
    shape = tuple(outputs.shape)
    if outputs.ndim != 2 or len(outputs) != 1 or not outputs.shape[1]:
        raise ModelError(f"{subject} returns {shape} for one image: expected logits of shape (1, classes)")


def _difference(other: torch.Tensor, outputs: torch.Tensor) -> str | None:
    """The largest difference of outputs that should be equal, in words; None if it is rounding."""
    known = outputs[outputs.isfinite()].abs()
    largest = float(known.max()) if len(known) else 1.0
    difference = float((other.nan_to_num() - outputs.nan_to_num()).abs().max())
    return f"by {difference:.2g}, with a largest output of {largest:.3g}" if difference > STABLE * largest else None


def _refuse_unstable(
    model: "Model", hook: LogitsHook, image: np.ndarray, found: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """Refuse outputs that differ for the same image, with the reason: repeated passes tell whether they are random.

    Raises:
        ModelError: always.
    """
    first, *others = [_table(hook(model.module, None, _forward(model, image))) for _ in range(REPEATS)]
    random = next((words for other in others if (words := _difference(other, first))), None)
    what, why = ("a second pass", RANDOM) if random else ("another batch", MIXING)
    raise ModelError(
        f"model {model.label!r} returns different outputs for the same image in {what} "
        f"({random or _difference(*found)}): {why}"
    )


def find_output_key(output: Any, key: str | None, subject: str) -> str | None:
    """The key of the logits among a model's outputs; None if it returns one tensor.

    Without `key`, this is the output called "logits", otherwise the only two-dimensional one.

    Args:
        output: a tensor; or a mapping, tuple or object with several.
        key: the `output_key` of the study.
        subject: the model, for errors.

    Raises:
        StudyError: there is no such output, or it is ambiguous.
    """
    if isinstance(output, torch.Tensor):
        if key is not None:
            raise StudyError(f"{subject} returns one tensor: remove `output_key`")
        return None
    entries = _entries(output)
    if key is None and entries.keys() & FEATURES and LOGITS not in entries:
        raise StudyError(
            f"{subject} returns features ({listed(sorted(entries.keys() & FEATURES), SHOWN)}), not logits: use a class "
            "with a classifier, such as AutoModelForImageClassification, or set `output_key` to the logits"
        )
    listing = ", ".join(f"{name!r} {_shape(value)}" for name, value in entries.items()) or "none"
    if key is not None:
        if not isinstance(entries.get(key), torch.Tensor):
            hint = did_you_mean(key, entries, f"its outputs are {listing}")
            raise StudyError(f"{subject} returns no tensor as output {key!r}: {hint}")
        return key
    if isinstance(entries.get(LOGITS), torch.Tensor):
        return LOGITS
    tables = [name for name, value in entries.items() if isinstance(value, torch.Tensor) and value.ndim == 2]
    if len(tables) != 1:
        raise StudyError(
            f"{subject} returns a {type(output).__name__} ({listing}): set `output_key` to the logits (images, classes)"
        )
    return tables[0]


def are_probabilities(values: torch.Tensor) -> bool:
    """Whether all rows of outputs (N, C) are in 0 to 1 and sum to 1, as after a softmax."""
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
