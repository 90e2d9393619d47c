"""A model of a study with its weights: its identity, its row in `models`, and its one-line description."""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import nn

from failmodes.evaluate.models.checkpoints import stated_seed
from failmodes.evaluate.models.outputs import logits_hook
from failmodes.evaluate.models.prepared_model import UNIT_RANGE, PreparedModel, prepare_model
from failmodes.evaluate.models.preprocessing import Preprocessing
from failmodes.evaluate.models.registry import PUBLISHED_WIDTH, STEM, family_of, resolve_architecture, source_hash
from failmodes.evaluate.study.study_schema import ClassProtocol, ModelSpec, Normalization, Precision
from failmodes.warehouse.hashing import fingerprint_of, identity_of

SHOWN = 3  # classes whose outputs are named in the line that describes a model
STANDARD = "standard"
MOST_STATED_LETTERS = 10_000  # of a text that a checkpoint states, in the record


class ModelConfig(NamedTuple):
    """What the study, a checkpoint, published weights or a user's model says of a model; None where not given.

    Attributes:
        normalization: mean and std of inputs, of values / 255.
        input_side_px: the side that the model expects, pixels.
        class_names: names of its outputs, in order.
    """

    normalization: Normalization | None = None
    input_side_px: int | None = None
    class_names: tuple[str, ...] | None = None

    def filled_from(self, other: "ModelConfig") -> "ModelConfig":
        """This configuration, with the other's values where it has none."""
        return ModelConfig(
            self.normalization or other.normalization,
            self.input_side_px or other.input_side_px,
            self.class_names or other.class_names,
        )


@dataclass(frozen=True, eq=False)
class Model:
    """A module with its weights and what belongs to them.

    Attributes:
        module: the model, in evaluation mode.
        spec: the model as the study describes it.
        class_names: (C,) classes of the data set.
        normalization: mean and std of its inputs, of values / 255; None where `preprocessing` makes them.
        input_side_px: the side that images are resized to; None: not resized.
        output_names: names of all its outputs, where known.
        output_count: how many outputs it has; None where only a forward pass tells.
        outputs: (C,) which of its outputs are the classes, in the data set's order; None for all, in order.
        protocol: whether its other outputs take part; None where there are none.
        metadata: the metadata of its file.
        checkpoint: file name of the weights, or their name on a hub; None for a user's own function.
        prefix: what was stripped from the names of its tensors ("" for nothing).
        preprocessing: a user's own, instead of normalization and resizing.
        definition: hash of its code, where it was handed over as an object of this process.
    """

    module: nn.Module
    spec: ModelSpec
    class_names: tuple[str, ...]
    normalization: Normalization | None
    input_side_px: int | None = None
    output_names: tuple[str, ...] | None = None
    output_count: int | None = None
    outputs: list[int] | None = None
    protocol: ClassProtocol | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    checkpoint: str | None = None
    prefix: str = ""
    preprocessing: Preprocessing | None = None
    definition: str | None = None

    @property
    def seed(self) -> int | None:
        """Training seed: of its file, else of the study; None where neither states one."""
        of_file = stated_seed(self.metadata)
        return self.spec.training_seed if of_file is None else of_file

    @property
    def label(self) -> str:
        """The name on charts; with the seed where the study trains several."""
        return self.spec.label_of(self.seed)

    @property
    def architecture(self) -> str:
        """The architecture's name, the same for every spelling."""
        return resolve_architecture(self.spec.architecture).canonical

    def model_id(self) -> str:
        """Hash of tensors (in float32), architecture and how it is built, preprocessing and class map."""
        return self._model_id

    @cached_property
    def _model_id(self) -> str:
        facts: dict[str, Any] = {
            "tensors": tensor_hashes(self.module),
            "architecture": self.architecture,
            "normalization": None if self.normalization is None else self.normalization.model_dump(mode="json"),
            "classes": self.class_names,
        }
        if self.spec.is_ours:
            facts |= {"width": self.spec.width, "stem": STEM}
        else:
            definition = self.definition or source_hash(self.spec, self.module)
            facts |= {"options": self.spec.options, "stem": self.spec.stem, "definition": definition}
        optional = {
            "input_side_px": self.input_side_px,
            "outputs": self.outputs,
            "recipe": _identifying_recipe(self.metadata),
            "preprocessing": None if self.preprocessing is None else self.preprocessing.identity,
            "class_protocol": "all" if self.protocol == "all" else None,
            "output_key": self.spec.output_key,
            "output_kind": "probabilities" if self.spec.output_kind == "probabilities" else None,
        }
        return identity_of(facts | {key: value for key, value in optional.items() if value is not None})

    @property
    def logit_outputs(self) -> list[int] | None:
        """Which of its outputs each logit is, the classes first; None for all, in order."""
        if self.outputs is None or self.protocol != "all":
            return self.outputs
        return self.outputs + self.other_outputs

    @property
    def other_outputs(self) -> list[int]:
        """Outputs that are no classes of the data set."""
        if self.outputs is None or self.output_count is None:
            return []
        classes = set(self.outputs)
        return [output for output in range(self.output_count) if output not in classes]

    def prepare(self, device: torch.device, precision: Precision) -> PreparedModel:
        """The model ready to run."""
        return prepare_model(
            self.module, self.spec.architecture, self.normalization, device, precision,
            label=self.label, input_side_px=self.input_side_px, outputs=self.logit_outputs,
            preprocess=None if self.preprocessing is None else self.preprocessing.apply,
        )  # fmt: skip

    def row(self) -> dict[str, Any]:
        """The row of `models`."""
        return {
            "model_id": self.model_id(),
            "model_label": self.label,
            "architecture": self.architecture,
            "family": family_of(resolve_architecture(self.spec.architecture), self.module),
            "variant": self._variant(),
            "class_count": len(self.class_names),
            "output_count": None if self.protocol is None else self.output_count,
            "parameter_count": self._parameter_count(),
            "input_mean": None if self.normalization is None else list(self.normalization.mean),
            "input_std": None if self.normalization is None else list(self.normalization.std),
            "input_side_px": self.input_side_px,
            "preprocessing": None if self.preprocessing is None else self.preprocessing.name,
            "training_recipe": _shortened(self.metadata.get("recipe")),
            "training_seed": self.seed,
            "training_data": _shortened(self.metadata.get("dataset")),
            "stated_accuracy": _stated_accuracy(self.metadata),
            "checkpoint": self.checkpoint,
            "class_names": self._used_names(),
            "class_outputs": self.outputs,
            "class_protocol": self.protocol,
        }

    def assumptions(self) -> dict[str, str]:
        """What is taken for granted of the model, of images and of outputs: words by topic."""
        count = self._parameter_count()
        parts = [
            self.architecture,
            None if count is None else f"{count / 1e6:,.1f} M parameters" if count >= 1e5 else f"{count:,} parameters",
            self._variant() if self.outputs is None else None,
            None if self.checkpoint is None else f"weights {self.checkpoint}",
            f"prefix {self.prefix!r} stripped" if self.prefix else None,
        ]
        return {
            "model": "; ".join(part for part in parts if part),
            "images": self._describe_inputs(),
            "classes": self._describe_classes(),
            "outputs": self._describe_outputs(),
        }

    def _describe_inputs(self) -> str:
        if self.preprocessing is not None:
            return self.preprocessing.description
        side = "as they come" if self.input_side_px is None else f"at {self.input_side_px} px"
        given = self.normalization or UNIT_RANGE
        if given == UNIT_RANGE:
            return f"{side}, values in [0, 1]"
        mean, std = ("/".join(f"{value:.4g}" for value in channels) for channels in (given.mean, given.std))
        return f"{side}, mean {mean}, std {std}"

    def _describe_outputs(self) -> str:
        hook = logits_hook(self.module)
        stable = "the same in each pass" if self.spec.deterministic else "may change from pass to pass, as accepted"
        return f"{'logits' if hook is None else hook.describe()}, {stable}"

    def _parameter_count(self) -> int | None:
        """How many parameters; None for a function, whose model is not seen."""
        return sum(p.numel() for p in self.module.parameters()) or None

    def _used_names(self) -> list[str] | None:
        """(C,) names of the outputs that are used, in the data set's order, where the model has names."""
        if self.output_names is None:
            return None
        return list(self.output_names) if self.outputs is None else [self.output_names[i] for i in self.outputs]

    def _variant(self) -> str | None:
        """How it differs from the published architecture, in words; None if it does not."""
        width = self.spec.width
        parts = (
            None if width == PUBLISHED_WIDTH else f"small: width {width} instead of {PUBLISHED_WIDTH}",
            None if self.spec.stem is None else f"stem: {STEM}",
            ", ".join(f"{key} {value}" for key, value in self.spec.options.items()),
            self._subset(),
        )
        return "; ".join(part for part in parts if part) or None

    def _subset(self) -> str | None:
        """How many of its outputs are used, in words; None if all, in order."""
        if self.outputs is None:
            return None
        of = "" if self.output_count is None else f" of {self.output_count:,}"
        return f"{len(self.outputs):,}{of} outputs"

    def _describe_classes(self) -> str:
        if self.outputs is None:
            classes = f"{len(self.class_names):,} classes"
            if self.output_names is not None or self.spec.training is not None:
                return classes
            first = ", ".join(f"{name} = {output}" for output, name in enumerate(self.class_names[:SHOWN]))
            more = ", …" if len(self.class_names) > SHOWN else ""
            return f"{classes} in the data set's order, for nothing names its outputs ({first}{more})"
        triples = zip(self.class_names, self.outputs, self._used_names() or [""] * len(self.outputs), strict=True)
        pairs = [f"{name} = {output}{f' {own}' if own not in ('', name) else ''}" for name, output, own in triples]
        more = ", …" if len(self.outputs) > SHOWN else ""
        among = {"all": ", any of which may be the answer", "subset": ", the others left out", None: ""}[self.protocol]
        return f"{len(self.class_names):,} classes on {self._subset()}{among} ({', '.join(pairs[:SHOWN])}{more})"


def tensor_hashes(module: nn.Module) -> dict[str, str]:
    """Hash of each tensor of a state_dict, in float32, by name; what else a state_dict holds is left out."""
    return {
        name: fingerprint_of([_as_floats(tensor).reshape(-1).numpy()])
        for name, tensor in sorted(module.state_dict().items())
        if isinstance(tensor, torch.Tensor)
    }


def _as_floats(tensor: torch.Tensor) -> torch.Tensor:
    plain = tensor.detach().cpu()
    if plain.is_quantized:
        return plain.dequantize()
    return torch.view_as_real(plain.resolve_conj()).float() if plain.is_complex() else plain.float()


def _shortened(text: str | None) -> str | None:
    """What a checkpoint says of itself, at most MOST_STATED_LETTERS of it."""
    return text if text is None or len(text) <= MOST_STATED_LETTERS else f"{text[:MOST_STATED_LETTERS]}…"


def _stated_accuracy(metadata: dict[str, str]) -> float | None:
    """The clean accuracy under `clean_accuracy`, or under such a key followed by the images measured."""
    for name in sorted(metadata):
        if name.startswith("clean_accuracy"):
            with suppress(ValueError):
                stated = float(metadata[name])
                return stated if 0 <= stated <= 1 else None
    return None


def _identifying_recipe(metadata: dict[str, str]) -> dict[str, Any] | None:
    """The training recipe, where it names an augmentation other than the standard one.

    Its weights alone identify a model trained by the standard recipe; any other recipe is part of the identity, even
    where weights should coincide.
    """
    try:
        recipe = json.loads(metadata.get("recipe", ""))
        identity_of(recipe)
    except (ValueError, RecursionError):  # a recipe in plain text, or one that cannot be hashed
        return None
    if not isinstance(recipe, dict) or recipe.get("augmentation", STANDARD) == STANDARD:
        return None
    return recipe
