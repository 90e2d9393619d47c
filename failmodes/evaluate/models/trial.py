"""The trial of a model on a few images: counts its outputs and finds out their format."""

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.outputs import OutputFormat, are_probabilities, find_output_key, select_output
from failmodes.evaluate.study.study_schema import OutputKind
from failmodes.runtime.errors import FailmodesError, ModelError, StudyError, first_line

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
CLASSIFIERS = {"fc", "classifier", "head", "heads", "last_linear"}  # in timm, torchvision and transformers
STATE_LOGITS = 'if these are logits, set `output_kind = "logits"`'
REPEAT_TOLERANCE = 1e-4  # of two passes of an image, relative to the largest logit: rounding is 1e-6

# PyTorch: "to have 1 channels, but got 3 channels instead"; Transformers: "channel dimension … Expected 1 but got 3"
_OF_CHANNELS = re.compile(r"channels?\b.*\bgot 3\b", re.I)
# torch.export: "Guard failed: x.size()[0] == 8"; ONNX Runtime: "index: 0 Got: 1 Expected: 8"
_OF_BATCH = re.compile(r"size\(\)\[0\]|shape\[0\]|index: 0 got|\bbatch.?(size|dim)", re.I)
_OF_SHAPE = re.compile(r"size|shape|dimension|height|width|mat1|kernel|resolution|broadcast|divisible|patch", re.I)


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


def try_model(model: Model, images: np.ndarray) -> Model:
    """Run images through a model on the CPU; returns it with its number of outputs and their format.

    Args:
        model: with its weights; its classes do not matter.
        images: (N, H, W, 3) uint8, N ≥ 1; the first is tried with its negative, and up to TRIAL_IMAGES if outputs may
            come from a sigmoid.

    Raises:
        StudyError: none of its outputs are logits, or they are features, class indices, undeclared probabilities,
            percentages or sigmoid outputs.
        ModelError: it does not accept such images, or logits of an image differ from pass to pass or batch to batch.
    """
    model = model.to(torch.device("cpu"))
    key, alone = _first_outputs(model, images[:1])
    both = _outputs_of_two(model, key, images[:1], alone)
    stated = model.spec.output_kind or model.output_kinds.get(key)
    is_single = alone.shape[1] == 1
    if is_single:
        kind = _kind_of_single(model, key, images, stated)
    else:
        if model.spec.output_kind != "logits":
            _check_not_sigmoids(model, key, images, both)
            _check_not_percentages(model, key, images, both)
        kind = _output_kind(both, stated, f"model {model.label!r}")
    output_count = 2 if is_single else alone.shape[1]
    return replace(model, output_format=OutputFormat(key, kind, is_single), output_count=output_count)


def _first_outputs(model: Model, image: np.ndarray) -> tuple[str | None, torch.Tensor]:
    """The key of the logits among the outputs for an image (1, H, W, 3), and the outputs (1, C) under it.

    Raises:
        StudyError: the model states that it is no classifier with one label per image, or returns features.
        ModelError: it does not accept such an image, or returns another shape.
    """
    subject = f"model {model.label!r}"
    is_stated = model.spec.output_kind is not None
    if not is_stated:
        _check_single_label(model.torch_module, subject)
    with _heads_seen(model.torch_module) as heads:
        output = _forward(model, image)
    key = find_output_key(output, model.spec.output_key, subject)
    outputs = _table(select_output(output, key))
    shape = tuple(outputs.shape)
    if len(shape) != 2 or shape[0] != 1 or not shape[1]:
        raise ModelError(f"{subject} returns {shape} for one image: expected logits of shape (1, classes)")
    # from an Identity, and not from a linear layer or a convolution before it
    if not is_stated and {is_identity for is_identity, output in heads if output is outputs} == {True}:
        raise StudyError(
            f"{subject} returns {shape[1]:,} features, not logits: its last layer is an Identity in place of a "
            f"classifier; evaluate the model with its classifier, or {STATE_LOGITS}"
        )
    return key, outputs


def _outputs_of_two(model: Model, key: str | None, image: np.ndarray, alone: torch.Tensor) -> torch.Tensor:
    """The outputs (2, C) for an image (1, H, W, 3) and its negative; `alone` are those of the image by itself.

    Of a model that accepts one image at a time, those of the image: a run reports the batch in which it fails.

    Raises:
        ModelError: they have another shape, or change from pass to pass or with their batch.
    """
    pair, both = np.concatenate([image, 255 - image]), alone
    try:
        both = _outputs(model, pair, key)
    except ModelError:
        pair = image
    if both.shape != (len(pair), alone.shape[1]):
        raise ModelError(
            f"model {model.label!r} returns {tuple(both.shape)} for two images: expected {(2, alone.shape[1])}"
        )
    if model.spec.deterministic:
        turned = _outputs(model, pair[::-1], key).flip(0)
        for other, outputs in (turned, both), (alone, both[:1]):
            if _difference(other, outputs) is not None:
                _refuse_unstable(model, key, image, (other, outputs))
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


def _forward(model: Model, images: np.ndarray) -> Any:
    """The output of the module for images (N, H, W, 3)."""
    try:
        # not inference mode: tensors that a model caches in its first pass may need gradients later
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            return model.torch_module(model.inputs(images))
    except FailmodesError:
        raise
    except Exception as error:  # any error of a model
        seen = model.preprocessing.seen(images.shape[1:])
        raise ModelError(
            f"model {model.label!r} ({model.architecture}) {describe_forward_error(error, seen, len(images))}"
        ) from error


def _outputs(model: Model, images: np.ndarray, key: str | None) -> torch.Tensor:
    """The outputs (N, C) under a key for images (N, H, W, 3)."""
    return _table(select_output(_forward(model, images), key))


def _output_kind(values: torch.Tensor, stated: OutputKind | None, subject: str) -> OutputKind:
    """The kind of outputs (N, C), checked against the study.

    Raises:
        StudyError: they are undeclared probabilities, or declared as probabilities but are not.
    """
    sum_to_one = are_probabilities(values)
    if stated is None and sum_to_one:
        raise StudyError(
            f"{subject} returns probabilities: each row is in 0 to 1 and sums to 1, as after a softmax; set "
            '`output_kind = "probabilities"` (or "logits", if they are logits)'
        )
    if stated == "probabilities" and not sum_to_one:
        total = float(values[0].sum())
        raise StudyError(
            f'{subject} does not return probabilities: a row sums to {total:.4g}; set `output_kind = "logits"`'
        )
    return stated or "logits"


def _kind_of_single(model: Model, key: str | None, images: np.ndarray, stated: OutputKind | None) -> OutputKind:
    """The kind of a single output per image: stated, or a logit if one of up to TRIAL_IMAGES is outside 0 to 1.

    Raises:
        StudyError: all are in 0 to 1 and the kind is not stated, or they are stated to be probabilities and are not.
    """
    values = _outputs_one_by_one(model, key, images)
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


def _check_not_sigmoids(model: Model, key: str | None, images: np.ndarray, both: torch.Tensor) -> None:
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
        values = _outputs_one_by_one(model, key, images)
    are_votes = bool(((values == 0) | (values == 1)).all())
    near_both_ends = not are_votes and float(values.min()) <= NEAR_0 and float(values.max()) >= NEAR_1
    in_graph = key in model.output_kinds
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


def _check_not_percentages(model: Model, key: str | None, images: np.ndarray, both: torch.Tensor) -> None:
    """Refuse percentages: those of up to TRIAL_IMAGES images must look like them, first `both`, those of two.

    Raises:
        StudyError: they are percentages.
    """
    if _are_percentages(both) and _are_percentages(_outputs_one_by_one(model, key, images)):
        raise StudyError(
            f"model {model.label!r} returns percentages: no output is negative, and each row sums to {PERCENT}; divide "
            f'them by {PERCENT} and set `output_kind = "probabilities"`, or {STATE_LOGITS}'
        )


def _outputs_one_by_one(model: Model, key: str | None, images: np.ndarray) -> torch.Tensor:
    """The outputs of up to TRIAL_IMAGES images, one pass each."""
    return torch.cat([_outputs(model, image[None], key) for image in images[:TRIAL_IMAGES]])


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


def _table(outputs: torch.Tensor) -> torch.Tensor:
    """Outputs (N, 1) of a binary model that returns (N,); others unchanged."""
    return outputs[:, None] if outputs.ndim == 1 else outputs


def _difference(other: torch.Tensor, outputs: torch.Tensor) -> str | None:
    """The largest difference of outputs that should be equal, in words; None if it is rounding."""
    known = outputs[outputs.isfinite()].abs()
    largest = float(known.max()) if len(known) else 1.0
    difference = float((other.nan_to_num() - outputs.nan_to_num()).abs().max())
    is_rounding = difference <= REPEAT_TOLERANCE * largest
    return None if is_rounding else f"by {difference:.2g}, with a largest output of {largest:.3g}"


def _refuse_unstable(
    model: Model, key: str | None, image: np.ndarray, outputs: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """Refuse outputs that differ for the same image, with the reason: repeated passes tell whether they are random.

    Raises:
        ModelError: always.
    """
    first, *others = [_outputs(model, image, key) for _ in range(REPEATS)]
    random = next((words for other in others if (words := _difference(other, first))), None)
    what, why = ("a second pass", RANDOM) if random else ("another batch", MIXING)
    raise ModelError(
        f"model {model.label!r} returns different outputs for the same image in {what} "
        f"({random or _difference(*outputs)}): {why}"
    )
