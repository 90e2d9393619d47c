"""Models on the Hugging Face hub, and those of transformers with their image processors, there or in a folder.

A model of the hub comes from its cache (`HF_HOME`), otherwise it is downloaded, otherwise it is an error in one line. A
cached model needs no network. Whether the hub can be reached is asked once, without the retries of its client, which
take 23 seconds per file.
"""

import importlib
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import nn

from failmodes.evaluate.models.preprocessing import (
    TRIAL_SIZE,
    Geometry,
    Preprocessing,
    describe_normalization,
    own_preprocessing,
)
from failmodes.evaluate.study.study_schema import ModelSpec, Normalization
from failmodes.runtime.errors import ModelError, StudyError, first_line, listed
from failmodes.runtime.hashing import identity_of
from failmodes.runtime.packages import require

WEIGHTS = ("*.safetensors",)
BESIDE_WEIGHTS = ("*.json", "*.txt", "*.model")  # configurations, tokenizers, image processors
ANSWER_S = 10
OPTIONS = ("revision", "subfolder", "variant", "attn_implementation")  # of `from_pretrained`, which also takes code
# Keys of configurations that name files, versions and classes of outputs: they do not change a logit
WITHOUT_EFFECT = {
    "_name_or_path",
    "name_or_path",
    "transformers_version",
    "architectures",
    "dtype",
    "torch_dtype",
    "id2label",
    "label2id",
}
ATTENTION = ("eager", "sdpa")
USUAL_STEPS = {"do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb", "do_reduce_labels"}
SHOWN = 3  # missing weights listed in an error
RESCALE = 1 / 255


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
        files = [sibling.rfilename for sibling in hub.model_info(name, revision=revision, timeout=ANSWER_S).siblings]
        weights = next((pattern for pattern in needed if any(Path(file).match(pattern) for file in files)), None)
        if weights is None:
            raise FileNotFoundError(f"the hub has no {' or '.join(needed)} of it")
        return Path(hub.snapshot_download(name, revision=revision, allow_patterns=[weights, *BESIDE_WEIGHTS]))
    except Exception as error:  # errors of the hub's client and of its connection
        raise ModelError(
            f"model {spec.label!r}: {spec.architecture} is not on this machine and cannot be downloaded "
            f"({type(error).__name__}: {first_line(error)}): run `{_download_command(name, revision)}` with network "
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


def command_if_missing(name: str, revision: str | None = None, needed: Sequence[str] = WEIGHTS) -> str | None:
    """The command that downloads a model to the hub's cache; None if it is cached. Uses no network."""
    return None if cached_folder(name, revision, needed) is not None else _download_command(name, revision)


def _download_command(name: str, revision: str | None) -> str:
    return f"hf download {name}" + (f" --revision {revision}" if revision else "")


def import_transformers() -> ModuleType:
    """Import transformers, which is optional.

    Raises:
        MissingExtraError: it is not installed.
    """
    require("transformers", "a model of transformers", ["transformers"])
    return importlib.import_module("transformers")


def load_pretrained(spec: ModelSpec, name: str, loader: Any, **options: Any) -> Any:
    """Call `loader.from_pretrained` for a folder of the study or a name on the hub; code in it is never run.

    Raises:
        StudyError: an option is unknown.
        ModelError: there is no such folder or name, or it cannot be loaded or downloaded.
    """
    unknown = [key for key in spec.options if key not in OPTIONS]
    if unknown:
        raise StudyError(f"model {spec.label!r}: unknown option {unknown[0]!r}: expected {', '.join(OPTIONS)}")
    if spec.options.get("attn_implementation", ATTENTION[0]) not in ATTENTION:  # other names are code on the hub
        raise StudyError(f"model {spec.label!r}: attn_implementation: expected {' or '.join(ATTENTION)}")
    folder = spec.beside_study(name)
    if not folder.is_dir():
        folder = hub_folder(spec, name, _revision(spec))
    try:
        with quiet():
            return loader.from_pretrained(str(folder), trust_remote_code=False, **options)
    except Exception as error:  # many errors of the library
        raise ModelError(
            f"model {spec.label!r}: {spec.architecture} cannot be loaded ({first_line(error)}): expected a folder "
            "written by `save_pretrained` with safetensors, or the name of such a model on the Hugging Face hub"
        ) from error


def to_download(spec: ModelSpec, name: str) -> str | None:
    """The command that downloads a model; None if it is a folder of the study or in the hub's cache."""
    return None if spec.beside_study(name).is_dir() else command_if_missing(name, _revision(spec))


def _revision(spec: ModelSpec) -> str | None:
    revision = spec.options.get("revision")
    return None if revision is None else str(revision)


def load_module(spec: ModelSpec, name: str, loader: Any, needed: Sequence[str] = (), expected: str = "") -> nn.Module:
    """Load a module in float32 from safetensors, all of whose weights must be in the file.

    Args:
        spec: the model as the study describes it.
        name: folder of the study, or name on the hub.
        loader: a class with `from_pretrained`.
        needed: attributes that the module must have.
        expected: a kind of model that has them, for the error.

    Raises:
        ModelError: it cannot be loaded, or the file lacks weights, which the library would draw at random.
    """
    module: nn.Module
    module, info = load_pretrained(
        spec, name, loader, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **spec.options
    )
    if not all(hasattr(module, key) for key in needed):
        raise ModelError(f"model {spec.label!r}: {spec.architecture} is a {type(module).__name__}: expected {expected}")
    missing = sorted({*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])})
    if missing:
        raise ModelError(
            f"model {spec.label!r}: {spec.architecture} has no weights for {listed(missing, SHOWN)} of a "
            f"{type(module).__name__}, which would be random: choose a model trained for this task"
        )
    return module.eval()


def checkpoint_name(spec: ModelSpec, name: str) -> str:
    """The name of the weights for the results: that of their folder, or their name on the hub."""
    folder = spec.beside_study(name)
    return folder.resolve().name if folder.is_dir() else name


def config_facts(config: Any) -> dict[str, Any]:
    """The settings of a configuration that change logits, for the identity of a model."""
    return _facts(config.to_dict(), WITHOUT_EFFECT)


def processor_preprocessing(spec: ModelSpec, name: str) -> Preprocessing:
    """The preprocessing of a model by its own image processor, with what the study sets instead.

    Raises:
        StudyError: the study sets the input side, and neither study nor processor state a plain normalization.
        ModelError: there is no image processor, or it does not return one tensor of pixel values.
    """
    options = {key: value for key, value in spec.options.items() if key in ("revision", "subfolder")}
    processor = load_pretrained(spec, name, import_transformers().AutoImageProcessor, **options)
    settings = _facts(processor.to_dict(), WITHOUT_EFFECT)
    words = _in_words(processor, settings)
    if spec.input_side_px is not None:
        normalization = spec.normalization or _plain_normalization(settings)
        if normalization is None:
            raise StudyError(
                f"model {spec.label!r}: `input_side_px` replaces its {type(processor).__name__}, which has no plain "
                "mean and std: set `normalization` too, or remove `input_side_px`"
            )
        return Preprocessing(normalization, spec.input_side_px, replaced=words)
    replaced = ""
    if spec.normalization is not None:
        mean, std = list(spec.normalization.mean), list(spec.normalization.std)
        changes = {
            "do_rescale": True, "rescale_factor": RESCALE, "do_normalize": True, "image_mean": mean, "image_std": std,
        }  # fmt: skip
        for key, value in changes.items():
            setattr(processor, key, value)
        settings, replaced = settings | changes, words
        words = _in_words(processor, settings)
    probe = np.random.default_rng(0).integers(0, 256, (1, *TRIAL_SIZE, 3), dtype=np.uint8)

    def pixel_values(images: Any) -> Any:
        return processor(images, return_tensors="pt")

    preprocessing = own_preprocessing(
        pixel_values, probe, subject=f"model {spec.label!r}", version=identity_of(settings)
    )
    assert preprocessing.function is not None
    height, width = preprocessing.function(torch.from_numpy(probe).permute(0, 3, 1, 2)).shape[2:]
    side = int(width) if height == width else None
    normalization = _plain_normalization(settings)
    return replace(
        preprocessing,
        normalization=normalization,
        input_side_px=side,
        name=f"{type(processor).__name__}: {', '.join([*_resize_in_words(settings), f'input of {width}×{height} px'])}",
        description=words,
        geometry=None if normalization is None else _geometry(settings),
        replaced=replaced,
    )


def _geometry(settings: Mapping[str, Any]) -> Geometry | None:
    """Resize and center crop of an image processor; None if it does anything else."""
    size, crop = _sides(settings.get("size")), _sides(settings.get("crop_size"))
    resample = _resample_name(settings.get("resample")) if settings.get("do_resize") else None
    if resample is None or settings.get("crop_pct"):
        return None
    if not settings.get("do_center_crop"):
        return Geometry(resample) if set(size) == {"height", "width"} and size["height"] == size["width"] else None
    if set(size) == {"shortest_edge"} and crop.get("height") == crop.get("width") is not None:
        return Geometry(resample, size["shortest_edge"], crop["width"])
    return None


def _sides(size: Any) -> dict[str, int]:
    """Sides of a size of an image processor, by name; empty if it has another form."""
    is_known = isinstance(size, Mapping) and all(isinstance(side, int) for side in size.values())
    return dict(size) if is_known else {}


def _in_words(processor: Any, settings: Mapping[str, Any]) -> str:
    """The steps of an image processor in words."""
    normalization = _plain_normalization(settings)
    steps = _resize_in_words(settings) + ([describe_normalization(normalization)] if normalization else [])
    return f"{', '.join(steps) or 'prepared'} by its {type(processor).__name__}"


def _resize_in_words(settings: Mapping[str, Any]) -> list[str]:
    steps = []
    if settings.get("do_resize"):
        steps.append(f"resized to {_size_in_words(settings.get('size'), _resample_name(settings.get('resample')))}")
    if settings.get("crop_pct"):
        steps.append(f"crop_pct {settings['crop_pct']}")
    if settings.get("do_center_crop"):
        steps.append(f"center-cropped to {_size_in_words(settings.get('crop_size'))}")
    return steps + _other_steps(settings)


def _other_steps(settings: Mapping[str, Any]) -> list[str]:
    """Steps of an image processor that few have, by their key: such as `do_pad`."""
    return [key for key, value in settings.items() if key.startswith("do_") and value and key not in USUAL_STEPS]


def _plain_normalization(settings: Mapping[str, Any]) -> Normalization | None:
    """Mean and std of values / 255, if that is how an image processor scales its values."""
    if not settings.get("do_rescale") or abs(settings.get("rescale_factor", 0) - RESCALE) > 1e-9:
        return None
    if settings.get("rescale_offset") or settings.get("include_top") or _other_steps(settings):
        return None
    if not settings.get("do_normalize"):
        return Normalization(mean=(0, 0, 0), std=(1, 1, 1))
    try:
        return Normalization.model_validate(
            {"mean": tuple(settings["image_mean"]), "std": tuple(settings["image_std"])}
        )
    except (KeyError, TypeError, ValidationError):
        return None


def _size_in_words(size: Any, resample: str | None = None) -> str:
    """A size such as {"shortest_edge": 256} and the filter: `256 px (shorter side, bicubic)`."""
    sides = dict(size) if isinstance(size, Mapping) else {}
    words = f"size {size}"
    details = [resample]
    if "shortest_edge" in sides:
        words = f"{sides['shortest_edge']} px"
        details = ["shorter side", resample]
    elif {"height", "width"} <= sides.keys():
        words = f"{sides['width']}×{sides['height']} px"
    named = ", ".join(filter(None, details))
    return f"{words} ({named})" if named else words


def _resample_name(resample: Any) -> str | None:
    """The name of a PIL filter from its number."""
    from PIL.Image import Resampling

    try:
        return Resampling(int(resample)).name.lower()
    except (TypeError, ValueError):
        return None


def _facts(settings: Mapping[str, Any], without: set[str]) -> dict[str, Any]:
    """Settings with text keys and plain values; enumerations by their value."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(key): plain(part) for key, part in sorted(value.items(), key=lambda item: str(item[0]))}
        if isinstance(value, list | tuple | set):
            return [plain(part) for part in value]
        value = getattr(value, "value", value)
        return value if isinstance(value, bool | int | float | str) or value is None else str(value)

    return {
        key: plain(value) for key, value in sorted(settings.items()) if key not in without and not key.startswith("_")
    }


@contextmanager
def quiet() -> Iterator[None]:
    """Without progress bars and log messages of libraries, which may install handlers; errors are raised."""
    handlers = logging.root.handlers[:]
    level = logging.root.manager.disable
    bars = importlib.import_module("transformers.utils.logging") if "transformers" in sys.modules else None
    shows_bars = bars is not None and bars.is_progress_bar_enabled()
    logging.disable(logging.CRITICAL)
    if bars is not None:
        bars.disable_progress_bar()
    try:
        yield
    finally:
        if bars is not None and shows_bars:
            bars.enable_progress_bar()
        logging.disable(level)
        logging.root.handlers[:] = handlers
