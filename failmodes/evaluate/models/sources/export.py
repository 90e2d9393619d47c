"""Programs of torch.export: `architecture = "export:FILE.pt2"`. The file is trusted: loading it may run its code.

`torch.export.load` unpickles custom objects and evaluates expressions of symbolic sizes; PyTorch's documentation says
"Never load data from an untrusted source".
"""

from pathlib import Path

import torch
from torch import nn

from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.preprocessing import Preprocessing
from failmodes.evaluate.models.sources import program_path
from failmodes.evaluate.study.study_schema import ModelSpec
from failmodes.runtime.errors import ModelError, first_line
from failmodes.runtime.hashing import file_digest, identity_of


class ExportedModule(nn.Module):
    """An exported program as a module. Its weights keep their dtype, and images are cast to that of its input."""

    no_attention = "it is an exported program, which has no layers"

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        super().__init__()
        self.program = program
        self.by_device: dict[torch.device, list[nn.Module]] = {}  # in lists: not submodules, whose mode is fixed
        self.example = _image_input(program)

    def forward(self, images: torch.Tensor) -> object:
        """Call the program, moved to the device of the images when first needed there."""
        device = images.device
        if device not in self.by_device:
            from torch.export.passes import move_to_device_pass

            self.by_device[device] = [move_to_device_pass(self.program, device).module()]
        return self.by_device[device][0](images.to(self.example.dtype))


def load(spec: ModelSpec, name: str, class_names: tuple[str, ...]) -> Model:
    """Load a program with its weights.

    Raises:
        StudyError: there is no such file.
        ModelError: it is no exported program, or its input is no batch of images.
    """
    path = program_path(spec, name, ".pt2")
    module = ExportedModule(_program(path))
    return Model(
        module=module, spec=spec, architecture=f"export:{path.name}",
        preprocessing=Preprocessing(None, _side(module.example)), checkpoint=path.name,
        checkpoint_note=f"torch.export, {str(module.example.dtype).removeprefix('torch.')}",
        definition=identity_of({"program": file_digest(path).hex()}),
    )  # fmt: skip


def _program(path: Path) -> torch.export.ExportedProgram:
    """The program of a file.

    Raises:
        ModelError: it cannot be loaded.
    """
    try:
        return torch.export.load(path)
    except Exception as error:  # many errors of archives and of deserialization
        raise ModelError(
            f"{path.name} cannot be loaded as an exported program ({first_line(error)}): write it with "
            "torch.export.save and this version of PyTorch"
        ) from error


def _image_input(program: torch.export.ExportedProgram) -> torch.Tensor:
    """The example of the input of a program, a tensor without values.

    Raises:
        ModelError: it has several inputs, or one that is no batch of RGB images.
    """
    examples = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    inputs = [examples.get(name) for name in program.graph_signature.user_inputs if isinstance(name, str)]
    listing = ", ".join(
        str(tuple(example.shape)) if isinstance(example, torch.Tensor) else type(example).__name__ for example in inputs
    )
    first = inputs[0] if len(inputs) == 1 else None
    if not isinstance(first, torch.Tensor) or first.ndim != 4 or not first.is_floating_point():
        raise ModelError(
            f"the exported program takes {listing or 'nothing'}: expected one batch of images (N, 3, H, W)"
        )
    return first


def _side(example: torch.Tensor) -> int | None:
    """The side of square images if a program takes no other size."""
    height, width = example.shape[2:]
    return height if isinstance(height, int) and height == width else None
