"""Models in files that contain their program too (ONNX graphs, exported programs): path, identity, no attention."""

from pathlib import Path

from torch import nn

from failmodes.evaluate.study.study_schema import ModelSpec
from failmodes.runtime.errors import StudyError
from failmodes.runtime.storage.files import check_regular

KEYS_OF_OTHERS = ("weights", "options", "stem", "attention_layer")  # keys that have no meaning for a program


class ProgramModule(nn.Module):
    """A program as a module without parameters or layers.

    Attributes:
        no_attention: the reason why there are no attention maps.
    """

    no_attention: str


def program_path(spec: ModelSpec, name: str, suffix: str) -> Path:
    """The file of a program: a path relative to the study file.

    Raises:
        StudyError: there is no such file, it has another suffix, or the study sets keys that do not apply.
        StorageError: it is not a regular file or may not be read.
    """
    source = spec.architecture.partition(":")[0]
    for key in KEYS_OF_OTHERS:
        if getattr(spec, key):
            raise StudyError(f"model {spec.label!r}: `{key}` does not apply to models of {source}: remove it")
    path = spec.beside_study(name)
    if path.suffix != suffix:
        raise StudyError(f"model {spec.label!r}: {spec.architecture!r}: expected {source}:FILE{suffix}")
    try:
        check_regular(path)
    except FileNotFoundError as error:
        raise StudyError(f"model {spec.label!r}: no file at {path}") from error
    return path
