"""The benchmark: live models over given images, by the engine, record and identities of a study."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from torch import nn

from failmodes.evaluate.benchmark.live_models import GivenModel, LiveModel
from failmodes.evaluate.benchmark.model_options import ModelOptions, check_names
from failmodes.evaluate.benchmark.study_file import check_study_file, claims_of_folder, write_study_file
from failmodes.evaluate.engine.run import RunReport, evaluate_study
from failmodes.evaluate.engine.tasks import RunCallbacks
from failmodes.evaluate.given_images import GivenImages, read_given_images, stored_masks
from failmodes.evaluate.models.code_identity import code_hash
from failmodes.evaluate.study.reading import check_study
from failmodes.evaluate.study.study_schema import EvaluationSpec, Study
from failmodes.ingest.corruptions.catalog import add_corruption, corruption_info, nearest_recipe
from failmodes.ingest.corruptions.custom import CustomCorruption, GivenCorruption, register, register_from
from failmodes.ingest.datasets.arrays import CLASSES_FILE, IMAGES_FILE, write_arrays
from failmodes.ingest.datasets.dataset import Dataset, ImageArray
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.specification import CorruptionSpec, DatasetSpec, Location, dotted_key, validate
from failmodes.ingest.statements import check_claims
from failmodes.ingest.study_types import first_duplicate
from failmodes.warehouse.errors import ModelError, StudyError
from failmodes.warehouse.hashing import identity_of
from failmodes.warehouse.storage.locations import user_path

IMAGES_FOLDER, CACHE_FOLDER = "images", "cache"
ARRAYS_LABEL = "Images given as arrays"
ARGUMENTS = {"names": "corruptions", "images": "image_count", "path": "images", "label": "dataset_label"}


@dataclass(frozen=True, kw_only=True)
class BenchmarkRequest:
    """What `failmodes.benchmark` was asked for; its docstring says what each part means.

    Attributes:
        models: modules and functions by label.
        images: arrays, a data set, or the path of a folder.
        labels: of the images, where these do not have them.
        output: the folder that holds the result.
        name: of the study.
        model_options: what is said of all models.
        dataset: keys of a study's [dataset] table.
        label_names: names of the labels.
        corruptions: names, functions and own corruptions.
        sampling: keys of a study's [corruptions] table.
        evaluation: keys of a study's [evaluation] table.
        masks: of the images: an array, or the path of a `.npy` or of a folder.
        claims: tables of what is claimed of the models; None for what the study file of the last benchmark says.
    """

    models: Mapping[str, Any]
    images: Any
    labels: Any
    output: Path
    name: str
    model_options: ModelOptions
    dataset: dict[str, Any]
    label_names: Sequence[str] | None
    corruptions: GivenCorruption | Sequence[GivenCorruption]
    sampling: dict[str, Any]
    evaluation: dict[str, Any] = field(default_factory=dict)
    masks: Any = None
    claims: Sequence[Mapping[str, Any]] | None = None


class BenchmarkReport(NamedTuple):
    """What a benchmark did: its study, and the report of its run."""

    study: Study
    run: RunReport


def run_benchmark(request: BenchmarkRequest, progress: RunCallbacks) -> BenchmarkReport:
    """Evaluate all that is missing, and write the study file that says what was run.

    Raises:
        StudyError, DataError, ModelError, WarehouseError, StorageError: as the message says.
    """
    check_study_file(request.output)
    names, own = _corruption_names(request.corruptions, request.model_options.version)
    parts = (CorruptionSpec, {"names": names} | _given(request.sampling)), (EvaluationSpec, _given(request.evaluation))
    for part, given in parts:  # before images are read, which may take long
        validate(part, given, "benchmark", _argument_name)
    if request.claims is not None:
        check_claims(request.claims, "benchmark", known_corruptions=True)
    keys, dataset, models = _open_images(request)
    content = {
        "name": request.name,
        "output": str(request.output),
        "dataset": keys,
        "corruptions": {"names": names, "recipe": nearest_recipe(*dataset.images.shape[1:3])}
        | _given(request.sampling),
        "claims": claims_of_folder(request.output) if request.claims is None else request.claims,
        "evaluation": {"executor": "here"} | _given({"workers": _workers(own)} | request.evaluation),
    }
    study = check_study(content, request.output, "benchmark", require_models=False, describe_location=_argument_name)
    duplicates = [f"images: {dataset.duplicates_note}"] if dataset.duplicates_note else []
    progress.models([*_assumptions(request, study), *duplicates])
    live = [model.as_model(dataset, request.output) for model in models]
    _write_study(study, live, own)
    report = evaluate_study(study, dataset, models=[one.model for one in live], progress=progress)
    return BenchmarkReport(study, report)


def _open_images(request: BenchmarkRequest) -> tuple[dict[str, Any], Dataset, list[GivenModel]]:
    """The images as a data set on disk, with the keys of a study that open it; and the models that meet them."""
    if isinstance(request.images, str | PathLike):
        return _open_folder(request, user_path(request.images).absolute())
    of_images = _given({key: request.dataset.get(key) for key in ("image_size", "resize", "background")})
    as_folder = {"kind": "folder", "path": str(request.output)} | of_images
    validate(DatasetSpec, as_folder, "benchmark", describe_location=_argument_name)
    if "background" in of_images:
        of_images["background"] = tuple(of_images["background"])
    given = read_given_images(request.images, request.labels, request.output / CACHE_FOLDER, **of_images)
    models = _models(request, given.images)
    names = check_names("label_names", request.label_names) or given.label_names or request.model_options.output_names
    if names is None:
        names = tuple(map(str, range(models[0].output_count)))  # labels are numbers of outputs
    twice = first_duplicate(names)
    if twice is not None:
        raise StudyError(f"benchmark: labels would have the name {twice!r} twice: give label_names=, each another")
    path = _store(given, tuple(names), request.output)
    keys = {"kind": "arrays", "path": str(path), "label": ARRAYS_LABEL}
    keys |= {key: value for key, value in _given(request.dataset).items() if key not in of_images}
    if request.masks is not None:
        keys["masks"] = str(stored_masks(request.masks, given.images.shape, path))
    return keys, _dataset(keys, request.output), models


def _open_folder(request: BenchmarkRequest, path: Path) -> tuple[dict[str, Any], Dataset, list[GivenModel]]:
    for argument, value in (("labels", request.labels), ("label_names", request.label_names)):
        if value is not None:
            raise StudyError(f"benchmark: {argument} are in the folder {path}: leave {argument}= out")
    if path == request.output or path in request.output.parents:
        raise StudyError(
            f"benchmark: to= is {request.output}, within the folder of the images {path}: give another folder"
        )
    kind = "arrays" if (path / IMAGES_FILE).is_file() else "folder"
    keys = {"kind": kind, "path": str(path)} | _given(request.dataset)
    if request.masks is not None:
        if not isinstance(request.masks, str | PathLike):
            raise StudyError(f"benchmark: the images are the folder {path}: give masks= as a path, too")
        keys["masks"] = str(user_path(request.masks).absolute())
    dataset = _dataset(keys, request.output)
    return keys, dataset, _models(request, dataset.images)


def _dataset(keys: dict[str, Any], output: Path) -> Dataset:
    spec = validate(DatasetSpec, keys, "benchmark", describe_location=_argument_name)
    return open_dataset(spec, output / CACHE_FOLDER)


def _models(request: BenchmarkRequest, images: ImageArray) -> list[GivenModel]:
    if not request.models:
        raise ModelError("there is no model to benchmark: the dict of models is empty")
    sample = np.resize(np.asarray(images[:2]), (2, *images.shape[1:]))
    return [GivenModel(label, model, request.model_options, sample) for label, model in request.models.items()]


def _store(given: GivenImages, names: tuple[str, ...], output: Path) -> Path:
    """The folder of arrays that holds these images; written where it is not there yet, named by what it holds."""
    dataset = Dataset("arrays", ARRAYS_LABEL, "test", given.images, given.labels, names)
    path = output / IMAGES_FOLDER / identity_of([dataset.dataset_id, list(names), *filter(None, [given.note])])
    if not (path / CLASSES_FILE).exists():
        write_arrays(path, given.images, given.labels, names, given.note)
    return path


def _corruption_names(
    corruptions: GivenCorruption | Sequence[GivenCorruption], version: str | None
) -> tuple[list[str], dict[str, str | None]]:
    """Names of corruptions as a study gives them, and where the caller's own are imported from (None: nowhere)."""
    several = corruptions if isinstance(corruptions, Sequence) and not isinstance(corruptions, str) else [corruptions]
    names: list[str] = []
    own: dict[str, str | None] = {}
    for one in several:
        if isinstance(one, str):
            names.append(one)
            continue
        path = _import_path(one)
        made = register_from(path) if path else _register_live(one, version)
        own[made.name] = path
        names.append(path or made.name)
    return names, own


def _workers(own: Mapping[str, str | None]) -> int | None:
    """How many processes corrupt ahead of a GPU: none where they could not, or would run the caller's script again."""
    is_script = getattr(sys.modules["__main__"], "__file__", None) is not None
    return 0 if is_script or None in own.values() else None


def _import_path(corruption: object) -> str | None:
    """`module:name` of a function that every process can import; None for one of a script, a notebook or a closure."""
    module, name = getattr(corruption, "__module__", None), getattr(corruption, "__qualname__", None)
    if module in (None, "__main__") or name is None or getattr(sys.modules.get(module), name, None) is not corruption:
        return None
    return f"{module}:{name}"


def _register_live(corruption: Any, version: str | None) -> CustomCorruption:
    """Register a corruption that is an object of this process, identified by its code and captured values."""
    name = getattr(corruption, "__name__", None)
    if isinstance(corruption, CustomCorruption):
        made = register(corruption)
    elif callable(corruption) and name not in (None, "<lambda>"):
        made = register(CustomCorruption(str(name), cast(Any, corruption)))
    else:
        raise StudyError(
            f"benchmark: corruptions: {'a lambda' if name else f'a {type(corruption).__name__}'} is no corruption by "
            'itself: expected a name, a list of names, a function with a name, or CustomCorruption("mine", function)'
        )
    subject = f"corruption {made.name!r}"
    definition = identity_of({"version": version}) if version else code_hash(corruption, subject=subject)
    add_corruption(replace(corruption_info(made.name), definition=definition))
    return made


def _assumptions(request: BenchmarkRequest, study: Study) -> list[str]:
    """What was not said and had to be chosen, a line each."""
    lines = []
    if request.sampling.get("recipe") is None:
        recipe = study.corruptions.recipe
        lines.append(f"corruptions: recipe {recipe}, published for the size nearest to the images' (or give recipe=)")
    if any(isinstance(n, nn.Module) for n in request.models.values()) and not request.model_options.says_inputs:
        lines.append("models get values in [0, 1], since neither normalization= nor preprocess= is given")
    return lines


def _write_study(study: Study, live: list[LiveModel], own: Mapping[str, str | None]) -> None:
    notes = [one.note for one in live if one.note]
    unnamed = {name for name in own if not own[name]}
    notes += [f"{name}: a corruption of the program that called this benchmark" for name in own if name in unnamed]
    claims = [claim for claim in study.claims if not unnamed & set(claim.all_corruptions)]
    notes += [f"claim: {claim.title}" for claim in study.claims if claim not in claims]
    named = [own.get(name, name) for name in study.corruptions.names]
    names = [name for name in named if name is not None]
    parts: dict[str, Any] = {
        "models": [one.model.spec for one in live if not one.note],
        "evaluation": study.evaluation.model_copy(update={"executor": "auto", "workers": None}),
        "corruptions": study.corruptions.model_copy(update={"names": names}),
        "claims": claims,
    }
    subjects = [*(one.model.label for one in live), *own, "claim"]
    write_study_file(study.model_copy(update=parts), notes, subjects)


def _given(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in keys.items() if value is not None}


def _argument_name(location: Location) -> str:
    """What the argument of `failmodes.benchmark` is called that ended up at this key of a study."""
    if location[:1] == ("claims",):
        return dotted_key(location)
    names = [part for part in location if isinstance(part, str)]
    return ARGUMENTS.get(names[-1], names[-1]) if names else ""
