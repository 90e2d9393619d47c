"""Checkpoints: loading weights that fit, refusing those that do not."""

from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from evaluate.models.assembly import assemble
from evaluate.models.building import build_module, takes_class_count
from evaluate.models.model import Model
from evaluate.models.naming import resolve
from evaluate.models.recipes import seed_of
from evaluate.models.state_dicts import Renamed, Tensors, check_fit, head_outputs, read_tensors, rename
from evaluate.models.stated import stated_by_module, stated_in_metadata, stated_in_study
from evaluate.specification import ModelSpec
from warehouse.errors import ModelError
from warehouse.publish import publish


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
    study = stated_in_study(spec)
    stated = study.filled_from(stated_in_metadata(metadata, path.name, study))
    module, renamed, outputs = _build_for(tensors, spec, len(stated.class_names or class_names))
    if spec.import_path is not None:
        stated = stated.filled_from(stated_by_module(module, spec.architecture))
    check_fit(renamed.tensors, module, path.name, _wanted(spec))
    module.load_state_dict(renamed.tensors, strict=False)  # all that may be missing are counts of training batches
    return assemble(
        spec, class_names, module, stated, path.name,
        output_count=outputs, seed=seed_of(metadata), metadata=metadata, path=path, prefix=renamed.prefix,
    )  # fmt: skip


def save_checkpoint(path: Path, module: nn.Module, metadata: dict[str, str]) -> None:
    """Publish a module's weights as safetensors with its metadata."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    with publish(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def _build_for(tensors: Tensors, spec: ModelSpec, count: int) -> tuple[nn.Module, Renamed, int | None]:
    """A module with as many outputs as the tensors have, the tensors under its names, and how many outputs.

    Args:
        tensors: as they were read.
        spec: the model as the study describes it.
        count: how many outputs are to be expected; tensors with another number of them are told by their head.
    """
    module = build_module(spec, count)
    renamed = rename(tensors, module)
    if not takes_class_count(spec):
        return module, renamed, None
    found = head_outputs(renamed.tensors, module, count)
    return (module if found == count else build_module(spec, found)), renamed, found


def _check_architecture(path: Path, spec: ModelSpec, metadata: dict[str, str]) -> None:
    """Refuse a file that says it is another network; words that name none we know are no statement."""
    stated = metadata.get("architecture", spec.architecture)
    if stated == spec.architecture or (spec.import_path is not None and ":" not in stated):
        return
    try:
        differs = resolve(stated).canonical != resolve(spec.architecture).canonical
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
