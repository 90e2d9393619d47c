"""A model: a module with its weights and everything else that its predictions depend on, from any source."""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from failmodes.evaluate.devices import make_exact
from failmodes.evaluate.models.outputs import OutputFormat
from failmodes.evaluate.models.preprocessing import Preprocessing
from failmodes.evaluate.study.study_schema import PUBLISHED_WIDTH, STEM, ClassProtocol, ModelSpec, OutputKind, Precision
from failmodes.ingest.study_types import MAX_INT32
from failmodes.runtime.errors import ModelError, counted
from failmodes.runtime.hashing import fingerprint_of, identity_of
from failmodes.warehouse.schema import IMPORTED_FAMILY

SHOWN = 3  # classes listed in the description of a model
STANDARD = "standard"
PROMPTS = "prompts"  # the note of a zero-shot model that its results store, too
UNSTATED = Preprocessing(None)
MAX_STATED_LETTERS = 10_000  # of a text in a checkpoint's metadata, in the results

# Searched in an architecture's name in this order. `vit` and `eva` are parts of other families' names, so they must
# start a word.
FAMILIES = (
    "mobilevit", "efficientvit", "maxvit", "coatnet", "convnext", "swin", "deit", "beit", "mixer", "efficientnet",
    "mobilenet", "mnasnet", "densenet", "resnext", "regnet", "resnest", "resnet", "shufflenet", "squeezenet",
    "googlenet", "inception", "vgg", "alexnet", r"\bvit", r"\beva", "siglip", "clip",
)  # fmt: skip


@dataclass(frozen=True)
class OutputMap:
    """The outputs of a module that become logits, by their indices.

    Attributes:
        classes: (C,) output of each class, in the dataset's order.
        competing: other outputs that may be predicted.
        count: number of outputs of the module.
    """

    classes: tuple[int, ...] = ()
    competing: tuple[int, ...] = ()
    count: int = 0

    @property
    def logits(self) -> tuple[int, ...]:
        """Output of each logit, the classes first."""
        return self.classes + self.competing

    @property
    def is_identity(self) -> bool:
        """Whether the classes are all outputs in order."""
        return self.classes == tuple(range(self.count))

    @property
    def protocol(self) -> ClassProtocol | None:
        """Whether other outputs compete with the classes; None if there are no others."""
        if len(self.classes) == self.count:
            return None
        return "all" if self.competing else "subset"

    @property
    def class_outputs(self) -> list[int] | None:
        """(C,) output of each class, as the results store it; None for all outputs in order."""
        return None if self.is_identity else list(self.classes)

    def restrict(self, classes: Sequence[int], *, restricted: bool) -> "OutputMap":
        """The map of some of the classes.

        Args:
            classes: positions of these classes.
            restricted: whether only these may be predicted; otherwise all that may be predicted now.
        """
        outputs = tuple(self.classes[position] for position in classes)
        others = () if restricted else tuple(output for output in self.logits if output not in set(outputs))
        return OutputMap(outputs, others, self.count)


@dataclass(frozen=True, eq=False, kw_only=True)
class Model:
    """A module with its weights, preprocessing and output map, or a table of imported predictions.

    A source (`failmodes.evaluate.models.sources`, or `live` for an object of this process) states what it knows about
    a module. `load_model` finds out the rest: the format of its outputs, and their map to the classes of a dataset.

    Attributes:
        module: the torch module; None for imported predictions.
        spec: the model as the study describes it.
        architecture: its canonical name.
        preprocessing: how uint8 pixels become its input; UNSTATED if unknown.
        normalization_source: which part of the model states its normalization, in words; None if the study gives it.
        output_names: names of all its outputs, in order, if known.
        config_names: names of all its outputs from `config.id2label`, if nothing else names them; they become
            `output_names` if they include each class of the dataset.
        output_count: number of outputs; None if the source does not know it.
        output_kinds: kinds of outputs that the weights state, by the output's key in several; None is the only output.
        output_format: how logits are taken from what the module returns.
        metadata: metadata of its checkpoint.
        checkpoint: file name of the weights, or their name on a hub; None for a user's function.
        checkpoint_note: which weights of the file were loaded, and the prefix stripped from their names; may be empty.
        definition: hash of the code of a user's model.
        notes: further assumptions that its source makes, text by topic.
        class_names: (C,) classes of the dataset.
        output_map: the outputs of these classes.
        model_id: hash of everything that its logits depend on, see `identified`.
        weights_id: hash of its tensors alone; empty for a function without tensors.
        is_partial: whether it predicts only some of the classes of the dataset; see `of_classes`.
        device: where it runs.
        precision: of the forward pass; statistics are always float32.
    """

    module: nn.Module | None
    spec: ModelSpec
    architecture: str
    preprocessing: Preprocessing = UNSTATED
    normalization_source: str | None = None
    output_names: tuple[str, ...] | None = None
    config_names: tuple[str, ...] | None = None
    output_count: int | None = None
    output_kinds: Mapping[str | None, OutputKind] = field(default_factory=dict)
    output_format: OutputFormat = OutputFormat()
    metadata: Mapping[str, str] = field(default_factory=dict)
    checkpoint: str | None = None
    checkpoint_note: str = ""
    definition: str | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    output_map: OutputMap = OutputMap()
    model_id: str = ""
    weights_id: str = ""
    is_partial: bool = False
    device: torch.device = torch.device("cpu")
    precision: Precision | Literal["as imported"] = "float32"

    @property
    def torch_module(self) -> nn.Module:
        """The module of a model that runs here."""
        assert self.module is not None
        return self.module

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
        """The model on a device; its module is moved there in place, in evaluation mode without gradients."""
        module = to_channels_last(self.torch_module, device).eval().requires_grad_(False)
        make_exact(device)
        fixed_precision = getattr(module, "fixed_precision", precision)
        return replace(self, module=module, device=device, precision=fixed_precision)

    def compile(self) -> None:
        """Compile the module in place, including its hooks."""
        from torch._dynamo import config as dynamo_config  # takes seconds to import
        from torch._functorch import config as functorch_config

        functorch_config.donated_buffer = False  # a CAM method may run one backward pass twice
        # otherwise code compiled for the first of several equal blocks is used for the one with a hook, too
        dynamo_config.skip_nnmodule_hook_guards = False
        self.torch_module.compile()

    def inputs(self, images: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Prepare uint8 images (N, H, W, 3) as the module's input (N, 3, h, w), floats on the device."""
        return self.preprocessing(images, self.device)

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits (N, C) float32 of `inputs`; the caller decides about gradients."""
        dtype = torch.float16 if self.precision == "float16" else torch.bfloat16
        with torch.autocast(self.device.type, dtype, enabled=self.precision != "float32"):
            outputs = self.all_logits(inputs)
        if len(outputs) != len(inputs):
            raise ModelError(f"it returns {len(outputs):,} rows of logits for {len(inputs):,} images")
        return self.mapped(outputs).float()

    def all_logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """The logits of all outputs, in the order of the module."""
        return self.output_format.logits(self.torch_module(inputs))

    def mapped(self, outputs: torch.Tensor) -> torch.Tensor:
        """The logits (N, C) that `output_map` takes from those of all outputs."""
        return outputs if self.logit_outputs is None else outputs[:, self.logit_outputs]

    @cached_property
    def logit_outputs(self) -> torch.Tensor | None:
        """Output of each logit, on the device; None for all outputs in order."""
        if self.output_map.is_identity:
            return None
        with torch.inference_mode(False):  # used with gradients later
            return torch.tensor(self.output_map.logits, device=self.device)

    @torch.inference_mode()
    def predict(self, images: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Logits (N, C) float32 of uint8 images (N, H, W, 3)."""
        return self.logits(self.inputs(images))

    def of_classes(self, names: Sequence[str], *, restricted: bool) -> "Model":
        """This model, on its device, for images of some of its classes.

        It shares the module and the identity.

        Args:
            names: some of its classes, in their order.
            restricted: whether only these may be predicted; otherwise all that this model may predict.
        """
        position = {name: index for index, name in enumerate(self.class_names)}
        output_map = self.output_map.restrict([position[name] for name in names], restricted=restricted)
        if output_map == self.output_map:
            return self
        return replace(self, class_names=tuple(names), output_map=output_map, is_partial=True)

    def identified(self) -> "Model":
        """The model with `model_id` and `weights_id`; tensors are hashed in float32."""
        tensors = tensor_hashes(self.torch_module)
        return replace(self, model_id=self._identity(tensors), weights_id=identity_of(tensors) if tensors else "")

    def _identity(self, tensors: Mapping[str, str]) -> str:
        """Hash of tensors, architecture and its options, preprocessing and output map."""
        spec = self.spec
        preprocessing = self.preprocessing
        normalization = preprocessing.normalization
        facts: dict[str, Any] = {
            "tensors": tensors,
            "architecture": self.architecture,
            "normalization": None if normalization is None else normalization.model_dump(mode="json"),
            "classes": self.class_names,
        }
        if spec.source == "builtin":
            facts |= {"width": spec.width, "stem": STEM}
        else:
            facts |= {"options": spec.options, "stem": spec.stem, "definition": self.definition}
        optional = {
            "input_side_px": preprocessing.input_side_px,
            "outputs": self.output_map.class_outputs,
            "recipe": _identifying_recipe(self.metadata),
            "preprocessing": preprocessing.identity,
            "class_protocol": "all" if self.output_map.protocol == "all" else None,
            "output_key": spec.output_key,
            "output_kind": "probabilities" if self.output_format.kind == "probabilities" else None,
        }
        return identity_of(facts | {key: value for key, value in optional.items() if value is not None})

    def row(self) -> dict[str, Any]:
        """The row of `models`."""
        return {
            "model_id": self.model_id,
            "weights_id": self.weights_id or None,
            "model_label": self.label,
            "architecture": self.architecture,
            "family": family_of(self.architecture, self.module),
            "variant": "; ".join(filter(None, [self._variant(), self.notes.get(PROMPTS)])) or None,
            "class_count": len(self.class_names),
            "output_count": None if self.output_map.protocol is None else self.output_map.count,
            "parameter_count": self._parameter_count(),
            **self.preprocessing.columns,
            "training_recipe": _shortened(self.metadata.get("recipe")),
            "training_seed": self.seed,
            "training_data": _shortened(self.metadata.get("dataset")),
            "stated_accuracy": _stated_accuracy(self.metadata),
            "checkpoint": self.checkpoint,
            "class_names": self._used_names(),
            "class_outputs": self.output_map.class_outputs,
            "class_protocol": self.output_map.protocol,
        }

    def assumptions(self, image_shape: tuple[int, ...] | None = None) -> dict[str, str]:
        """Assumptions about the model, its input (of images of this shape) and its outputs: text by topic."""
        if self.module is None:
            return {"model": f"predictions made elsewhere ({self.architecture})"}
        count = self._parameter_count()
        parts = [
            self.architecture,
            None if count is None else f"{count / 1e6:,.1f} M parameters" if count >= 1e5 else f"{count:,} parameters",
            self._variant() if self.output_map.is_identity else None,
            None if self.checkpoint is None else f"weights {self.checkpoint}{_parenthesized(self.checkpoint_note)}",
        ]
        source = self.normalization_source
        changing = "" if self.spec.deterministic else ", not deterministic, as accepted"
        return {
            "model": "; ".join(part for part in parts if part),
            "input": self.preprocessing.describe(image_shape) + _parenthesized(source and f"of {source}"),
            "outputs": f"{self.output_format.describe()}{changing}; {self._describe_classes()}",
            **self.notes,
        }

    def _parameter_count(self) -> int | None:
        """Number of parameters; None for a function and for imported predictions."""
        return None if self.module is None else sum(p.numel() for p in self.module.parameters()) or None

    def _used_names(self) -> list[str] | None:
        """(C,) names of the used outputs, in the dataset's order, if known."""
        names = self.output_names
        return None if names is None else [names[output] for output in self.output_map.classes]

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
        output_map = self.output_map
        return None if output_map.is_identity else f"{len(output_map.classes):,} of {output_map.count:,} outputs"

    def _describe_classes(self) -> str:
        outputs = self.output_map.classes
        in_order = self.output_map.is_identity
        if self.output_format.is_single:
            positive, negative = (self.class_names[outputs.index(output)] for output in (1, 0))
            kind = "logit" if self.output_format.kind == "logits" else "probability"
            why = "the second class" if in_order else "output 1 of its classes"
            return f"one output, the {kind} of {positive} ({why}) against {negative}"
        named = "" if None in (self.output_names, self.config_names) else ", names from its config"
        if in_order:
            classes = counted(len(self.class_names), "class", "classes")
            if self.output_names is not None or self.spec.training is not None:
                return classes + named
            if self.class_names == tuple(map(str, range(len(self.class_names)))):
                return f"{classes}, by number"
            first = ", ".join(f"{name} = {output}" for output, name in enumerate(self.class_names[:SHOWN]))
            more = ", …" if len(self.class_names) > SHOWN else ""
            why = "its outputs have no names" if self.config_names is None else "its config has other names"
            return f"{classes} in the dataset's order, because {why} ({first}{more})"
        triples = zip(self.class_names, outputs, self._used_names() or [""] * len(outputs), strict=True)
        pairs = [
            f"{name} = {output}{f' {output_name}' if output_name not in ('', name) else ''}"
            for name, output, output_name in triples
        ]
        more = ", …" if len(outputs) > SHOWN else ""
        protocols = {"all": ", predicting among all outputs", "subset": ", ignoring the others", None: ""}
        among = protocols[self.output_map.protocol]
        classes = counted(len(self.class_names), "class", "classes")
        return f"{classes} on {self._subset()}{among} ({', '.join(pairs[:SHOWN])}{more}){named}"


def _parenthesized(text: str | None) -> str:
    return f" ({text})" if text else ""


def to_channels_last(module: nn.Module, device: torch.device) -> nn.Module:
    """Move a module to a device in channels_last memory format, the layout of the images."""
    moved: nn.Module = module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


class ScriptedModule(nn.Module):
    """A wrapper of a TorchScript module, which takes no hooks itself."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, inputs: torch.Tensor) -> Any:
        """Call the inner module."""
        return self.inner(inputs)


def unwrapped(model_object: Any) -> Any:
    """The model inside a wrapper of torch.compile, DataParallel or torch.export."""
    if isinstance(model_object, torch.export.ExportedProgram):
        return model_object.module()
    if isinstance(model_object, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return unwrapped(model_object.module)
    original = getattr(model_object, "_orig_mod", None)
    return unwrapped(original) if isinstance(original, nn.Module) else model_object


def as_plain_module(module: nn.Module) -> nn.Module:
    """The module with its parts as they were before torch.compile, which would compile hooks on them, too.

    It is wrapped if it is TorchScript, which takes no hooks and cannot switch gradients off.
    """
    for part in list(module.modules()):
        for name, child in part.named_children():
            if unwrapped(child) is not child:
                setattr(part, name, unwrapped(child))
    return ScriptedModule(module) if isinstance(module, torch.jit.ScriptModule) else module


def family_of(architecture: str, module: nn.Module | None) -> str:
    """Family of an architecture from its name; otherwise its class name in lower case."""
    if module is None:
        return IMPORTED_FAMILY
    words = re.split(r"[:/]", architecture)[-1].lower().replace("_", " ").replace(".", " ")
    family = next((family for family in FAMILIES if re.search(family, words)), type(module).__name__.lower())
    return family.removeprefix(r"\b")


def stated_seed(metadata: Mapping[str, str]) -> int | None:
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
    """A text of a checkpoint's metadata, cut to MAX_STATED_LETTERS."""
    return text if text is None or len(text) <= MAX_STATED_LETTERS else f"{text[:MAX_STATED_LETTERS]}…"


def _stated_accuracy(metadata: Mapping[str, str]) -> float | None:
    """The clean accuracy under `clean_accuracy`, or under a key that starts with it."""
    for name in sorted(metadata):
        if name.startswith("clean_accuracy"):
            with suppress(ValueError):
                stated = float(metadata[name])
                return stated if 0 <= stated <= 1 else None
    return None


def _identifying_recipe(metadata: Mapping[str, str]) -> dict[str, Any] | None:
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
