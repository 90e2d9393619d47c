"""Checkpoints that anyone may have made: how each is written, and what must be said of it."""

import copy
import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from failmodes.evaluate.models.checkpoints import save_checkpoint
from failmodes.evaluate.models.sources.builtin import ARCHITECTURES

NEUTRAL = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
State = dict[str, Any]
Maker = Callable[[Path, State], object]  # writes a checkpoint, given the tensors of a sound one


def saved(change: Callable[[State], Any]) -> Maker:
    return lambda path, state: torch.save(change(dict(state)), path)


def cast(kind: str) -> Maker:
    return saved(lambda state: {name: tensor.to(getattr(torch, kind)) for name, tensor in state.items()})


def first(change: Callable[[Any], Any]) -> Maker:
    return saved(lambda state: state | {"conv1.weight": change(state["conv1.weight"])})


def written(content: bytes) -> Maker:
    return lambda path, _state: path.write_bytes(content)


def cut(share: float) -> Maker:
    def make(path: Path, state: State) -> None:
        torch.save(state, path)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return make


class _Storages(pickle.Pickler):
    """A pickle as torch.save writes it, of storages that are as long as it says."""

    def __init__(self, buffer: io.BytesIO, length: int) -> None:
        super().__init__(buffer, 2)
        self.length = length

    def persistent_id(self, thing: Any) -> Any:
        return ("storage", torch.FloatStorage, "0", "cpu", self.length) if thing == "the storage" else None


def archive(path: Path, length: int, numbers: int, shape: tuple[int, ...], compression: int) -> None:
    """A file of torch.save with one tensor, whose storage claims `length` numbers, has `numbers`, and may be packed."""

    class Rebuilt:
        def __reduce__(self) -> Any:
            stride = tuple(0 for _ in shape)
            return torch._utils._rebuild_tensor_v2, ("the storage", 0, shape, stride, False, {})

    buffer = io.BytesIO()
    _Storages(buffer, length).dump({"conv1.weight": Rebuilt()})
    with zipfile.ZipFile(path, "w", compression, compresslevel=1) as made:
        made.writestr("archive/data.pkl", buffer.getvalue())
        made.writestr("archive/byteorder", "little")
        with made.open("archive/data/0", "w", force_zip64=True) as entry:
            for _ in range(max(1, numbers // (1 << 20))):
                entry.write(bytes(4 * min(numbers, 1 << 20)))
        made.writestr("archive/version", "3\n")


def overlapping(path: Path, state: State) -> None:
    """An archive whose directory names the same bytes a hundred times."""
    torch.save(state, path)
    with zipfile.ZipFile(path, "a") as made:
        largest = max(made.infolist(), key=lambda entry: entry.file_size)
        for number in range(100):
            entry = copy.copy(largest)
            entry.filename = f"archive/data/{1000 + number}"
            made.filelist.append(entry)
        made._didModify = True


def looped(_: State) -> Any:
    inside: dict[str, Any] = {}
    inside["state_dict"] = inside
    return inside


class _Code:
    def __reduce__(self) -> Any:
        return open, ("ran", "w")


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> Maker:
    """A safetensors file with this header, which may say another length of itself."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return written(struct.pack("<Q", len(text) if length is None else length) + text + data)


def entry(dtype: str = "F32", shape: list[int] | None = None, offsets: list[int] | None = None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [1] if shape is None else shape, "data_offsets": offsets or [0, 4]}


def stating(**metadata: str) -> Maker:
    """A sound checkpoint that states odd things of itself."""

    def make(path: Path, state: State) -> None:
        module = ARCHITECTURES["resnet18"](10, 8)
        module.load_state_dict(state)
        save_checkpoint(path, module, {"normalization": json.dumps(NEUTRAL)} | metadata)

    return make


UNREADABLE = "is not a readable checkpoint"
MORE = "holds more than tensors"
UNFIT = "does not fit resnet18"

PT: dict[str, tuple[Maker, str]] = {
    "empty": (written(b""), "it is empty"),
    "a text": (written(b"hello\n" * 100), "does not begin as what torch.save writes"),
    "half": (cut(0.5), UNREADABLE),
    "all but its end": (cut(0.99), UNREADABLE),
    "magic letters": (written(b"PK\x03\x04"), UNREADABLE),
    "a pickle cut short": (written(b"\x80\x02}q\x00(X\x06"), UNREADABLE),
    "a pickle of a number": (written(pickle.dumps(3)), UNREADABLE),
    "code in an archive": (saved(lambda _: {"a": _Code()}), MORE),
    "code in a pickle": (written(pickle.dumps({"a": _Code()})), MORE),
    "a bomb of 500 MB": (
        lambda path, _state: archive(path, 1 << 27, 1 << 27, (8, 3, 3, 3), zipfile.ZIP_DEFLATED), "compressed archive",
    ),
    "a bomb among many": (overlapping, "a compressed archive"),
    "a storage longer than the file": (
        lambda path, _state: archive(path, 1 << 40, 4, (8, 3, 3, 3), zipfile.ZIP_STORED), "",
    ),
    "a negative storage": (lambda path, _state: archive(path, -8, 4, (8, 3, 3, 3), zipfile.ZIP_STORED), ""),
    "a tensor of 10^12 numbers": (
        lambda path, _state: archive(path, 4, 4, (10**6, 10**6), zipfile.ZIP_STORED), UNFIT,
    ),
    "a head of 10^9 outputs": (
        saved(lambda state: state | {"fc.weight": torch.zeros(1, 64).expand(10**9, 64)}), UNFIT,
    ),
    "numbers": (saved(lambda _: [1, 2]), "is not a state_dict"),
    "a container in itself": (saved(looped), "is not a state_dict"),
    "names that are numbers": (saved(lambda state: dict(enumerate(state.values()))), "is not a state_dict"),
    "whole numbers": (cast("int32"), "conv1.weight holds int32 where the model has float32"),
    "bytes": (cast("uint8"), "conv1.weight holds uint8 where"),
    "truth values": (cast("bool"), "conv1.weight holds bool where"),
    "complex numbers": (cast("complex64"), "conv1.weight holds complex64 where"),
    "a sparse tensor": (first(lambda tensor: tensor.to_sparse()), "conv1.weight is sparse"),
    "a tensor without values": (first(lambda tensor: tensor.to("meta")), "conv1.weight is sparse, or has no values"),
    "a quantized tensor": (first(lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8)), "holds qint8"),
    "a nested tensor": (first(lambda t: torch.nested.nested_tensor([t[0], t[1]])), "is not a state_dict"),
    "another shape": (first(lambda tensor: tensor[:4]), "conv1.weight is (4, 3, 3, 3) instead of (8, 3, 3, 3)"),
    "no weights": (saved(lambda _: {}), "is not a state_dict"),
    "a name of a million parts": (
        saved(lambda state: {"module." * 1_000_000 + name: tensor for name, tensor in list(state.items())[:3]}), UNFIT,
    ),
    "controls in a name": (saved(lambda state: state | {"\x1b]0;x\x07\nfc": torch.zeros(1)}), "a foreign \\x1b]0;"),
    "a TorchScript archive": (
        lambda path, _state: torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), str(path)), "TorchScript program",
    ),
}  # fmt: skip

SAFETENSORS: dict[str, tuple[Maker, str]] = {
    "empty": (written(b""), UNREADABLE),
    "a text": (written(b"hello\n" * 100), UNREADABLE),
    "a header of 2^63 bytes": (safetensors({}, length=1 << 63), UNREADABLE),
    "a header longer than the file": (safetensors({}, length=1 << 20), UNREADABLE),
    "no JSON": (safetensors(b"{{{{"), UNREADABLE),
    "deep JSON": (safetensors(b"[" * 1_000_000), UNREADABLE),
    "no UTF-8": (safetensors(b'{"\xff": {}}'), UNREADABLE),
    "a list": (safetensors([1]), UNREADABLE),
    "no tensors": (safetensors({}), "it lacks conv1.weight"),
    "data beyond the file": (safetensors({"a": entry(shape=[1 << 40], offsets=[0, 1 << 42])}), UNREADABLE),
    "data that overlap": (safetensors({"a": entry(), "b": entry()}, bytes(4)), UNREADABLE),
    "data that nobody owns": (safetensors({"a": entry()}, bytes(400)), UNREADABLE),
    "data backwards": (safetensors({"a": entry(offsets=[4, 0])}, bytes(4)), UNREADABLE),
    "another shape than its data": (safetensors({"a": entry(shape=[1 << 31, 1 << 31])}, bytes(4)), UNREADABLE),
    "a negative shape": (safetensors({"a": entry(shape=[-1])}, bytes(4)), UNREADABLE),
    "an unknown type": (safetensors({"a": entry("F7")}, bytes(4)), UNREADABLE),
    "texts that are numbers": (safetensors({"__metadata__": {"a": 1}, "a": entry()}, bytes(4)), UNREADABLE),
    "200,000 tensors": (
        safetensors({f"a{n}": entry(offsets=[4 * n, 4 * n + 4]) for n in range(200_000)}, bytes(800_000)),
        "200,000 tensors, more than 100,000",
    ),
    "whole numbers": (
        lambda path, state: path.write_bytes(
            save({n: t.int() for n, t in state.items()})
        ), "holds int32 where the model has float32",
    ),
    "a normalization in words": (stating(normalization="bright"), "states a normalization that is none"),
    "a normalization that is no number": (stating(normalization='{"mean": [NaN, 0, 0], "std": [1, 1, 1]}'), "is none"),
    "a deep normalization": (stating(normalization="[" * 200_000), "states a normalization that is none"),
    "a side beyond all": (stating(input_side_px="1000000000"), "states input_side_px that is none"),
    "names in a table": (stating(class_names='{"a": 1}'), "states class_names that is none"),
    "half a letter as name": (stating(class_names='["\\ud800"]'), ""),
    "another architecture": (stating(architecture="densenet121"), "holds a densenet121"),
    "a long architecture": (stating(architecture="x" * 100_000), "holds a xxx"),
}  # fmt: skip

ACCEPTED: dict[str, Maker] = {
    "doubles": cast("float64"),
    "halves": cast("float16"),
    "of before torch 1.6": lambda path, state: torch.save(state, path, _use_new_zipfile_serialization=False),
    "a seed of 5,000 digits": stating(seed="9" * 5000),
    "a seed beyond its column": stating(seed=str(1 << 40)),
    "a deep recipe": stating(recipe="[" * 200_000),
    "a recipe that is no number": stating(recipe='{"augmentation": "augmix", "rate": NaN}'),
    "a recipe of a megabyte": stating(recipe="x" * 1_000_000),
    "an accuracy in words": stating(clean_accuracy="high"),
    "controls": stating(dataset="\x1b]0;x\x07\n", recipe="\x00"),
    "no numbers": saved(lambda state: {n: t * torch.nan if t.is_floating_point() else t for n, t in state.items()}),
}
SUFFIX = {**dict.fromkeys(ACCEPTED, ".safetensors"), **dict.fromkeys(("doubles", "halves", "of before torch 1.6",
                                                                     "no numbers"), ".pt")}  # fmt: skip

REFUSED = {
    **{f"{name}.pt": case for name, case in PT.items()},
    **{f"{name}.safetensors": case for name, case in SAFETENSORS.items()},
}
