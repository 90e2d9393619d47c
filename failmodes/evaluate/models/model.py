"""A model: a module with its weights and everything else that its predictions depend on, from any source."""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch._dynamo import config as dynamo_config
from torch._functorch import config as functorch_config

from failmodes.evaluate.devices import make_exact
from failmodes.evaluate.models.outputs import LogitsHook
from failmodes.evaluate.models.preprocessing import Preprocessing
from failmodes.evaluate.study.study_schema import PUBLISHED_WIDTH, STEM, ClassProtocol, ModelSpec, OutputKind, Precision
from failmodes.ingest.study_types import MAX_INT32
from failmodes.runtime.errors import ModelError
from failmodes.runtime.hashing import fingerprint_of, identity_of

if TYPE_CHECKING:
    from failmodes.evaluate.cam.cam_method import CamMethod

SHOWN = 3  # classes listed in the description of a model
STANDARD = "standard"
PROMPTS = "prompts"  # the note of a zero-shot model that its results store, too
UNSTATED = Preprocessing(None)
MOST_STATED_LETTERS = 10_000  # of a text in a checkpoint's metadata, in the results

# Searched in an architecture's name in this order. `vit` and `eva` are parts of other families' names, so they must
# start a word.
FAMILIES = (
    "mobilevit", "efficientvit", "maxvit", "coatnet", "convnext", "swin", "deit", "beit", "mixer", "efficientnet",
    "mobilenet", "mnasnet", "densenet", "resnext", "regnet", "resnest", "resnet", "shufflenet", "squeezenet",
    "googlenet", "inception", "vgg", "alexnet", r"\bvit", r"\beva", "siglip", "clip",
)  # fmt: skip


@dataclass(frozen=True)
class CamUnavailable:
    """The reason why a model has no attention maps."""

    reason: str
    method: ClassVar[str] = "none"
    layer: ClassVar[None] = None


NOT_REQUESTED = CamUnavailable("not requested")


@dataclass(eq=False, kw_only=True)
class Model:
    """A module with its weights, preprocessing and class map.

    A source creates it (`failmodes.evaluate.models.sources`, or `live` for an object of this process) with module, spec
    and architecture, and if known with preprocessing, output names and count, metadata, checkpoint and definition.
    `load_model` tries it and maps its outputs to the classes of a dataset (logits hook, class names and outputs,
    protocol), and `to` moves it to its device (device, precision, outputs).

    Attributes:
        module: the torch module; after `to` in evaluation mode, with parameters that need no gradients.
        spec: the model as the study describes it.
        architecture: its canonical name.
        preprocessing: how uint8 pixels become its input; UNSTATED if unknown.
        normalization_source: which part of the model states its normalization, in words; None if the study gives it.
        output_names: names of all its outputs, in order, if known.
        config_names: names of all its outputs from `config.id2label`, if nothing else names them; they become
            `output_names` if they include each class of the dataset.
        output_count: number of outputs; None before a forward pass, if unknown.
        output_kinds: kinds of outputs that the weights state, by the output's key in several; None is the only output.
        logits_hook: converts the output of the module to logits; set by `try_model`.
        metadata: metadata of its checkpoint.
        checkpoint: file name of the weights, or their name on a hub; None for a user's function.
        checkpoint_note: which weights of the file were loaded, and the prefix stripped from their names; may be empty.
        definition: hash of the code of a user's model.
        class_names: (C,) classes of the dataset.
        class_outputs: (C,) output of each class, in the dataset's order; None for all outputs in order.
        protocol: whether other outputs compete with the classes; None if there are no others.
        device: where it runs.
        precision: of the forward pass; statistics are always float32.
        outputs: indices of the logits among the module's outputs, on the device: the classes in order, then the other
            outputs if these compete; None for all outputs in order.
        attention: the CAM method, or the reason why there is none.
        notes: further assumptions that its source makes, text by topic.
        whole: the model itself, if this one predicts some of its classes only; see `of_classes`.
        competing: the outputs that may be predicted, if this one predicts some of its classes only.
    """

    module: nn.Module
    spec: ModelSpec
    architecture: str
    preprocessing: Preprocessing = UNSTATED
    normalization_source: str | None = None
    output_names: tuple[str, ...] | None = None
    config_names: tuple[str, ...] | None = None
    output_count: int | None = None
    output_kinds: Mapping[str | None, OutputKind] = field(default_factory=dict)
    logits_hook: LogitsHook = LogitsHook()
    metadata: dict[str, str] = field(default_factory=dict)
    checkpoint: str | None = None
    checkpoint_note: str = ""
    definition: str | None = None
    class_names: tuple[str, ...] = ()
    class_outputs: list[int] | None = None
    protocol: ClassProtocol | None = None
    device: torch.device = torch.device("cpu")
    precision: Precision = "float32"
    outputs: torch.Tensor | None = None
    attention: "CamMethod | CamUnavailable" = NOT_REQUESTED
    notes: dict[str, str] = field(default_factory=dict)
    whole: "Model | None" = None
    competing: list[int] | None = None

    @property
    def seed(self) -> int | None:
        """Training seed stated by the checkpoint, otherwise by the study; None if neither states it."""
        of_file = stated_seed(self.metadata)
        return self.spec.training_seed if of_file is None else of_file

    @property
    def label(self) -> str:
        """Name in charts, with the seed if the study trains several."""
        return self.spec.label_of(self.seed)

    def to(self, device: torch.device, precision: Precision = "float32") -> "Model":
        """Move the model to a device, in evaluation mode."""
        self.module = to_channels_last(self.module, device).eval().requires_grad_(False)
        make_exact(device)
        chosen = self.logit_outputs
        self.outputs = None if chosen is None else torch.tensor(chosen, device=device)
        self.device, self.precision = device, getattr(self.module, "fixed_precision", precision)
        return self

    def compile(self) -> None:
        """Compile the module in place, including its hooks."""
        functorch_config.donated_buffer = False  # a CAM method may run one backward pass twice
        # otherwise code compiled for the first of several equal blocks is used for the one with a hook, too
        dynamo_config.skip_nnmodule_hook_guards = False
        self.module.compile()

    def inputs(self, images: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Prepare uint8 images (N, H, W, 3) as the module's input (N, 3, h, w), floats on the device."""
        return self.preprocessing(images, self.device)

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits (N, C) float32 of `inputs`; the caller decides about gradients."""
        dtype = torch.float16 if self.precision == "float16" else torch.bfloat16
        with torch.autocast(self.device.type, dtype, enabled=self.precision != "float32"):
            logits: torch.Tensor = self.module(inputs)
        if len(logits) != len(inputs):
            raise ModelError(f"it returns {len(logits):,} rows of logits for {len(inputs):,} images")
        return (logits if self.outputs is None else logits[:, self.outputs]).float()

    @torch.inference_mode()
    def predict(self, images: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Logits (N, C) float32 of uint8 images (N, H, W, 3)."""
        return self.logits(self.inputs(images))

    def of_classes(self, names: Sequence[str], *, restricted: bool) -> "Model":
        """This model, on its device, for images of some of its classes.

        It shares the module and the identity. Its CAM method is another one at the same layer.

        Args:
            names: some of its classes, in their order.
            restricted: whether only these may be predicted; otherwise all that this model may predict.
        """
        outputs = self.class_outputs or list(range(len(self.class_names)))
        of_name = dict(zip(self.class_names, outputs, strict=True))
        own = [of_name[name] for name in names]
        if not restricted and own == outputs:
            return self
        competing = own if restricted else self.logit_outputs or outputs
        made = replace(
            self,
            class_names=tuple(names),
            class_outputs=own,
            output_count=self.output_count or len(outputs),
            protocol="all" if len(competing) > len(own) else "subset",
            whole=self,
            competing=competing,
        )
        made.outputs = torch.tensor(made.logit_outputs, device=self.device)
        if not isinstance(self.attention, CamUnavailable):
            made.attention = type(self.attention)(made, self.attention.target)
        return made

    @cached_property
    def model_id(self) -> str:
        """Hash of tensors (in float32), architecture and its options, preprocessing and class map."""
        if self.whole is not None:
            return self.whole.model_id
        spec, given = self.spec, self.preprocessing
        facts: dict[str, Any] = {
            "tensors": tensor_hashes(self.module),
            "architecture": self.architecture,
            "normalization": None if given.normalization is None else given.normalization.model_dump(mode="json"),
            "classes": self.class_names,
        }
        if spec.source == "builtin":
            facts |= {"width": spec.width, "stem": STEM}
        else:
            facts |= {"options": spec.options, "stem": spec.stem, "definition": self.definition}
        optional = {
            "input_side_px": given.input_side_px,
            "outputs": self.class_outputs,
            "recipe": _identifying_recipe(self.metadata),
            "preprocessing": given.identity,
            "class_protocol": "all" if self.protocol == "all" else None,
            "output_key": spec.output_key,
            "output_kind": "probabilities" if self.logits_hook.kind == "probabilities" else None,
        }
        return identity_of(facts | {key: value for key, value in optional.items() if value is not None})

    @property
    def logit_outputs(self) -> list[int] | None:
        """Output of each logit, the classes first; None for all outputs in order."""
        if self.class_outputs is None or self.protocol != "all":
            return self.class_outputs
        return self.class_outputs + self.other_outputs

    @property
    def other_outputs(self) -> list[int]:
        """Outputs that are not classes of the dataset."""
        if self.class_outputs is None or self.output_count is None:
            return []
        classes = set(self.class_outputs)
        if self.competing is not None:
            return [output for output in self.competing if output not in classes]
        return [output for output in range(self.output_count) if output not in classes]

    def row(self) -> dict[str, Any]:
        """The row of `models`."""
        given = self.preprocessing
        return {
            "model_id": self.model_id,
            "model_label": self.label,
            "architecture": self.architecture,
            "family": family_of(self.architecture, self.module),
            "variant": "; ".join(filter(None, [self._variant(), self.notes.get(PROMPTS)])) or None,
            "class_count": len(self.class_names),
            "output_count": None if self.protocol is None else self.output_count,
            "parameter_count": self._parameter_count(),
            "input_mean": None if given.normalization is None else list(given.normalization.mean),
            "input_std": None if given.normalization is None else list(given.normalization.std),
            "input_side_px": given.input_side_px,
            "preprocessing": given.name,
            "training_recipe": _shortened(self.metadata.get("recipe")),
            "training_seed": self.seed,
            "training_data": _shortened(self.metadata.get("dataset")),
            "stated_accuracy": _stated_accuracy(self.metadata),
            "checkpoint": self.checkpoint,
            "class_names": self._used_names(),
            "class_outputs": self.class_outputs,
            "class_protocol": self.protocol,
        }

    def assumptions(self, image_shape: tuple[int, ...] | None = None) -> dict[str, str]:
        """Assumptions about the model, its input (of images of this shape) and its outputs: text by topic."""
        count = self._parameter_count()
        parts = [
            self.architecture,
            None if count is None else f"{count / 1e6:,.1f} M parameters" if count >= 1e5 else f"{count:,} parameters",
            self._variant() if self.class_outputs is None else None,
            None if self.checkpoint is None else f"weights {self.checkpoint}{_parenthesized(self.checkpoint_note)}",
        ]
        source = self.normalization_source
        changing = "" if self.spec.deterministic else ", not deterministic, as accepted"
        return {
            "model": "; ".join(part for part in parts if part),
            "input": self.preprocessing.describe(image_shape) + _parenthesized(source and f"of {source}"),
            "outputs": f"{self.logits_hook.describe()}{changing}; {self._describe_classes()}",
        } | self.notes

    def _parameter_count(self) -> int | None:
        """Number of parameters; None for a function."""
        return sum(p.numel() for p in self.module.parameters()) or None

    def _used_names(self) -> list[str] | None:
        """(C,) names of the used outputs, in the dataset's order, if known."""
        if self.output_names is None:
            return None
        return (
            list(self.output_names)
            if self.class_outputs is None
            else [self.output_names[i] for i in self.class_outputs]
        )

    def _variant(self) -> str | None:
        """Differences from the published architecture, in words; None if there are none."""
        width = self.spec.width
        parts = (
            None if width == PUBLISHED_WIDTH else f"small: width {width} instead of {PUBLISHED_WIDTH}",
            None if self.spec.stem is None else f"stem: {STEM}",
            ", ".join(f"{key} {value}" for key, value in self.spec.options.items()),
            self._subset(),
        )
        return "; ".join(part for part in parts if part) or None

    def _subset(self) -> str | None:
        """Number of used outputs, in words; None for all outputs in order."""
        if self.class_outputs is None:
            return None
        of = "" if self.output_count is None else f" of {self.output_count:,}"
        return f"{len(self.class_outputs):,}{of} outputs"

    def _describe_classes(self) -> str:
        if self.logits_hook.single:
            outputs = self.class_outputs or [0, 1]
            positive, negative = self.class_names[outputs.index(1)], self.class_names[outputs.index(0)]
            kind = "logit" if self.logits_hook.kind == "logits" else "probability"
            why = "the second class" if self.class_outputs is None else "output 1 of its classes"
            return f"one output, the {kind} of {positive} ({why}) against {negative}"
        named = "" if None in (self.output_names, self.config_names) else ", names from its config"
        if self.class_outputs is None:
            classes = f"{len(self.class_names):,} classes"
            if self.output_names is not None or self.spec.training is not None:
                return classes + named
            if self.class_names == tuple(map(str, range(len(self.class_names)))):
                return f"{classes}, by number"
            first = ", ".join(f"{name} = {output}" for output, name in enumerate(self.class_names[:SHOWN]))
            more = ", …" if len(self.class_names) > SHOWN else ""
            why = "its outputs have no names" if self.config_names is None else "its config has other names"
            return f"{classes} in the dataset's order, because {why} ({first}{more})"
        triples = zip(
            self.class_names, self.class_outputs, self._used_names() or [""] * len(self.class_outputs), strict=True
        )
        pairs = [f"{name} = {output}{f' {own}' if own not in ('', name) else ''}" for name, output, own in triples]
        more = ", …" if len(self.class_outputs) > SHOWN else ""
        among = {"all": ", predicting among all outputs", "subset": ", ignoring the others", None: ""}[self.protocol]
        return f"{len(self.class_names):,} classes on {self._subset()}{among} ({', '.join(pairs[:SHOWN])}{more}){named}"


def _parenthesized(text: str | None) -> str:
    return f" ({text})" if text else ""


def to_channels_last(module: nn.Module, device: torch.device) -> nn.Module:
    """Move a module to a device in channels_last memory format, the layout of the images."""
    moved: nn.Module = module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def family_of(architecture: str, module: nn.Module) -> str:
    """Family of an architecture from its name; otherwise its class name in lower case."""
    words = re.split(r"[:/]", architecture)[-1].lower().replace("_", " ").replace(".", " ")
    family = next((family for family in FAMILIES if re.search(family, words)), type(module).__name__.lower())
    return family.removeprefix(r"\b")


def stated_seed(metadata: dict[str, str]) -> int | None:
    """The training seed in a checkpoint's metadata: under `seed`, or at the end of a plain-text recipe."""
    words = metadata.get("recipe", "").replace(",", " ").split()
    seed = metadata.get("seed") or (words[-1] if words[-2:-1] == ["seed"] else "")
    return int(seed) if re.fullmatch("[0-9]{1,10}", seed) and int(seed) <= MAX_INT32 else None


def tensor_hashes(module: nn.Module) -> dict[str, str]:
    """Hash of each tensor of a state_dict, in float32, by name; other entries are ignored."""
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
    """A text of a checkpoint's metadata, cut to MOST_STATED_LETTERS."""
    return text if text is None or len(text) <= MOST_STATED_LETTERS else f"{text[:MOST_STATED_LETTERS]}…"


def _stated_accuracy(metadata: dict[str, str]) -> float | None:
    """The clean accuracy under `clean_accuracy`, or under a key that starts with it."""
    for name in sorted(metadata):
        if name.startswith("clean_accuracy"):
            with suppress(ValueError):
                stated = float(metadata[name])
                return stated if 0 <= stated <= 1 else None
    return None


def _identifying_recipe(metadata: dict[str, str]) -> dict[str, Any] | None:
    """The training recipe, if it has another augmentation than the standard one.

    A model trained by the standard recipe is identified by its weights alone; any other recipe is part of the identity.
    """
    try:
        recipe = json.loads(metadata.get("recipe", ""))
        identity_of(recipe)
    except (ValueError, RecursionError):  # a plain-text recipe, or one that cannot be hashed
        return None
    if not isinstance(recipe, dict) or recipe.get("augmentation", STANDARD) == STANDARD:
        return None
    return recipe
