"""The study of a benchmark: a study with models and images in memory."""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np

from failmodes.evaluate.given_images import GivenImages, read_given_images, stored_masks
from failmodes.evaluate.given_metadata import stored_metadata
from failmodes.evaluate.models.checkpoints import save_checkpoint
from failmodes.evaluate.models.code_identity import code_hash
from failmodes.evaluate.models.live import architecture_of, live_model
from failmodes.evaluate.models.load import load_model, output_names
from failmodes.evaluate.models.model import Model, tensor_hashes, unwrapped
from failmodes.evaluate.models.preprocessing import INSIDE_THE_FUNCTION
from failmodes.evaluate.models.trial import TRIAL_IMAGES
from failmodes.evaluate.options import Options
from failmodes.evaluate.study.study_file import check_study, check_study_file, claims_of_folder, write_study_file
from failmodes.evaluate.study.study_schema import EvaluationSpec, ModelSpec, Study
from failmodes.ingest.corruptions.catalog import add_corruption, corruption_info
from failmodes.ingest.corruptions.custom import CustomCorruption, GivenCorruption, register, register_from
from failmodes.ingest.datasets.dataset import Dataset, ImageArray
from failmodes.ingest.datasets.kinds import kind_of_files
from failmodes.ingest.datasets.layout import DatasetSpec, open_dataset
from failmodes.ingest.datasets.layouts.arrays import CLASSES_FILE, write_arrays
from failmodes.ingest.specification import CorruptionSpec, Location, dotted_key, validate
from failmodes.ingest.statements import check_claims, stored_form
from failmodes.ingest.study_types import first_duplicate
from failmodes.runtime.errors import DataError, ModelError, StudyError
from failmodes.runtime.hashing import identity_of
from failmodes.runtime.storage.locations import user_path
from failmodes.runtime.terminal import note

IMAGES_FOLDER, CACHE_FOLDER, MODELS_FOLDER = "images", "cache", "models"
ARRAYS_LABEL = "Images given as arrays"
ARGUMENTS = {"names": "corruptions", "images": "image_count", "path": "images", "label": "dataset_label"}
OF_ITEMS = ("image_size", "resize", "background", "skip_unreadable")  # keys of a dataset for images in memory
SAME_OUTPUTS = 1e-3  # largest difference of logits, relative to the largest, of a rebuilt model


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """The arguments of `failmodes.benchmark`, see its docstring."""

    models: Mapping[str, Any]
    images: Any
    labels: Any
    to: Path
    corruptions: GivenCorruption | Sequence[GivenCorruption] = "headline"
    severities: Any = (1, 2, 3, 4, 5)
    class_names: Any = None
    normalization: Any = None
    preprocess: Callable[..., Any] | None = None
    image_size: int | None = None
    image_count: int | None = None
    masks: Any = None
    metadata: Any = None
    shifts: Any = None
    claims: Any = None
    options: Options = Options()


def study_of(asked: Benchmark) -> tuple[Study, Dataset]:
    """Store images, models and corruptions where a study can name them, write its file, and return study and dataset.

    Raises:
        StudyError, DataError, ModelError, StorageError: as the message says.
    """
    check_study_file(asked.to)
    options = asked.options
    names, import_paths = _corruption_names(asked.corruptions, options.version)
    sampling = {"names": names, "severities": _listed(asked.severities)} | options.keys_of("corruptions")
    evaluation = {"workers": _workers(import_paths)} | options.keys_of("evaluation")
    for part, table in (CorruptionSpec, sampling), (EvaluationSpec, _given(evaluation)):
        validate(part, table, "benchmark", _argument_name)  # before reading images, which may take long
    if asked.claims is not None:
        check_claims(asked.claims, "benchmark", known_corruptions=True)
    specs = model_specs(asked)
    keys, dataset, models = _open_images(asked, specs)
    content = {
        "name": options.name or asked.to.name,
        "output": str(asked.to),
        "dataset": keys,
        "corruptions": sampling,
        "shifts": _shifts(asked, dataset),
        "models": models,
        "claims": claims_of_folder(asked.to) if asked.claims is None else asked.claims,
        "evaluation": _given(evaluation),
    }
    study = check_study(content, asked.to, "benchmark", describe_location=_argument_name)
    _write_study(study, import_paths)
    return study, dataset


def model_specs(asked: Benchmark) -> dict[str, ModelSpec]:
    """The specification that a study would have for each model."""
    if not asked.models:
        raise ModelError("no models: the dict of models is empty")
    names = asked.class_names
    keys = asked.options.keys_of("models") | {
        "normalization": _normalization(asked.normalization),
        "class_names": names if names == "imagenet-1k" else check_names("class_names", names),
    }
    return {
        label: validate(
            ModelSpec,
            _given(keys) | {"label": label, "architecture": architecture_of(model), "training_seed": _seed_in(label)},
            f"benchmark: model {label!r}",
        )
        for label, model in asked.models.items()
    }


def _normalization(normalization: Any) -> Any:
    """Mean and std in the form of a study, as lists; other values unchanged, to be refused by validation."""
    if isinstance(normalization, tuple | list) and len(normalization) == 2:
        normalization = {"mean": normalization[0], "std": normalization[1]}
    return (
        {key: np.asarray(value).tolist() for key, value in normalization.items()}
        if isinstance(normalization, Mapping)
        else normalization
    )


def _open_images(asked: Benchmark, specs: dict[str, ModelSpec]) -> tuple[dict[str, Any], Dataset, list[ModelSpec]]:
    """Store the images as a dataset; returns its keys in a study, the dataset and the models."""
    if isinstance(asked.images, str | PathLike):
        return _open_folder(asked, specs, user_path(asked.images).absolute())
    given_keys = asked.options.keys_of("dataset") | _given({"image_size": asked.image_size})
    of_images = {key: given_keys.pop(key) for key in OF_ITEMS if key in given_keys}
    as_folder = {"kind": "folder", "path": str(asked.to)} | of_images
    validate(DatasetSpec, as_folder, "benchmark", describe_location=_argument_name)
    if "background" in of_images:
        of_images["background"] = tuple(of_images["background"])
    column = asked.options.label_column
    labeled = read_given_images(asked.images, asked.labels, asked.to / CACHE_FOLDER, label_column=column, **of_images)
    models = _live_models(asked, specs, labeled.images)
    names = check_names("label_names", asked.options.label_names) or labeled.label_names
    names = names or output_names(models[0].class_names)
    if names is None:  # labels are indices of outputs
        live = _live(models[0])
        names = live.config_names
        if names is None or first_duplicate(names) is not None:
            names = tuple(map(str, range(live.output_count or 0)))
    twice = first_duplicate(names)
    if twice is not None:
        raise StudyError(
            f"benchmark: two labels have the name {twice!r}: set distinct names, options=Options(label_names=…)"
        )
    path = _store(labeled, tuple(names), asked.to)
    keys = {"kind": "arrays", "path": str(path), "images": asked.image_count, **given_keys}
    keys["label"] = asked.options.dataset_label or ARRAYS_LABEL
    if asked.options.dataset_label is None:
        note(f"titles call the images {ARRAYS_LABEL!r}: options=Options(dataset_label=…) names them")
    if asked.masks is not None:
        keys["masks"] = str(stored_masks(asked.masks, labeled.images.shape, path))
    keys |= _metadata_keys(asked, len(labeled.images))
    dataset = _dataset(keys, asked.to)
    return _given(keys), dataset, [_as_named(asked, spec, dataset) for spec in models]


def _open_folder(
    asked: Benchmark, specs: dict[str, ModelSpec], path: Path
) -> tuple[dict[str, Any], Dataset, list[ModelSpec]]:
    for argument, value in (("label_names", asked.options.label_names), ("labels", asked.labels)):
        if value is not None:
            raise StudyError(f"benchmark: the images at {path} define {argument}: remove {argument}=")
    if path == asked.to or path in asked.to.parents:
        raise StudyError(f"benchmark: to= is {asked.to}, inside the image folder {path}: choose another folder")
    keys = {"kind": kind_of_files(path), "path": str(path)}
    keys |= asked.options.keys_of("dataset") | _given(
        {
            "image_size": asked.image_size,
            "images": asked.image_count,
            "label": asked.options.dataset_label,
            "label_column": asked.options.label_column,
        }
    )
    if asked.masks is not None:
        if not isinstance(asked.masks, str | PathLike):
            raise StudyError(f"benchmark: images are a folder, {path}: masks= must be a path too")
        keys["masks"] = str(user_path(asked.masks).absolute())
    dataset = _dataset(keys, asked.to)
    if asked.metadata is not None:
        keys |= _metadata_keys(asked, len(dataset.labels))
        dataset = _dataset(keys, asked.to)
    return keys, dataset, [_as_named(asked, spec, dataset) for spec in _live_models(asked, specs, dataset.images)]


def _metadata_keys(asked: Benchmark, count: int) -> dict[str, Any]:
    """The key of a dataset for metadata of its images, if there are any."""
    if asked.metadata is None:
        return {}
    has_gaps = asked.options.skip_unreadable
    path = stored_metadata(asked.metadata, count, asked.to / IMAGES_FOLDER, has_gaps=has_gaps)
    return {"metadata": {"path": str(path)}}


def _shifts(asked: Benchmark, dataset: Dataset) -> list[dict[str, Any]]:
    """The tables of natural shifts; images in memory are stored as arrays."""
    shifts = asked.shifts
    if shifts is None:
        return []
    if isinstance(shifts, Mapping):
        return [_shift(asked, dataset, label, images) for label, images in shifts.items()]
    if (
        isinstance(shifts, Sequence)
        and not isinstance(shifts, str)
        and all(isinstance(table, Mapping) for table in shifts)
    ):
        return [{**table} for table in shifts]
    raise StudyError(
        f"benchmark: shifts is {repr(shifts)[:60]}: expected a dict of images by label, or a list of tables as in a "
        "study"
    )


def _shift(asked: Benchmark, dataset: Dataset, label: Any, images: Any) -> dict[str, Any]:
    """The table of one shift: of a path, of (images, labels) or of a dataset."""
    if isinstance(images, Mapping):
        return {"label": label, **images}
    sizes = _given({"image_size": asked.image_size, "resize": asked.options.resize})
    if isinstance(images, str | PathLike):
        path = user_path(images).absolute()
        kind = kind_of_files(path)
        return {"label": label, "kind": kind, "path": str(path), **(sizes if kind != "arrays" else {})}
    arrays, labels = images if isinstance(images, tuple) and len(images) == 2 else (images, None)
    column = asked.options.label_column
    try:
        read = read_given_images(arrays, labels, asked.to / CACHE_FOLDER, label_column=column, **sizes)
        path = _store(read, read.label_names or dataset.class_names, asked.to)
    except DataError as error:
        raise DataError(f"benchmark: shift {label!r}: {error}") from error
    return {"label": label, "kind": "arrays", "path": str(path)}


def _dataset(keys: dict[str, Any], output: Path) -> Dataset:
    spec = validate(DatasetSpec, _given(keys), "benchmark", describe_location=_argument_name)
    return open_dataset(spec, output / CACHE_FOLDER)


def _live_models(asked: Benchmark, specs: dict[str, ModelSpec], images: ImageArray) -> list[ModelSpec]:
    count = max(2, min(len(images), TRIAL_IMAGES))
    sample = np.resize(np.asarray(images[:count]), (count, *images.shape[1:]))
    return [
        spec.with_live(
            live_model(asked.models[label], spec, sample, preprocess=asked.preprocess, version=asked.options.version)
        )
        for label, spec in specs.items()
    ]


def _live(spec: ModelSpec) -> Model:
    """The model in memory of a specification."""
    assert isinstance(spec.live, Model)
    return spec.live


def _as_named(asked: Benchmark, spec: ModelSpec, dataset: Dataset) -> ModelSpec:
    """The specification of a model with `architecture=`, which rebuilds it from its stored tensors.

    Raises:
        StudyError: a study file cannot name the model, or its normalization is unknown.
        ModelError: the architecture builds another model.
    """
    architecture = asked.options.architecture
    if architecture is None:
        return spec
    live = _live(spec)
    if asked.preprocess is not None or not live.torch_module.state_dict():
        raise StudyError(
            f"benchmark: model {spec.label!r}: architecture= requires a torch module and normalization=, not a "
            "function or preprocess=, which a study file cannot name"
        )
    if live.preprocessing.is_assumed:  # a study must state it, without a warning before its runs
        raise StudyError(
            f"benchmark: model {spec.label!r}: architecture= requires normalization= for the study file: "
            '"imagenet", another name or (mean, std) as in training, or "none" for values in [0, 1]'
        )
    tensors = identity_of(tensor_hashes(live.torch_module))
    path = asked.to / MODELS_FOLDER / f"{spec.slug or 'model'}-{tensors[:8]}.safetensors"
    if not path.exists():
        save_checkpoint(path, live.torch_module, {})
    model = load_model(spec, dataset)
    names = model.output_names  # these, too, may come from the model's configuration
    normalization = live.preprocessing.normalization
    keys = _given({"normalization": normalization, "class_names": None if names is None else list(names)})
    keys |= spec.model_dump(exclude_unset=True)
    keys |= {"architecture": architecture, "checkpoint": path}
    named = validate(ModelSpec, keys, f"benchmark: model {spec.label!r}")
    sample = np.asarray(dataset.images[:2])
    expected = model.predict(sample)
    built = load_model(named, dataset, path).predict(sample)
    if expected.shape != built.shape or (expected - built).abs().max() > SAME_OUTPUTS * expected.abs().max():
        raise ModelError(
            f"model {spec.label!r} is not a {architecture}: this architecture with the same tensors returns different "
            "outputs; remove architecture=, or set it to the function that builds the model"
        )
    return named


def _store(images: GivenImages, names: tuple[str, ...], output: Path) -> Path:
    """The folder of arrays with these images, written if missing and named after its content."""
    dataset = Dataset("arrays", ARRAYS_LABEL, "test", images.images, images.labels, names)
    lines = filter(None, [images.note, images.left_out])
    path = output / IMAGES_FOLDER / identity_of([dataset.dataset_id, list(names), *lines])
    if not (path / CLASSES_FILE).exists():
        write_arrays(path, images.images, images.labels, names, images.note, images.left_out)
    return path


def _corruption_names(
    corruptions: GivenCorruption | Sequence[GivenCorruption], version: str | None
) -> tuple[list[str], dict[str, str | None]]:
    """Names of corruptions in a study, and import paths of custom ones (None if not importable)."""
    several = corruptions if isinstance(corruptions, Sequence) and not isinstance(corruptions, str) else [corruptions]
    names: list[str] = []
    import_paths: dict[str, str | None] = {}
    for corruption in several:
        if isinstance(corruption, str):
            names.append(corruption)
            continue
        path = _import_path(corruption)
        custom = register_from(path) if path else _register_live(corruption, version)
        import_paths[custom.name] = path
        names.append(path or custom.name)
    return names, import_paths


def _workers(import_paths: Mapping[str, str | None]) -> int | None:
    """Number of processes that corrupt images ahead of a GPU: 0 if they would rerun the caller's script."""
    is_script = getattr(sys.modules["__main__"], "__file__", None) is not None
    return 0 if is_script or None in import_paths.values() else None


def _import_path(corruption: object) -> str | None:
    """`module:name` of an importable function; None for one of a script, a notebook or a closure."""
    module = getattr(corruption, "__module__", None)
    name = getattr(corruption, "__qualname__", None)
    if module in (None, "__main__") or name is None or getattr(sys.modules.get(module), name, None) is not corruption:
        return None
    return f"{module}:{name}"


def _register_live(corruption: Any, version: str | None) -> CustomCorruption:
    """Register a corruption in memory, identified by its code and captured values."""
    name = getattr(corruption, "__name__", None)
    if isinstance(corruption, CustomCorruption):
        custom = register(corruption)
    elif callable(corruption) and name not in (None, "<lambda>"):
        custom = register(CustomCorruption(str(name), cast(Any, corruption)))
    else:
        raise StudyError(
            f"benchmark: corruptions: {'a lambda' if name else f'a {type(corruption).__name__}'} is not a corruption: "
            'expected a name, a list of names, a named function, or CustomCorruption("mine", function)'
        )
    subject = f"corruption {custom.name!r}"
    definition = identity_of({"version": version}) if version else code_hash(corruption, subject=subject)
    add_corruption(replace(corruption_info(custom.name), definition=definition))
    return custom


def _write_study(study: Study, import_paths: Mapping[str, str | None]) -> None:
    unnamed = {name for name in import_paths if not import_paths[name]}
    notes = [f"{spec.label}: {why_unnamed(_live(spec))}" for spec in study.models if spec.live is not None]
    notes += [f"{name}: a corruption in memory of the calling program" for name in import_paths if name in unnamed]
    claims = [claim for claim in study.claims if not unnamed & set(claim.all_corruptions)]
    notes += [f"claim: {claim.name or stored_form(claim)}" for claim in study.claims if claim not in claims]
    named = [import_paths.get(name, name) for name in study.corruptions.names]
    parts: dict[str, Any] = {
        "models": [spec for spec in study.models if spec.live is None],
        "evaluation": study.evaluation.model_copy(update={"workers": None}),
        "corruptions": study.corruptions.model_copy(update={"names": [name for name in named if name is not None]}),
        "claims": claims,
    }
    write_study_file(study.model_copy(update=parts), notes)


def why_unnamed(model: Model) -> str:
    """Why a study file cannot name a model, and how it could."""
    is_function = model.preprocessing == INSIDE_THE_FUNCTION
    kind = "function" if is_function else model.architecture.partition(":")[2]
    preprocessing = " with custom preprocessing" if model.preprocessing.function and not is_function else ""
    memory = f"a {kind} in memory of the calling program{preprocessing}"
    return f"{memory}; set Options(architecture=…) to the function that builds it"


def check_names(argument: str, names: Any) -> list[str] | None:
    """Names as a list; None without names.

    Raises:
        StudyError: `names` is not a sequence of names.
    """
    if names is None:
        return None
    listed = list(names) if isinstance(names, Sequence | np.ndarray) and not isinstance(names, str) else []
    if not listed or not all(isinstance(name, str) for name in listed):
        shown = repr(names) if isinstance(names, str) else f"a {type(names).__name__}"
        raise StudyError(f"benchmark: {argument} is {shown}: expected a list of names, in the order of their numbers")
    return [str(name) for name in listed]


def label_of(model: object) -> str:
    """The default label of a model: the name of its class or function."""
    original = unwrapped(model)
    return str(getattr(original, "__name__", type(original).__name__))


def _seed_in(label: str) -> int | None:
    """The training seed in a label such as "ResNet-18, seed 3"."""
    match = re.search(r", seed (0|[1-9][0-9]{0,8})$", label)
    return int(match[1]) if match else None


def _listed(values: Any) -> Any:
    """A sequence as a list; other values unchanged, to be refused by validation."""
    return list(values) if isinstance(values, Sequence | np.ndarray) and not isinstance(values, str) else values


def _given(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in keys.items() if value is not None}


def _argument_name(location: Location) -> str:
    """The argument of `failmodes.benchmark` for a key of the study."""
    if location[:1] == ("claims",):
        return dotted_key(location)
    names = [part for part in location if isinstance(part, str)]
    return ARGUMENTS.get(names[-1], names[-1]) if names else ""
