"""Models on the Hugging Face hub: from its cache (`HF_HOME`), otherwise downloaded, otherwise an error in one line.

A cached model needs no network. Whether the hub can be reached is asked once, without the retries of its client, which
take 23 seconds per file.
"""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from failmodes.evaluate.study.study_schema import ModelSpec
from failmodes.warehouse.errors import ModelError, first_line

WEIGHTS = ("*.safetensors",)
BESIDE_WEIGHTS = ("*.json", "*.txt", "*.model")  # configurations, tokenizers, image processors
ANSWER_S = 10


def hub_folder(spec: ModelSpec, name: str, revision: str | None = None, needed: Sequence[str] = WEIGHTS) -> Path:
    """The folder with the files of a model of the hub, downloaded to its cache if necessary.

    Args:
        spec: the model as the study describes it.
        name: OWNER/NAME.
        revision: branch, tag or commit. Default: main.
        needed: patterns of weights, in the order of preference; only files of the first one that the hub has are read.

    Raises:
        ModelError: it is not in the cache, and there is no such name or the hub cannot be reached.
    """
    folder = cached_folder(name, revision, needed)
    if folder is not None:
        return folder
    hub: Any = importlib.import_module("huggingface_hub")
    try:
        files = [one.rfilename for one in hub.model_info(name, revision=revision, timeout=ANSWER_S).siblings]
        weights = next((pattern for pattern in needed if any(Path(file).match(pattern) for file in files)), None)
        if weights is None:
            raise FileNotFoundError(f"the hub has no {' or '.join(needed)} of it")
        return Path(hub.snapshot_download(name, revision=revision, allow_patterns=[weights, *BESIDE_WEIGHTS]))
    except Exception as error:  # errors of the hub's client and of its connection
        raise ModelError(
            f"model {spec.label!r}: {spec.architecture} is not on this machine and cannot be downloaded "
            f"({type(error).__name__}: {first_line(error)}): run `{download_command(name, revision)}` with network "
            "access"
        ) from error


def cached_folder(name: str, revision: str | None = None, needed: Sequence[str] = WEIGHTS) -> Path | None:
    """The folder of a model in the hub's cache; None if it is not cached with its weights. Uses no network."""
    hub: Any = importlib.import_module("huggingface_hub")
    try:
        folder = Path(hub.snapshot_download(name, revision=revision, local_files_only=True))
    except Exception:  # not cached, or not a name of the hub
        return None
    return folder if any(next(folder.rglob(pattern), None) for pattern in needed) else None


def download_command(name: str, revision: str | None = None) -> str:
    """The command that downloads a model to the hub's cache."""
    return f"hf download {name}" + (f" --revision {revision}" if revision else "")
