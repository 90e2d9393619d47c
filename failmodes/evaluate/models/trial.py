"""A trial of a model before a run, on two images: what it gives, whether it is logits, whether it is stable."""

import re
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.outputs import (
    LogitsHook,
    are_probabilities,
    find_output_key,
    logits_hook,
)
from failmodes.evaluate.models.prepared_model import PreparedModel
from failmodes.evaluate.study.study_schema import OutputKind
from failmodes.warehouse.errors import FailmodesError, ModelError, StudyError, first_line

RANDOM = (
    "it draws random numbers (a dropout that is on in evaluation, for one): mend it, or say `deterministic = false`"
)
MIXING = (
    "it uses statistics of its batch (batch norm in training mode, or dynamic quantization): mend it, or say "
    "`deterministic = false`"
)
STABLE = 1e-4  # largest difference between two passes of an image, relative to the largest logit: rounding is 1e-6

_OF_CHANNELS = re.compile(r"channel", re.I)
_OF_SHAPE = re.compile(r"size|shape|dimension|height|width|mat1|kernel|resolution|broadcast|divisible|patch", re.I)


def try_model(model: Model, image: np.ndarray, seen: str) -> Model:
    """The model, its outputs counted and its module giving logits, after images went through it on the CPU.

    Args:
        model: with its weights; its classes do not matter.
        image: (1, H, W, 3) uint8; it is tried beside its negative.
        seen: what the model sees, in words, for errors.

    Raises:
        StudyError: its logits are not to be found among its outputs, or are probabilities and nobody says so.
        ModelError: it does not take such images, or an image's logits differ from pass to pass or batch to batch.
    """
    subject, known = f"model {model.label!r}", logits_hook(model.module)
    first = _forward(model, image, seen)
    hook = LogitsHook(None if known else find_output_key(first, model.spec.output_key, subject), "logits")
    alone = hook(model.module, None, first)
    if alone.ndim != 2 or len(alone) != 1 or not alone.shape[1]:
        raise ModelError(f"{subject} gives {tuple(alone.shape)} for one image: expected logits of shape (1, classes)")
    images, both = np.concatenate([image, 255 - image]), alone
    try:
        both = hook(model.module, None, _forward(model, images, seen))
    except ModelError:
        images = image  # it takes one image at a time; a run says in which cell and batch it does not
    if both.shape != (len(images), alone.shape[1]):
        raise ModelError(f"{subject} gives {tuple(both.shape)} for two images: expected {(2, alone.shape[1])}")
    if model.spec.deterministic:
        again = hook(model.module, None, _forward(model, images, seen))
        _check_stable(again, both, f"{subject} gives an image other outputs when it is asked again", RANDOM)
        _check_stable(alone, both[:1], f"{subject} gives an image other outputs in another batch", MIXING)
    if known is None:
        hook = LogitsHook(hook.key, _output_kind(both, model.spec.output_kind, subject))
    if hook != LogitsHook(None, "logits"):
        model.module.register_forward_hook(hook)
    return replace(model, output_count=alone.shape[1])


def describe_forward_error(error: Exception, seen: str) -> str:
    """What a model raised at images that it was given, in one line, with the mend where the cause is known.

    Args:
        error: what it raised.
        seen: the images, such as "224×224 px".
    """
    message = first_line(error)
    if _OF_CHANNELS.search(message):
        fix = "convert them as its forward begins, such as by x.mean(1, keepdim=True)"
        return f"cannot take images of {seen} in three channels, RGB: {message}; {fix}"
    if _OF_SHAPE.search(message):
        return (
            f"cannot take images of {seen}: {message}; set `input_side_px` to the side that it was made for, or "
            "`options` for this one"
        )
    return f"raised {type(error).__name__} at its first images, of {seen}: {message} ({raised_at(error)})"


def raised_at(error: Exception) -> str:
    """File and line where a model raised, such as my_model.py:12."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return f"{Path(last.filename).name}:{last.lineno}"


def _forward(model: Model, images: np.ndarray, seen: str) -> Any:
    """What the module gives for images (N, H, W, 3)."""
    try:
        prepared: PreparedModel = model.prepare(torch.device("cpu"), "float32")
        with torch.no_grad():  # not inference mode: what a model caches at its first pass must serve gradients too
            return prepared.module(prepared.inputs(images))
    except FailmodesError:
        raise
    except Exception as error:  # whatever a model raises at an input that it does not take
        raise ModelError(
            f"model {model.label!r} ({model.architecture}) {describe_forward_error(error, seen)}"
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


def _check_stable(other: torch.Tensor, outputs: torch.Tensor, what: str, why: str) -> None:
    known = outputs[outputs.isfinite()].abs()
    largest = float(known.max()) if len(known) else 1.0
    difference = float((other.nan_to_num() - outputs.nan_to_num()).abs().max())
    if difference > STABLE * largest:
        raise ModelError(f"{what} (by {difference:.2g}, the largest being {largest:.3g}): {why}")
