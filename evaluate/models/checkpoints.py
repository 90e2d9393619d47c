"""Checkpoints: loading weights that fit, refusing those that do not."""

from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from failmodes.evaluate.models.build import accepts_class_count, build_module
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.model_config import (
    assemble_model,
    config_from_metadata,
    config_from_module,
    config_from_study,
)
from failmodes.evaluate.models.registry import resolve_architecture
from failmodes.evaluate.models.state_dicts import (
    Tensors,
    UnprefixedTensors,
    check_compatible,
    head_size,
    read_tensors,
    strip_prefix,
)
from failmodes.evaluate.study.study_schema import ModelSpec
from failmodes.warehouse.errors import ModelError
from failmodes.warehouse.storage.files import atomic_write


def load_checkpoint(path: Path, spec: ModelSpec, class_names: tuple[str, ...]) -> Model:
    """Load weights into the architecture that the study names.

    Args:
        path: `.safetensors`, or a `.pt`/`.pth` that holds nothing but tensors, in its usual containers.
        spec: the model as the study describes it.
        class_names: classes of the data set; each must be one of the network's outputs.

    Raises:
        ModelError: not a checkpoint, another architecture, other classes, or no normalisation known.
    """
    tensors, metadata = read_tensors(path)
    _check_architecture(path, spec, metadata)
    study = config_from_study(spec)
    stated = study.filled_from(config_from_metadata(metadata, path.name, study))
    module, renamed, outputs = _build_for(tensors, spec, len(stated.class_names or class_names))
    if spec.import_path is not None:
        stated = stated.filled_from(config_from_module(module, spec.architecture))
    check_compatible(renamed.tensors, module, path.name, _wanted(spec))
    module.load_state_dict(renamed.tensors, strict=False)  # all that may be missing are counts of training batches
    return assemble_model(
        spec, class_names, module, stated, path.name,
        output_count=outputs, seed=seed_of(metadata), metadata=metadata, path=path, prefix=renamed.prefix,
    )  # fmt: skip


def save_checkpoint(path: Path, module: nn.Module, metadata: dict[str, str]) -> None:
    """Publish a module's weights as safetensors with its metadata."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def _build_for(tensors: Tensors, spec: ModelSpec, count: int) -> tuple[nn.Module, UnprefixedTensors, int | None]:
    """A module with as many outputs as the tensors have, the tensors under its names, and how many outputs.

    Args:
        tensors: as they were read.
        spec: the model as the study describes it.
        count: how many outputs are to be expected; tensors with another number of them are told by their head.
    """
    module = build_module(spec, count)
    renamed = strip_prefix(tensors, module)
    if not accepts_class_count(spec):
        return module, renamed, None
    found = head_size(renamed.tensors, module, count)
    return (module if found == count else build_module(spec, found)), renamed, found


def _check_architecture(path: Path, spec: ModelSpec, metadata: dict[str, str]) -> None:
    """Refuse a file that says it is another network; words that name none we know are no statement."""
    stated = metadata.get("architecture", spec.architecture)
    if stated == spec.architecture or (spec.import_path is not None and ":" not in stated):
        return
    try:
        differs = resolve_architecture(stated).canonical != resolve_architecture(spec.architecture).canonical
    except ModelError:
        differs = spec.is_ours
    if differs:
        raise ModelError(
            f"{path.name} holds a {stated}, but the study calls {spec.label!r} a {spec.architecture}: "
            "set the architecture that the checkpoint was trained as"
        )


def _wanted(spec: ModelSpec) -> str:
    if spec.is_ours:
        return f"{spec.architecture} of width {spec.width} with the CIFAR stem"
    stem = " with the CIFAR stem" if spec.stem is not None else ""
    options = f" with options {spec.options}" if spec.options else ""
    return f"{spec.architecture}{stem}{options}"


def seed_of(metadata: dict[str, str]) -> int | None:
    """The training seed: under `seed`, or the last words of a recipe in words."""
    seed = metadata.get("seed") or _trailing_seed(metadata.get("recipe", ""))
    return int(seed) if seed is not None and seed.isdecimal() else None


def _trailing_seed(recipe: str) -> str | None:
    words = recipe.replace(",", " ").split()
    return words[-1] if len(words) > 1 and words[-2] == "seed" and words[-1].isdecimal() else None
