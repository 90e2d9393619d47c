"""Checkpoints: loading weights that fit, refusing those that do not, and the identity of a model."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from evaluate.models.architectures import ARCHITECTURES, STEM, variant_of
from evaluate.models.network import Network, prepare
from evaluate.specification import ModelSpec, Normalisation, Precision
from warehouse.errors import ModelError
from warehouse.identity import fingerprint_of, identity_of
from warehouse.publish import publish


@dataclass(frozen=True, eq=False)
class Model:
    """A module with its weights and what its file says of it."""

    module: nn.Module
    spec: ModelSpec
    seed: int | None
    normalisation: Normalisation
    class_names: tuple[str, ...]
    metadata: dict[str, str]
    path: Path

    @property
    def label(self) -> str:
        """The name on charts; a seed is named where the study trains several."""
        return self.spec.label if len(self.spec.seeds) == 1 else f"{self.spec.label}, seed {self.seed}"

    def model_id(self) -> str:
        """Hash of tensors (in float32), architecture, width, preprocessing and class map."""
        tensors = {
            name: fingerprint_of([tensor.detach().float().reshape(-1).numpy()])
            for name, tensor in sorted(self.module.state_dict().items())
        }
        facts: dict[str, Any] = {
            "tensors": tensors,
            "architecture": self.spec.architecture,
            "width": self.spec.width,
            "stem": STEM,
            "normalisation": self.normalisation.model_dump(mode="json"),
            "classes": self.class_names,
        }
        if self.spec.input_side_px is not None:
            facts["input_side_px"] = self.spec.input_side_px
        return identity_of(facts)

    def network(self, device: torch.device, precision: Precision) -> Network:
        """The model ready to run."""
        return prepare(
            self.module, self.spec.architecture, self.normalisation, device, precision,
            label=self.label, input_side_px=self.spec.input_side_px,
        )  # fmt: skip

    def row(self) -> dict[str, Any]:
        """The row of `models`."""
        return {
            "model_id": self.model_id(),
            "model_label": self.label,
            "architecture": self.spec.architecture,
            "family": ARCHITECTURES[self.spec.architecture].family,
            "variant": variant_of(self.spec.width),
            "class_count": len(self.class_names),
            "parameter_count": sum(p.numel() for p in self.module.parameters()),
            "input_mean": list(self.normalisation.mean),
            "input_std": list(self.normalisation.std),
            "input_side_px": self.spec.input_side_px,
            "training_recipe": self.metadata.get("recipe"),
            "training_seed": self.seed,
            "training_data": self.metadata.get("dataset"),
            "stated_accuracy": _stated_accuracy(self.metadata),
            "checkpoint": self.path.name,
        }


def load_checkpoint(path: Path, spec: ModelSpec, class_names: tuple[str, ...]) -> Model:
    """Load weights into the architecture that the study names.

    Args:
        path: `.safetensors`, or a `.pt`/`.pth` that holds nothing but tensors.
        spec: the model as the study describes it.
        class_names: classes of the data set; the network must have as many outputs.

    Raises:
        ModelError: not a checkpoint, another architecture, another number of classes, or no normalisation known.
    """
    tensors, metadata = _read(path)
    stated = metadata.get("architecture", spec.architecture)
    if stated != spec.architecture:
        raise ModelError(
            f"{path.name} holds a {stated}, but the study calls {spec.label!r} a {spec.architecture}: "
            "set the architecture that the checkpoint was trained as"
        )
    _check_classes(path, tensors, spec, class_names)
    module = ARCHITECTURES[spec.architecture].build(len(class_names), spec.width)
    _check_fit(path, tensors, module.state_dict(), spec)
    module.load_state_dict(tensors)
    seed = metadata.get("seed") or _trailing_seed(metadata.get("recipe", ""))
    return Model(
        module=module.float().eval(),
        spec=spec,
        seed=int(seed) if seed is not None else None,
        normalisation=_normalisation(path, spec, metadata),
        class_names=class_names,
        metadata=metadata,
        path=path,
    )


def save_checkpoint(path: Path, module: nn.Module, metadata: dict[str, str]) -> None:
    """Publish a module's weights as safetensors with its metadata."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    with publish(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ModelError(f"no checkpoint at {path}") from error
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError) as error:
        raise ModelError(f"{path.name} is not a readable checkpoint: {str(error).splitlines()[0]}") from error
    except Exception as error:  # torch raises pickle's own errors for anything that is not tensors
        raise ModelError(
            f"{path.name} holds more than tensors, which could run code when loaded: save the state_dict alone, "
            "best as .safetensors"
        ) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(v, torch.Tensor) for v in content.values()):
        raise ModelError(f"{path.name} is not a state_dict (names and tensors): save `model.state_dict()`")
    return content, {}


def _check_classes(path: Path, tensors: dict[str, torch.Tensor], spec: ModelSpec, class_names: tuple[str, ...]) -> None:
    head = tensors.get(f"{ARCHITECTURES[spec.architecture].head}.weight")
    if head is not None and head.shape[0] != len(class_names):
        raise ModelError(
            f"{path.name} has {head.shape[0]} outputs, but the data set has {len(class_names)} classes: "
            "use a checkpoint that was trained on these classes"
        )


def _check_fit(
    path: Path, tensors: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], spec: ModelSpec
) -> None:
    missing = sorted(expected.keys() - tensors.keys())
    foreign = sorted(tensors.keys() - expected.keys())
    misshapen = sorted(n for n in expected.keys() & tensors.keys() if expected[n].shape != tensors[n].shape)
    if misshapen:
        name = misshapen[0]
        problem = f"{name} is {tuple(tensors[name].shape)} instead of {tuple(expected[name].shape)}"
    elif missing or foreign:
        problem = f"it lacks {missing[0]}" if missing else f"it has a foreign {foreign[0]}"
    else:
        return
    raise ModelError(
        f"{path.name} does not fit {spec.architecture} of width {spec.width} with the CIFAR stem: {problem}"
    )


def _normalisation(path: Path, spec: ModelSpec, metadata: dict[str, str]) -> Normalisation:
    if spec.normalisation is not None:
        return spec.normalisation
    if "normalisation" not in metadata:
        raise ModelError(
            f"{path.name} does not say how its inputs were normalised: give model {spec.label!r} the mean and std it "
            "was trained with, of values / 255: `normalisation = { mean = […], std = […] }`"
        )
    try:
        return Normalisation.model_validate(json.loads(metadata["normalisation"]))
    except ValueError as error:
        raise ModelError(f"{path.name} states a normalisation that is none: {metadata['normalisation']!r}") from error


def _stated_accuracy(metadata: dict[str, str]) -> float | None:
    """The clean accuracy under `clean_accuracy`, or such a key with the images it was measured on behind it."""
    for name in sorted(metadata):
        if name.startswith("clean_accuracy"):
            with suppress(ValueError):
                return float(metadata[name])
    return None


def _trailing_seed(recipe: str) -> str | None:
    words = recipe.replace(",", " ").split()
    return words[-1] if len(words) > 1 and words[-2] == "seed" and words[-1].isdigit() else None
