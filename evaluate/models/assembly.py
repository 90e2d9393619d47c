"""Putting a model together: a module, what is stated of it, and how its outputs meet the data set's classes."""

from pathlib import Path

from torch import nn

from evaluate.models.classes import Outputs, map_classes
from evaluate.models.model import Model
from evaluate.models.stated import Stated
from evaluate.specification import ModelSpec
from warehouse.errors import ModelError


def assemble(
    spec: ModelSpec,
    class_names: tuple[str, ...],
    module: nn.Module,
    stated: Stated,
    what: str,
    *,
    output_count: int | None,
    seed: int | None = None,
    metadata: dict[str, str] | None = None,
    path: Path | None = None,
    prefix: str = "",
    origin: str | None = None,
) -> Model:
    """Put a model together.

    Args:
        spec: the model as the study describes it.
        class_names: classes of the data set.
        module: the network; it is put in float32 and evaluation mode.
        stated: what the study, its file, its weights and its code say of it, together.
        what: its file or architecture, for errors.
        output_count: how many outputs it has; None where only a forward pass tells.
        seed: training seed.
        metadata: what its file says.
        path: the file of its weights.
        prefix: what was stripped from its tensors' names.
        origin: published weights' file or hub name.

    Raises:
        ModelError: no normalisation is known, or outputs and classes do not meet.
    """
    outputs = map_classes(Outputs(what, output_count, stated.class_names), class_names, spec.class_map)
    if stated.normalisation is None:
        raise ModelError(
            f"{what} does not say how its inputs were normalised: give model {spec.label!r} the mean and std it "
            "was trained with, of values / 255: `normalisation = { mean = […], std = […] }`"
        )
    return Model(
        module=module.float().eval(),
        spec=spec,
        seed=seed,
        normalisation=stated.normalisation,
        class_names=class_names,
        metadata=metadata or {},
        path=path,
        outputs=outputs,
        input_side_px=stated.input_side_px,
        output_names=stated.class_names,
        output_count=output_count,
        prefix=prefix,
        origin=origin,
    )
