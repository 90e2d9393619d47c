"""Logits from what a module returns: one of several outputs, probabilities, or one number per image."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from failmodes.evaluate.probabilities import FLOOR, SUM_TOLERANCE
from failmodes.evaluate.study.study_schema import OutputKind
from failmodes.runtime.errors import StudyError, did_you_mean, listed

LOGITS = "logits"  # name in Hugging Face classifiers
SHOWN = 3  # outputs listed in an error
# Outputs of backbones of transformers that are no logits, though they may have their shape
FEATURES = {"last_hidden_state", "pooler_output", "image_embeds", "text_embeds", "hidden_states"}


@dataclass(frozen=True)
class OutputFormat:
    """How logits are taken from what a module returns.

    Attributes:
        key: which output holds the logits, by name or by position from "0"; None if the module returns one tensor.
        kind: probabilities are replaced by their logarithm, which a softmax inverts; for zeros see `fill_zeros`.
        is_single: whether it returns one number per image, of the second class of two: a logit x becomes (−x, x) / 2,
            whose softmax is the sigmoid of x, and a probability p becomes (1 − p, p).
    """

    key: str | None = None
    kind: OutputKind = "logits"
    is_single: bool = False

    def logits(self, output: Any) -> torch.Tensor:
        """The logits in the output of a module."""
        values = select_output(output, self.key)
        if self.is_single:
            values = values.reshape(-1, 1).float()
            values = torch.cat([-values, values] if self.kind == "logits" else [1 - values, values], 1)
        if self.kind == "logits":
            return values / 2 if self.is_single else values
        return fill_zeros(log_probabilities(values.float()), math.log(FLOOR))

    def describe(self) -> str:
        """A short description for the assumptions of a model."""
        kind = (
            "logits" if self.kind == "logits" else f"probabilities, stored as logarithms, zeros as at most {FLOOR:.1e}"
        )
        return kind if self.key is None else f"{kind} (output {self.key!r} of several)"


def select_output(output: Any, key: str | None) -> torch.Tensor:
    """One of several outputs, by name or position; the only one if `key` is None."""
    selected: torch.Tensor = output if key is None else _entries(output)[key]
    return selected


def log_probabilities(probabilities: torch.Tensor) -> torch.Tensor:
    """Logarithm of probabilities of any float dtype and shape: −inf for 0, or for values below 0 by rounding.

    No gradient passes through a probability of 0. Non-finite values give NaN or inf.
    """
    zero = (probabilities <= 0) & (probabilities > -math.inf)
    return probabilities.masked_fill(zero, 1).log().masked_fill(zero, -math.inf)


def fill_zeros(log_p: torch.Tensor, log_floor: float) -> torch.Tensor:
    """Replace probabilities of 0 by a floor, or by half of the smallest other probability of their row if that is less.

    So no class changes its rank, and only probabilities of 0 change, apart from the normalization by a softmax.

    Args:
        log_p: (N, C), from `log_probabilities`.
        log_floor: logarithm of the floor.
    """
    zero = log_p == -math.inf
    least_other = log_p.detach().masked_fill(zero, math.inf).amin(-1, keepdim=True) - math.log(2)
    return torch.where(zero, least_other.clamp(max=log_floor), log_p)


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
