"""A model: a module with its weights and all that its predictions depend on, wherever it comes from."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch._functorch import config as functorch_config

from failmodes.evaluate.devices import make_exact
from failmodes.evaluate.models.outputs import LogitsHook
from failmodes.evaluate.models.preprocessing import Preprocessing
from failmodes.evaluate.study.study_schema import PUBLISHED_WIDTH, STEM, ClassProtocol, ModelSpec, Precision
from failmodes.ingest.study_types import MAX_INT32
from failmodes.warehouse.hashing import fingerprint_of, identity_of

if TYPE_CHECKING:
    from failmodes.evaluate.cam.cam_method import CamMethod

SHOWN = 3  # classes whose outputs are named in the line that describes a model
STANDARD = "standard"
UNSTATED = Preprocessing(None)
MOST_STATED_LETTERS = 10_000  # of a text that a checkpoint states, in the results

# Looked for in an architecture's name in this order; `vit` and `eva` are parts of other families' names, so they begin
# a word.
FAMILIES = (
    "mobilevit", "efficientvit", "maxvit", "coatnet", "convnext", "swin", "deit", "beit", "mixer", "efficientnet",
    "mobilenet", "mnasnet", "densenet", "resnext", "regnet", "resnest", "resnet", "shufflenet", "squeezenet",
    "googlenet", "inception", "vgg", "alexnet", r"\bvit", r"\beva",
)  # fmt: skip


@dataclass(frozen=True)
class CamUnavailable:
    """Why no CAM is available."""

    reason: str
    method: ClassVar[str] = "none"
    layer: ClassVar[None] = None


NOT_ASKED = CamUnavailable("it was not asked for")


@dataclass(eq=False, kw_only=True)
class Model:
    """A module with its weights and what belongs to them.

    A source makes it (`failmodes.evaluate.models.sources`, or `live` of an object of this process), `load_model` tries
    it and fits its outputs to the classes of a data set, `to` brings it where it runs.

    Attributes:
        module: the model; after `to` in evaluation mode, its parameters without gradients.
        spec: the model as the study describes it.
        architecture: its name, the same for every spelling.
        preprocessing: how uint8 pixels become its input; UNSTATED while nothing says so.
        normalization_source: what of its own says the normalization, in words; None where that is given, or nothing is.
        output_names: names of all its outputs, in order, where known.
        config_names: names of all its outputs by its own `config.id2label`, where nothing else names them; they are
            its `output_names` if each class of the data set is among them.
        output_count: how many outputs it has; None where only a forward pass tells.
        logits_hook: how the output of the module gives logits; known once it was tried.
        metadata: the metadata of its file.
        checkpoint: file name of the weights, or their name on a hub; None for a user's own function.
        checkpoint_note: which weights of its file these are, and what was stripped from their names; "" for neither.
        definition: hash of its code, where that is a user's own.
        class_names: (C,) classes of the data set.
        class_outputs: (C,) which of its outputs are the classes, in the data set's order; None for all, in order.
        protocol: whether its other outputs take part; None where there are none.
        device: where it runs.
        precision: of its forward pass; statistics are float32 in every case.
        outputs: which of the module's outputs the logits are, on the device: the classes, in their order, and then the
            others, if they take part; None for all, in order.
        attention: its CAM method, which gives maps of targets from inputs, or why it has none.
        watchers: called with all of the module's outputs (N, outputs) of each forward pass.
    """

    module: nn.Module
    spec: ModelSpec
    architecture: str
    preprocessing: Preprocessing = UNSTATED
    normalization_source: str | None = None
    output_names: tuple[str, ...] | None = None
    config_names: tuple[str, ...] | None = None
    output_count: int | None = None
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
    attention: "CamMethod | CamUnavailable" = NOT_ASKED
    watchers: list[Callable[[torch.Tensor], None]] = field(default_factory=list)

    @property
    def seed(self) -> int | None:
        """Training seed: of its file, else of the study; None where neither states one."""
        of_file = stated_seed(self.metadata)
        return self.spec.training_seed if of_file is None else of_file

    @property
    def label(self) -> str:
        """The name on charts; with the seed where the study trains several."""
        return self.spec.label_of(self.seed)

    def to(self, device: torch.device, precision: Precision = "float32") -> "Model":
        """Bring the model to the device where it runs, in evaluation mode."""
        self.module = to_channels_last(self.module, device).eval().requires_grad_(False)
        make_exact(device)
        chosen = self.logit_outputs
        self.outputs = None if chosen is None else torch.tensor(chosen, device=device)
        self.device, self.precision = device, precision
        return self

    def compile(self) -> None:
        """Compile the module in place, with the hooks that it has by now."""
        functorch_config.donated_buffer = False  # a CAM method may run one backward pass twice
        self.module.compile()

    def inputs(self, images: np.ndarray | torch.Tensor) -> torch.Tensor:
        """The module's input (N, 3, h, w), floats on the device, of uint8 images (N, H, W, 3)."""
        return self.preprocessing(images, self.device)

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits (N, C) float32 of `inputs`; whether gradients flow is the caller's choice."""
        dtype = torch.float16 if self.precision == "float16" else torch.bfloat16
        with torch.autocast(self.device.type, dtype, enabled=self.precision != "float32"):
            logits: torch.Tensor = self.module(inputs)
        for watch in self.watchers:
            watch(logits.detach())
        return (logits if self.outputs is None else logits[:, self.outputs]).float()

    @torch.inference_mode()
    def predict(self, images: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Logits (N, C) float32 of uint8 images (N, H, W, 3)."""
        return self.logits(self.inputs(images))

    @cached_property
    def model_id(self) -> str:
        """Hash of tensors (in float32), architecture and how it is built, preprocessing and class map."""
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
            "output_kind": "probabilities" if spec.output_kind == "probabilities" else None,
        }
        return identity_of(facts | {key: value for key, value in optional.items() if value is not None})

    @property
    def logit_outputs(self) -> list[int] | None:
        """Which of its outputs each logit is, the classes first; None for all, in order."""
        if self.class_outputs is None or self.protocol != "all":
            return self.class_outputs
        return self.class_outputs + self.other_outputs

    @property
    def other_outputs(self) -> list[int]:
        """Outputs that are no classes of the data set."""
        if self.class_outputs is None or self.output_count is None:
            return []
        classes = set(self.class_outputs)
        return [output for output in range(self.output_count) if output not in classes]

    def row(self) -> dict[str, Any]:
        """The row of `models`."""
        given = self.preprocessing
        return {
            "model_id": self.model_id,
            "model_label": self.label,
            "architecture": self.architecture,
            "family": family_of(self.architecture, self.module),
            "variant": self._variant(),
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

    def assumptions(self) -> dict[str, str]:
        """What is taken for granted of the model, of its input and of its outputs: words by topic."""
        count = self._parameter_count()
        parts = [
            self.architecture,
            None if count is None else f"{count / 1e6:,.1f} M parameters" if count >= 1e5 else f"{count:,} parameters",
            self._variant() if self.class_outputs is None else None,
            None if self.checkpoint is None else f"weights {self.checkpoint}{_parenthesized(self.checkpoint_note)}",
        ]
        source = self.normalization_source
        changing = "" if self.spec.deterministic else ", which may change from pass to pass, as accepted"
        return {
            "model": "; ".join(part for part in parts if part),
            "input": self.preprocessing.describe() + _parenthesized(source and f"of {source}"),
            "outputs": f"{self.logits_hook.describe()}{changing}; {self._describe_classes()}",
        }

    def _parameter_count(self) -> int | None:
        """How many parameters; None for a function, whose model is not seen."""
        return sum(p.numel() for p in self.module.parameters()) or None

    def _used_names(self) -> list[str] | None:
        """(C,) names of the outputs that are used, in the data set's order, where the model has names."""
        if self.output_names is None:
            return None
        return (
            list(self.output_names)
            if self.class_outputs is None
            else [self.output_names[i] for i in self.class_outputs]
        )

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
        if self.class_outputs is None:
            return None
        of = "" if self.output_count is None else f" of {self.output_count:,}"
        return f"{len(self.class_outputs):,}{of} outputs"

    def _describe_classes(self) -> str:
        named = "" if None in (self.output_names, self.config_names) else ", names from its config"
        if self.class_outputs is None:
            classes = f"{len(self.class_names):,} classes"
            if self.output_names is not None or self.spec.training is not None:
                return classes + named
            if self.class_names == tuple(map(str, range(len(self.class_names)))):
                return f"{classes}, by number"
            first = ", ".join(f"{name} = {output}" for output, name in enumerate(self.class_names[:SHOWN]))
            more = ", …" if len(self.class_names) > SHOWN else ""
            why = "nothing names its outputs" if self.config_names is None else "its config names its outputs otherwise"
            return f"{classes} in the data set's order, for {why} ({first}{more})"
        triples = zip(
            self.class_names, self.class_outputs, self._used_names() or [""] * len(self.class_outputs), strict=True
        )
        pairs = [f"{name} = {output}{f' {own}' if own not in ('', name) else ''}" for name, output, own in triples]
        more = ", …" if len(self.class_outputs) > SHOWN else ""
        among = {"all": ", any of which may be the answer", "subset": ", the others left out", None: ""}[self.protocol]
        return f"{len(self.class_names):,} classes on {self._subset()}{among} ({', '.join(pairs[:SHOWN])}{more}){named}"


def _parenthesized(text: str | None) -> str:
    return f" ({text})" if text else ""


def to_channels_last(module: nn.Module, device: torch.device) -> nn.Module:
    """Move a module to its device and lay its kernels out as (N, H, W, C), which is how images arrive."""
    moved: nn.Module = module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def family_of(architecture: str, module: nn.Module) -> str:
    """Family of an architecture, from its name; the class's name in lower case where the name contains none."""
    words = re.split(r"[:/]", architecture)[-1].lower().replace("_", " ").replace(".", " ")
    family = next((family for family in FAMILIES if re.search(family, words)), type(module).__name__.lower())
    return family.removeprefix(r"\b")


def stated_seed(metadata: dict[str, str]) -> int | None:
    """The training seed that a file states: under `seed`, or at the end of a recipe in plain text."""
    words = metadata.get("recipe", "").replace(",", " ").split()
    seed = metadata.get("seed") or (words[-1] if words[-2:-1] == ["seed"] else "")
    return int(seed) if re.fullmatch("[0-9]{1,10}", seed) and int(seed) <= MAX_INT32 else None


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
