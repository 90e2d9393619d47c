"""A network of a study with its weights: what it is, what identifies it, and how it is said in words.

What a checkpoint's metadata says of its training: the seed, and whether the recipe is part of the identity.
"""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from failmodes.evaluate.models.architectures import STEM, variant_of
from failmodes.evaluate.models.network import Network, prepare_network
from failmodes.evaluate.models.registry import family_of, resolve_architecture, source_hash
from failmodes.evaluate.study.study_schema import ModelSpec, Normalisation, Precision
from failmodes.warehouse.hashing import fingerprint_of, identity_of

SHOWN = 3  # classes whose outputs are named in words

STANDARD = "standard"


@dataclass(frozen=True, eq=False)
class Model:
    """A module with its weights and what travels with them.

    Attributes:
        module: the network, in evaluation mode.
        spec: the model as the study describes it.
        seed: training seed, where one is known.
        normalisation: mean and std of its inputs, of values / 255.
        class_names: (C,) classes of the data set.
        metadata: what its file says of it.
        path: the file of its weights; None for published weights and a user's own function.
        outputs: (C,) which of its outputs are the classes, in the data set's order; None for all, in order.
        input_side_px: the side that images are resized to; None: as they come.
        output_names: names of all its outputs, where known.
        output_count: how many outputs it has; None where only a forward pass tells.
        prefix: what was stripped from the names of its tensors ("" for nothing).
        origin: published weights' file or hub name.
    """

    module: nn.Module
    spec: ModelSpec
    seed: int | None
    normalisation: Normalisation
    class_names: tuple[str, ...]
    metadata: dict[str, str] = field(default_factory=dict)
    path: Path | None = None
    outputs: list[int] | None = None
    input_side_px: int | None = None
    output_names: tuple[str, ...] | None = None
    output_count: int | None = None
    prefix: str = ""
    origin: str | None = None

    @property
    def label(self) -> str:
        """The name on charts; a seed is named where the study trains several."""
        return self.spec.label if len(self.spec.seeds) == 1 else f"{self.spec.label}, seed {self.seed}"

    @property
    def architecture(self) -> str:
        """The architecture's name, the same for every way to write it."""
        return resolve_architecture(self.spec.architecture).canonical

    @property
    def checkpoint(self) -> str | None:
        """File name of the weights, or their name on a hub."""
        return self.path.name if self.path is not None else self.origin

    def model_id(self) -> str:
        """Hash of tensors (in float32), architecture and how it is built, preprocessing and class map."""
        return self._model_id

    @cached_property
    def _model_id(self) -> str:
        tensors = {
            name: fingerprint_of([tensor.detach().cpu().float().reshape(-1).numpy()])
            for name, tensor in sorted(self.module.state_dict().items())
        }
        facts: dict[str, Any] = {
            "tensors": tensors,
            "architecture": self.architecture,
            "normalisation": self.normalisation.model_dump(mode="json"),
            "classes": self.class_names,
        }
        if self.spec.is_ours:
            facts |= {"width": self.spec.width, "stem": STEM}
        else:
            facts |= {
                "options": self.spec.options,
                "stem": self.spec.stem,
                "definition": source_hash(self.spec, self.module),
            }
        further = {
            "input_side_px": self.input_side_px,
            "outputs": self.outputs,
            "recipe": identifying_recipe(self.metadata),
        }
        return identity_of(facts | {key: value for key, value in further.items() if value is not None})

    def network(self, device: torch.device, precision: Precision) -> Network:
        """The model ready to run."""
        return prepare_network(
            self.module, self.spec.architecture, self.normalisation, device, precision,
            label=self.label, input_side_px=self.input_side_px, outputs=self.outputs,
        )  # fmt: skip

    def row(self) -> dict[str, Any]:
        """The row of `models`."""
        return {
            "model_id": self.model_id(),
            "model_label": self.label,
            "architecture": self.architecture,
            "family": family_of(resolve_architecture(self.spec.architecture), self.module),
            "variant": self.variant(),
            "class_count": len(self.class_names),
            "parameter_count": self.parameter_count(),
            "input_mean": list(self.normalisation.mean),
            "input_std": list(self.normalisation.std),
            "input_side_px": self.input_side_px,
            "training_recipe": self.metadata.get("recipe"),
            "training_seed": self.seed,
            "training_data": self.metadata.get("dataset"),
            "stated_accuracy": _stated_accuracy(self.metadata),
            "checkpoint": self.checkpoint,
            "class_names": self.used_names(),
            "class_outputs": self.outputs,
        }

    def parameter_count(self) -> int:
        """Number of parameters."""
        return sum(p.numel() for p in self.module.parameters())

    def used_names(self) -> list[str] | None:
        """(C,) names of the outputs that are used, in the data set's order, where the model has names."""
        if self.output_names is None:
            return None
        return list(self.output_names) if self.outputs is None else [self.output_names[i] for i in self.outputs]

    def variant(self) -> str | None:
        """How it differs from the published architecture, in words; None if it does not."""
        stem = f"stem: {STEM}" if self.spec.stem is not None else None
        options = ", ".join(f"{key} {value}" for key, value in self.spec.options.items())
        parts = (variant_of(self.spec.width), stem, options, self.subset())
        return "; ".join(part for part in parts if part) or None

    def subset(self) -> str | None:
        """How many of its outputs are used, in words; None if all, in order."""
        if self.outputs is None:
            return None
        of = "" if self.output_count is None else f" of {self.output_count:,}"
        return f"{len(self.outputs):,}{of} outputs"

    def words(self) -> str:
        """One line on what is about to run."""
        mean, std = ("/".join(f"{value:.4g}" for value in v) for v in (self.normalisation.mean, self.normalisation.std))
        side = "as they come" if self.input_side_px is None else f"at {self.input_side_px} px"
        parts = [
            f"{self.label}: {self.architecture}",
            f"{_rounded(self.parameter_count())} parameters",
            f"images {side}, mean {mean}, std {std}",
            self._class_words(),
            self.variant() if self.subset() is None else None,
            None if self.checkpoint is None else f"weights {self.checkpoint}",
            f"prefix {self.prefix!r} stripped" if self.prefix else None,
        ]
        return "; ".join(part for part in parts if part)

    def _class_words(self) -> str:
        if self.outputs is None:
            return f"{len(self.class_names):,} classes"
        pairs = zip(self.class_names, self.outputs, self.used_names() or [""] * len(self.outputs), strict=True)
        shown = [f"{name} = {place}{f' {own}' if own not in ('', name) else ''}" for name, place, own in pairs][:SHOWN]
        more = ", …" if len(self.outputs) > SHOWN else ""
        return f"{len(self.class_names):,} classes on {self.subset()} ({', '.join(shown)}{more})"


def _rounded(count: int) -> str:
    return f"{count / 1e6:,.1f} M" if count >= 1e5 else f"{count:,}"


def _stated_accuracy(metadata: dict[str, str]) -> float | None:
    """The clean accuracy under `clean_accuracy`, or such a key with the images it was measured on behind it."""
    for name in sorted(metadata):
        if name.startswith("clean_accuracy"):
            with suppress(ValueError):
                stated = float(metadata[name])
                return stated if 0 <= stated <= 1 else None
    return None


def identifying_recipe(metadata: dict[str, str]) -> dict[str, Any] | None:
    """The training recipe, where it names an augmentation other than the standard one.

    Weights alone identify a network trained as ever; a recipe is told apart even where weights should coincide.
    """
    try:
        recipe = json.loads(metadata.get("recipe", ""))
    except ValueError:  # a recipe in words
        return None
    if not isinstance(recipe, dict) or recipe.get("augmentation", STANDARD) == STANDARD:
        return None
    return recipe
