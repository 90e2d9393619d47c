"""Reading a study file, and templates to begin one with."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from failmodes.evaluate.study.study_schema import Study
from failmodes.ingest.specification import Location, StrictModel, dotted_key, validate
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.storage.files import as_store_path, is_url
from failmodes.warehouse.storage.locations import read_toml
from failmodes.warehouse.storage.regular_files import check_regular

TEMPLATES = Path(__file__).parent / "templates"
Part = TypeVar("Part", bound=StrictModel)


def read_study(path: Path, *, require_models: bool = True) -> Study:
    """Read and check a study file.

    Args:
        path: the file.
        require_models: whether the study must name models; one of imported predictions need not.

    Raises:
        StudyError: no such file, no TOML, an unknown key (with the nearest right one), a wrong value, or a file that
            the study names and that is not there.
        StorageError: `results` is a URL of no known protocol, or its driver is not installed.
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
    """Check the content of a study file, and make its paths absolute.

    Args:
        content: keys and tables, as TOML gives them.
        folder: what its paths are relative to; modules that it names are looked for there too.
        origin: where it comes from, for errors.
        require_models: whether it must name models.
        own_code: whether modules that it names as corruptions are imported; without, they are an error.
        describe_location: what a user calls the place of a key, for errors.

    Raises:
        StudyError, StorageError: as `read_study`.
    """
    if not own_code and (modules := own_modules(content)):
        raise StudyError(
            f"{origin} names code of its own ({modules[0]}), which is run only where the study file itself is named"
        )
    if own_code and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))  # so that a corruption `module:name` may lie beside the study
    study = validate(Study, dict(content), origin, describe_location)
    if require_models and not study.models:
        raise StudyError(
            f"{origin}: models: no model is named: add a [[models]] table, or bring predictions made elsewhere with "
            "`failmodes import`"
        )
    study = _anchored(study, folder)
    _check_encoding(study, origin)
    return study


def own_modules(content: Mapping[str, Any]) -> list[str]:
    """Import paths among the corruptions of a study that was not checked yet."""
    corruptions = content.get("corruptions")
    names = corruptions.get("names") if isinstance(corruptions, Mapping) else None
    several = names if isinstance(names, list) else [names]
    return [name for name in several if isinstance(name, str) and ":" in name]


def templates() -> dict[str, Path]:
    """Study files to start from, by name."""
    return {path.stem: path for path in sorted(TEMPLATES.glob("*.toml"))}


def _anchored(study: Study, folder: Path) -> Study:
    """Make paths absolute and check those that must exist."""
    models = [_with_absolute(model, "checkpoint", folder) for model in study.models]
    for model in models:
        try:
            if model.checkpoint is not None:
                check_regular(model.checkpoint)
        except FileNotFoundError as error:
            raise StudyError(f"model {model.label!r}: no checkpoint at {model.checkpoint}") from error
    results = study.results
    if results is not None:
        path = as_store_path(results, folder)  # a driver that is missing is an error here, not after the training
        results = results if is_url(results) else str(path)
    return study.model_copy(
        update={
            "output": folder / study.output,
            "results": results,
            "models": models,
            "dataset": _with_absolute(_with_absolute(study.dataset, "path", folder), "masks", folder),
            "corruptions": _with_absolute(study.corruptions, "published", folder),
        }
    )


def _check_encoding(study: Study, origin: str) -> None:
    """Refuse a folder that Arrow and DuckDB cannot write into: they take paths in UTF-8 alone."""
    for key, location in (("output", str(study.output)), ("results", study.results or "")):
        try:
            location.encode()
        except UnicodeEncodeError as error:
            raise StudyError(
                f"{origin}: {key}: the path {location!r} is not valid UTF-8: rename its folders, or name another"
            ) from error


def _with_absolute(part: Part, key: str, folder: Path) -> Part:
    """A part of a study with the path under `key`, where there is one, made absolute."""
    path: Path | None = getattr(part, key)
    return part if path is None else part.model_copy(update={key: folder / path})
