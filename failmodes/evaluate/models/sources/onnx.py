"""ONNX graphs, run by ONNX Runtime (the extra `onnx`): `architecture = "onnx:FILE.onnx"`.

Input layout, dtype, size and batch size come from the graph. The file is untrusted: parsing and running it runs no code
of its author, and external data outside its folder is refused.
"""

import importlib
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate

from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.preprocessing import Preprocessing
from failmodes.evaluate.models.sources import program_path
from failmodes.evaluate.study.study_schema import ModelSpec, OutputKind, Precision
from failmodes.runtime.errors import ModelError, StudyError, first_line, shown
from failmodes.runtime.hashing import file_digest, identity_of
from failmodes.runtime.packages import require
from failmodes.runtime.storage.files import check_regular

DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
OF_PROBABILITIES = {"Softmax", "Sigmoid"}  # last nodes of outputs that are probabilities
PASSING = {"Identity", "Cast", "Flatten", "Reshape", "Squeeze"}  # nodes that keep the values
QUIET = 4  # log nothing: errors are raised, and others are about optimization
TRIAL_SIDE = 64  # pixels of images that tell the layout of a graph without stated sizes
GPU, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class GraphInput(NamedTuple):
    """The image input of a graph.

    Attributes:
        name: its name.
        channels_last: whether images are (N, H, W, 3) instead of (N, 3, H, W).
        dtype: float32, float16, or uint8 for pixels without preparation.
        batch: fixed batch size; None for any.
        height: in pixels; None for any.
        width: in pixels; None for any.
    """

    name: str
    channels_last: bool
    dtype: Any
    batch: int | None
    height: int | None
    width: int | None

    def describe(self) -> str:
        """A short description, for the assumptions of a model."""
        layout = "NHWC" if self.channels_last else "NCHW"
        batch = "" if self.batch is None else f", batches of {self.batch}, the last one padded"
        return f"ONNX Runtime, {layout} {np.dtype(self.dtype).name}{batch}"


class OnnxModule(nn.Module):
    """An ONNX graph as a module: images (N, 3, H, W) in, its outputs by name out, or its only output.

    It runs on CUDA if the images are on CUDA and ONNX Runtime has its CUDA provider, otherwise on the CPU.

    Attributes:
        fixed_precision: that of the graph, which no setting of a study changes.
    """

    no_attention = "ONNX Runtime computes no gradients"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.sessions: dict[str, Any] = {}
        self.input = image_input(self.session("cpu"), path.name)
        self.fixed_precision: Precision = "float16" if self.input.dtype == np.float16 else "float32"

    def session(self, device: str) -> Any:
        """The session of a device, created when first needed.

        Raises:
            ModelError: ONNX Runtime cannot load the graph.
        """
        runtime = importlib.import_module("onnxruntime")
        provider = GPU if device == "cuda" and GPU in runtime.get_available_providers() else CPU
        if provider not in self.sessions:
            options = runtime.SessionOptions()
            options.log_severity_level = QUIET
            options.intra_op_num_threads = torch.get_num_threads()
            try:
                with redirect_stdout(StringIO()):  # it prints that it tries again
                    self.sessions[provider] = runtime.InferenceSession(
                        self.path, options, providers=list(dict.fromkeys([provider, CPU]))
                    )
            except Exception as error:  # many errors of ONNX Runtime
                reason = first_line(error).rpartition("[ONNXRuntimeError] : ")[2]  # without its code
                raise ModelError(f"{self.path.name} cannot be loaded by ONNX Runtime: {reason}") from error
        return self.sessions[provider]

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, images: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
        """Run images (N, 3, H, W), prepared or uint8; outputs are float32 on their device."""
        image = self.input
        session = self.session(images.device.type)
        values = images.detach().cpu().numpy()
        values = np.ascontiguousarray(values.transpose(0, 2, 3, 1) if image.channels_last else values, image.dtype)
        names = [output.name for output in session.get_outputs()]
        batches = [session.run(names, {image.name: batch}) for batch in _batches(values, image.batch)]
        outputs = {
            name: torch.from_numpy(np.concatenate(parts)[: len(values)]).to(images.device, torch.float32)
            for name, parts in zip(names, zip(*batches, strict=True), strict=True)
            if all(isinstance(part, np.ndarray) and part.ndim for part in parts)
        }
        return outputs[names[0]] if len(names) == len(outputs) == 1 else outputs


def load(spec: ModelSpec, name: str, class_names: tuple[str, ...]) -> Model:
    """Load a graph with its weights.

    Raises:
        StudyError: there is no such file, or the study prepares pixels that the graph takes as they are.
        ModelError: it is no valid graph, its input is no batch of RGB images, or external data is missing or outside
            its folder.
        MissingExtraError: onnx or ONNX Runtime is not installed.
    """
    require("onnx", f"model {spec.label!r}")
    path = program_path(spec, name, ".onnx")
    graph = read_graph(path)
    files = {location: file_digest(file).hex() for location, file in external_files(graph, path).items()}
    module = OnnxModule(path)
    return Model(
        module=module, spec=spec, architecture=f"onnx:{path.name}", preprocessing=_preprocessing(module.input, spec),
        checkpoint=path.name, checkpoint_note=module.input.describe(), output_kinds=output_kinds(graph),
        definition=identity_of({"graph": file_digest(path).hex(), "external": files}),
    )  # fmt: skip


def read_graph(path: Path) -> Any:
    """The onnx.ModelProto of a file, without external data.

    Raises:
        ModelError: it is no ONNX graph.
    """
    try:
        graph = importlib.import_module("onnx").load_model(path, load_external_data=False)
    except Exception as error:  # protobuf's errors
        raise ModelError(f"{path.name} is not a readable ONNX graph: {first_line(error)}; export it again") from error
    if not graph.graph.input or not graph.graph.output:
        raise ModelError(f"{path.name} is not an ONNX graph with inputs and outputs: export it again")
    return graph


def external_files(graph: Any, path: Path) -> dict[str, Path]:
    """The files of external data of a graph, by their location in it.

    Raises:
        ModelError: one is missing, or its location is outside the folder of the graph, also through a link.
        StorageError: one is not a regular file.
    """
    folder = path.resolve().parent
    files = {}
    for tensor in _tensors(graph):
        for entry in tensor.external_data:
            if entry.key != "location" or entry.value in files:
                continue
            file = (folder / entry.value).resolve()
            if "\0" in entry.value or folder not in file.parents:
                raise ModelError(
                    f"{path.name} reads external data outside its folder, {shown(entry.value)}: export it again, with "
                    "its data beside it"
                )
            try:
                check_regular(file)
            except FileNotFoundError as error:
                raise ModelError(f"{path.name}: external data {shown(entry.value)} is missing beside it") from error
            files[entry.value] = file
    return files


def output_kinds(graph: Any) -> dict[str | None, OutputKind]:
    """Which outputs of a graph end in a softmax or sigmoid, by name; None also names a single output."""
    makers = {name: node for node in graph.graph.node for name in node.output}
    kinds: dict[str | None, OutputKind] = {}
    for output in graph.graph.output:
        name = output.name
        for _ in range(len(makers)):  # a malicious graph may be a cycle
            node = makers.get(name)
            if node is None or node.op_type not in PASSING or not node.input:
                break
            name = node.input[0]
        node = makers.get(name)
        if node is not None and node.op_type in OF_PROBABILITIES:
            kinds[output.name] = "probabilities"
    if len(graph.graph.output) == 1 and kinds:
        kinds[None] = kinds[graph.graph.output[0].name]
    return kinds


def image_input(session: Any, file: str) -> GraphInput:
    """The input of a session.

    Raises:
        ModelError: it has several inputs, or one that is no batch of RGB images of a supported dtype.
    """
    inputs = session.get_inputs()
    listing = ", ".join(f"{tensor.name} {tensor.shape} {tensor.type}" for tensor in inputs)
    if len(inputs) != 1:
        raise ModelError(f"{file} has {len(inputs)} inputs ({listing}): expected one, a batch of images")
    image = inputs[0]
    sizes = [size if isinstance(size, int) and size > 0 else None for size in image.shape or []]
    if len(sizes) != 4 or image.type not in DTYPES:
        raise ModelError(f"{file} takes {listing}: expected images (N, 3, H, W) or (N, H, W, 3) of {', '.join(DTYPES)}")
    batch, *rest = sizes
    if rest[0] is None and rest[2] is None:
        channels_last = _runs_only_channels_last(session, image, batch, rest[1])
    elif rest[0] in (3, None) and (rest[0] == 3 or rest[2] != 3):
        channels_last = False
    elif rest[2] == 3:
        channels_last = True
    else:
        raise ModelError(f"{file} takes {listing}: expected three channels (RGB), second or last")
    height, width = rest[:2] if channels_last else rest[1:]
    return GraphInput(image.name, channels_last, DTYPES[image.type], batch, height, width)


def _runs_only_channels_last(session: Any, image: Any, batch: int | None, middle: int | None) -> bool:
    """Whether a graph that states no number of channels runs on black images (N, H, W, 3), and not on (N, 3, H, W)."""

    def runs(*shape: int) -> bool:
        try:
            session.run(None, {image.name: np.zeros((batch or 1, *shape), DTYPES[image.type])})
        except Exception:  # many errors of ONNX Runtime
            return False
        return True

    side = middle or TRIAL_SIDE
    return not runs(3, side, TRIAL_SIDE) and runs(TRIAL_SIDE, side, 3)


def _preprocessing(image: GraphInput, spec: ModelSpec) -> Preprocessing:
    """The input size of a graph, and pixels as they are if it takes uint8."""
    side = image.height if image.height == image.width else None
    if image.dtype != np.uint8:
        return Preprocessing(None, side)
    if spec.normalization is not None:
        raise StudyError(
            f"model {spec.label!r}: {spec.architecture} takes uint8 pixels and normalizes them itself: remove "
            "`normalization`"
        )
    side = spec.input_side_px
    resized = "" if side is None else f"resized to {side} px, "
    return Preprocessing(
        None,
        input_side_px=side,
        function=lambda images: _resized(images, side),
        identity=identity_of({"uint8": side}),
        name="uint8 pixels" + ("" if side is None else f" resized to {side} px"),
        description=f"{resized}uint8 pixels, prepared inside the graph",
    )


def _resized(images: torch.Tensor, side: int | None) -> torch.Tensor:
    """Images uint8 (N, 3, H, W) as squares (bilinear, anti-aliased)."""
    if side is None or images.shape[2:] == (side, side):
        return images
    values = interpolate(images.float(), (side, side), mode="bilinear", antialias=True)
    return values.round().clamp(0, 255).to(torch.uint8)


def _batches(values: np.ndarray, size: int | None) -> Iterator[np.ndarray]:
    """Batches of a fixed size, the last one padded with its last image; all values without a fixed size."""
    if size is None:
        yield values
        return
    for start in range(0, len(values), size):
        batch = values[start : start + size]
        yield np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), 0)]) if len(batch) < size else batch


def _tensors(graph: Any) -> Iterator[Any]:
    """All tensors of a graph: weights and constants, also those of subgraphs, functions and sparse tensors."""
    pending = [graph]
    while pending:
        message = pending.pop()
        if type(message).__name__ == "TensorProto":
            yield message
            continue
        for _, value in message.ListFields():
            parts = value if isinstance(value, Sequence) else [value]
            pending.extend(part for part in parts if hasattr(part, "ListFields"))
