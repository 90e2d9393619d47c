"""Study files: reading, validation, writing by a benchmark, and templates."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from failmodes.evaluate.study.study_schema import ModelSpec, Study
from failmodes.ingest.corrupted_datasets.corrupted_dataset import SetContents, recognize_layout
from failmodes.ingest.corruptions.catalog import add_corruption_of_set, name_in_set
from failmodes.ingest.datasets.layout import DatasetSpec, open_dataset
from failmodes.ingest.specification import Location, dotted_key, validate
from failmodes.ingest.statements import as_table
from failmodes.ingest.study_types import StrictModel
from failmodes.runtime.errors import DataError, FailmodesError, StorageError, StudyError
from failmodes.runtime.storage.files import as_store_path, atomic_write_bytes, check_regular, is_url, read_regular
from failmodes.runtime.storage.locations import MAX_STUDY_BYTES, STUDY_FILE, parse_toml, read_toml, user_path

TEMPLATES = Path(__file__).parent / "templates"
HEADER = "# Written by failmodes.benchmark: the next call with this folder overwrites it."
NOTES_HEADER, NOTE = "# A study file cannot name these, so `failmodes run` skips them:", "# - "
_PATHS_OF_IMAGES = ("path", "masks", "image_list")
Part = TypeVar("Part", bound=StrictModel)
Images = TypeVar("Images", bound=DatasetSpec)


def read_study(path: Path, *, require_models: bool = True) -> Study:
    """Read and validate a study file.

    Args:
        path: the file.
        require_models: refuse a study without models; a study of imported predictions has none.

    Raises:
        StudyError: the file is missing or not TOML, a key is unknown (with the nearest valid key), a value is invalid,
            or a file named in the study is missing.
        StorageError: `results` is a URL with an unknown protocol, or its driver is not installed.
    """
    return check_study(read_toml(path), path.resolve().parent, str(path), require_models=require_models)


def check_study(
    content: Mapping[str, Any],
    folder: Path,
    origin: str = "study",
    *,
    require_models: bool = True,
    own_code: bool = True,
    describe_location: Callable[[Location], str] = dotted_key,
) -> Study:
    """Validate the content of a study file, and make its paths absolute.

    Args:
        content: keys and tables, as read from TOML.
        folder: folder of relative paths, also searched for modules.
        origin: source of the content, for errors.
        require_models: refuse a study without models.
        own_code: import modules of custom corruptions; if False, they are an error.
        describe_location: name of a key's location in errors.

    Raises:
        StudyError, StorageError: as `read_study`.
    """
    if not own_code and (modules := own_modules(content)):
        raise StudyError(f"{origin} uses custom code ({modules[0]}), which runs only if the study file itself is given")
    if own_code and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))  # so that a corruption `module:name` may be in a file beside the study
    content, contents = _with_names_of_set(content, folder, origin)
    study = validate(Study, content, origin, describe_location)
    if contents is not None:
        absent = contents.absent(study.corruptions.severities)
        study = study.model_copy(update={"corruptions": study.corruptions.of_every_name(absent)})
    if require_models and not study.models:
        raise StudyError(
            f"{origin}: models: the study has no models: add a [[models]] table, or import predictions with "
            "`failmodes import`"
        )
    study = _anchored(study, folder)
    _check_encoding(study, origin)
    return study


def _with_names_of_set(
    content: Mapping[str, Any], folder: Path, origin: str
) -> tuple[dict[str, Any], SetContents | None]:
    """The content with the names and severities of a published dataset where it asks for all, and what that holds.

    The names of the dataset become known in either case. A dataset that cannot be read is an error only when its
    images are needed: charts and reports do without.

    Raises:
        StudyError: all names of a damaged dataset are asked for, or it holds none that can be read.
    """
    table = content.get("corruptions")
    part = dict(table) if isinstance(table, Mapping) else {}
    if not isinstance(part.get("published"), str | Path):
        return dict(content), None
    several = part["names"] if isinstance(part.get("names"), list) else []
    try:
        path = folder / user_path(part["published"])
        contents = recognize_layout(path, partial(_clean_count, content, folder))[1]
        if "all" in several and not contents.severities:
            raise DataError(f"{path} holds no corruption that can be read: {contents.first_problem}")
    except (StudyError, DataError) as error:
        if "all" in several and isinstance(error, DataError):
            raise StudyError(f"{origin}: corruptions.published: {error}") from error
        for name in several:
            if isinstance(name, str) and name_in_set(name) == name:
                add_corruption_of_set(name)
        return dict(content), None
    if "all" not in several:
        return dict(content), None
    part["names"] = [*contents.severities, *(n for n in several if n != "all" and n not in contents.severities)]
    part.setdefault("severities", [float(severity) for severity in contents.every_severity])
    return {**content, "corruptions": part}, contents


def _clean_count(content: Mapping[str, Any], folder: Path) -> int | None:
    """Number of images of an unvalidated study's dataset; None if it cannot be opened."""
    try:
        dataset = _with_absolute(validate(DatasetSpec, content.get("dataset"), "dataset"), "path", folder)
        return len(
            open_dataset(dataset.model_copy(update={"masks": None}), folder / str(content["output"]) / "cache").labels
        )
    except (FailmodesError, KeyError):
        return None


def own_modules(content: Mapping[str, Any]) -> list[str]:
    """Import paths among the corruptions of an unvalidated study."""
    corruptions = content.get("corruptions")
    names = corruptions.get("names") if isinstance(corruptions, Mapping) else None
    several = names if isinstance(names, list) else [names]
    return [name for name in several if isinstance(name, str) and ":" in name]


def templates() -> dict[str, Path]:
    """Study files to start from, by name."""
    return {path.stem: path for path in sorted(TEMPLATES.glob("*.toml"))}


def check_study_file(folder: Path) -> None:
    """Refuse a folder with a study file that no benchmark wrote.

    Raises:
        StudyError: there is such a file.
    """
    path = folder / STUDY_FILE
    if path.exists() and not _earlier_text(path).startswith(HEADER):
        raise StudyError(
            f"{path} was not written by a benchmark, which would overwrite it: choose another folder as to="
        )


def claims_of_folder(folder: Path) -> list[dict[str, Any]]:
    """The claims in the study file of an earlier benchmark; empty without such a file."""
    try:
        claims = parse_toml(_earlier_text(folder / STUDY_FILE)).get("claims", [])
    except ValueError:
        return []
    return [claim for claim in claims if isinstance(claim, dict)] if isinstance(claims, list) else []


def write_study_file(study: Study, notes: Sequence[str]) -> Path:
    """Write the study file of a benchmark into its output folder.

    Args:
        study: the study, with the models that a file can name.
        notes: what the file cannot name, one line each.

    Returns:
        Path of the file.
    """
    import tomli_w  # of the extra `evaluate`

    path = study.output / STUDY_FILE
    head = [HEADER, *([NOTES_HEADER] if notes else []), *(NOTE + _one_line(note) for note in notes)]
    atomic_write_bytes(path, ("\n".join(head) + "\n\n" + tomli_w.dumps(_content(study))).encode())
    return path


def _anchored(study: Study, folder: Path) -> Study:
    """Make paths absolute and check that checkpoints exist."""
    models = [_with_absolute(model, "checkpoint", folder).with_folder(folder) for model in study.models]
    for model in models:
        try:
            if model.checkpoint is not None:
                check_regular(model.checkpoint)
        except FileNotFoundError as error:
            raise StudyError(
                f"model {model.label!r}: no checkpoint at {model.checkpoint}: set `checkpoint` to its file, or a "
                "[models.training] table instead to train the model"
            ) from error
    results = study.results
    if results is not None:
        path = as_store_path(results, folder)  # a missing driver is an error now, not after the training
        results = results if is_url(results) else str(path)
    return study.model_copy(
        update={
            "output": folder / study.output,
            "results": results,
            "models": models,
            "dataset": _anchored_dataset(study.dataset, folder),
            "corruptions": _with_absolute(study.corruptions, "published", folder),
            "shifts": [_anchored_dataset(shift, folder) for shift in study.shifts],
        }
    )


def _anchored_dataset(spec: Images, folder: Path) -> Images:
    """A dataset or shift with absolute paths."""
    for key in _PATHS_OF_IMAGES:
        spec = _with_absolute(spec, key, folder)
    if spec.metadata is None:
        return spec
    return spec.model_copy(update={"metadata": _with_absolute(spec.metadata, "path", folder)})


def _check_encoding(study: Study, origin: str) -> None:
    """Refuse a folder that Arrow and DuckDB cannot write to: they accept only UTF-8 paths."""
    for key, location in (("output", str(study.output)), ("results", study.results or "")):
        try:
            location.encode()
        except UnicodeEncodeError as error:
            raise StudyError(
                f"{origin}: {key}: the path {location!r} is not valid UTF-8: rename its folders or choose another"
            ) from error


def _with_absolute(part: Part, key: str, folder: Path) -> Part:
    """A part of a study with the path in `key`, if any, made absolute."""
    path: Path | None = getattr(part, key)
    return part if path is None else part.model_copy(update={key: folder / path})


def _one_line(text: str) -> str:
    """Text without line breaks or other control characters, for a comment."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _content(study: Study) -> dict[str, Any]:
    """The keys that differ from their defaults; paths inside the output folder are relative."""
    content = study.model_dump(mode="json", exclude_defaults=True, exclude={"output", "models", "claims"})
    content |= {"output": ".", "models": [_model(model, study.output) for model in study.models]}
    if study.claims:
        content["claims"] = [as_table(claim) for claim in study.claims]
    content["corruptions"] = {"names": study.corruptions.names} | content.get("corruptions", {})
    for dataset in (content["dataset"], *content.get("shifts", ())):
        for part in (dataset, dataset.get("metadata", {})):
            for key in part.keys() & set(_PATHS_OF_IMAGES):
                part[key] = _relative(part[key], study.output)
    content["corruptions"]["severities"] = [_number(level) for level in study.corruptions.severities]
    order = ("name", "output", "baseline", "claims", "dataset", "corruptions", "shifts", "evaluation", "models")
    return {key: content[key] for key in order if key in content}


def _model(model: ModelSpec, output: Path) -> dict[str, Any]:
    content = model.model_dump(mode="json", exclude_defaults=True)
    return content | ({"checkpoint": _relative(content["checkpoint"], output)} if "checkpoint" in content else {})


def _relative(path: str, folder: Path) -> str:
    return str(Path(path).relative_to(folder)) if Path(path).is_relative_to(folder) else path


def _number(level: Any) -> int | float:
    return int(level) if level == int(level) else float(level)


def _earlier_text(path: Path) -> str:
    try:
        return read_regular(path, MAX_STUDY_BYTES).decode(errors="replace")
    except (FileNotFoundError, StorageError):
        return ""
