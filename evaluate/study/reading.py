"""The study file: which data, which corruptions, which networks, where to put it. Read with pydantic, checked whole."""

import difflib
import sys
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from failmodes.evaluate.study.study_schema import Study
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.storage.files import as_store_path, is_url

TEMPLATES = Path(__file__).parent / "templates"


def read_study(path: Path, *, networks: bool = True) -> Study:
    """Read and check a study file.

    Args:
        path: the file.
        networks: whether the study must name networks; one of imported predictions need not.

    Raises:
        StudyError: no such file, no TOML, an unknown key (with the nearest right one), a wrong value, or a file that
            the study names and that is not there.
        StorageError: `record` is a URL of no known protocol, or its driver is not installed.
    """
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except FileNotFoundError as error:
        raise StudyError(f"no study file at {path}: write one with `failmodes init`") from error
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} is not a readable TOML file: {error}") from error
    folder = path.resolve().parent
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))  # so that a corruption `module:name` may lie beside the study
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise StudyError(f"{path}: {_first_problem(error, content)}") from error
    if networks and not study.models:
        raise StudyError(
            f"{path}: models: no network is named: add a [[models]] table, or bring predictions made elsewhere with "
            "`failmodes import`"
        )
    return _anchored(study, folder)


def templates() -> dict[str, Path]:
    """Study files to start from, by name."""
    return {path.stem: path for path in sorted(TEMPLATES.glob("*.toml"))}


def _anchored(study: Study, folder: Path) -> Study:
    """Make paths absolute and check those that must exist."""
    models = []
    for model in study.models:
        if model.checkpoint is not None:
            checkpoint = folder / model.checkpoint
            if not checkpoint.is_file():
                raise StudyError(f"model {model.label!r}: no checkpoint at {checkpoint}")
            model = model.model_copy(update={"checkpoint": checkpoint})
        models.append(model)
    dataset, corruptions = study.dataset, study.corruptions
    if dataset.path is not None:
        dataset = dataset.model_copy(update={"path": folder / dataset.path})
    if corruptions.published is not None:
        corruptions = corruptions.model_copy(update={"published": folder / corruptions.published})
    record = study.record
    if record is not None:
        place = as_store_path(record, folder)  # a driver that is missing is an error here, not after the training
        record = record if is_url(record) else str(place)
    return study.model_copy(
        update={
            "output": folder / study.output,
            "record": record,
            "models": models,
            "dataset": dataset,
            "corruptions": corruptions,
        }
    )


def _first_problem(error: ValidationError, content: dict[str, Any]) -> str:
    """The first problem in words: where, what was given, what was expected."""
    problems = error.errors()
    problem = problems[0]
    where = ".".join(str(part) for part in problem["loc"]) or "study"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if problem["type"] == "extra_forbidden":
        known = _known_keys(problem["loc"])
        key = str(problem["loc"][-1])
        nearest = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known keys: {', '.join(known)}"
        return f"{where}: unknown key; {hint}{more}"
    if problem["type"] == "missing":
        return f"{where}: this key is missing{more}"
    message = problem["msg"].removeprefix("Value error, ")
    given = "" if isinstance(problem["input"], dict | list) else f" (given: {problem['input']!r})"
    return f"{where}: {message[:1].lower()}{message[1:]}{given}{more}"


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    model: Any = Study
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        arguments = [a for a in getattr(annotation, "__args__", ()) if hasattr(a, "model_fields")]
        model = annotation if hasattr(annotation, "model_fields") else arguments[0]
    return list(model.model_fields)
