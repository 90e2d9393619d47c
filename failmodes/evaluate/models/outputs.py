"""What a model gives, as one tensor of logits: chosen among several outputs, taken back from probabilities."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from failmodes.evaluate.study.study_schema import OutputKind
from failmodes.warehouse.errors import StudyError, did_you_mean

LOGITS = "logits"  # what Hugging Face's classifiers call theirs
SUM_TOLERANCE = 1e-3  # of probabilities, as in a file of predictions
SMALLEST_PROBABILITY = float(np.finfo(np.float32).smallest_subnormal)


@dataclass(frozen=True)
class LogitsHook:
    """A forward hook on a whole model that gives its logits in place of what it returned.

    Attributes:
        key: which of its outputs they are, by name or by position from "0"; None where it gives one tensor.
        kind: probabilities become their logarithm, of which a softmax gives them back.
    """

    key: str | None
    kind: OutputKind

    def __call__(self, _module: nn.Module, _inputs: Any, output: Any) -> torch.Tensor:
        """The logits among what a model gave."""
        values: torch.Tensor = output if self.key is None else _entries(output)[self.key]
        return values if self.kind == "logits" else values.float().clamp(min=SMALLEST_PROBABILITY).log()

    def describe(self) -> str:
        """In a few words, for the line that describes a model."""
        kind = "logits" if self.kind == "logits" else "probabilities, kept as their logarithm"
        return kind if self.key is None else f"{kind} (output {self.key!r} of several)"


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


def logits_hook(module: nn.Module) -> LogitsHook | None:
    """The hook that gives a module's logits, if it has one."""
    return next((hook for hook in module._forward_hooks.values() if isinstance(hook, LogitsHook)), None)


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
