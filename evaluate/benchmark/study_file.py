"""The study file of a benchmark: what was run, so that `failmodes run` does it again as far as a file can say it."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w

from failmodes.evaluate.study.study_schema import ModelSpec, Study
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.storage.files import atomic_write_bytes
from failmodes.warehouse.storage.locations import STUDY_FILE

HEADER = "# Written by failmodes.benchmark: the next call with this folder writes it anew."


def check_study_file(folder: Path) -> None:
    """Refuse a folder whose study file a benchmark did not write, and would write over.

    Raises:
        StudyError: there is one.
    """
    path = folder / STUDY_FILE
    if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(HEADER):
        raise StudyError(
            f"{path} is a study of your own, and a benchmark would write over it: give another folder as to="
        )


def write_study_file(study: Study, notes: Sequence[str]) -> Path:
    """Write the study file of a benchmark into its output folder.

    Networks that former benchmarks of the same images and corruptions put there stay in it.

    Args:
        study: with those networks that a file can name.
        notes: what it cannot say, a line each.

    Returns:
        Path of the file.
    """
    path = study.output / STUDY_FILE
    content = _content(study)
    labels = {model["label"] for model in content["models"]}
    content["models"] = [model for model in _former_models(path, content) if model["label"] not in labels] + content[
        "models"
    ]
    lines = [HEADER]
    if notes:
        lines.append("# A study file cannot name these, so `failmodes run` does without them:")
        lines += [f"# - {note}" for note in notes]
    atomic_write_bytes(path, ("\n".join(lines) + "\n\n" + tomli_w.dumps(content)).encode())
    return path


def _content(study: Study) -> dict[str, Any]:
    """What differs from the defaults, paths relative to the output folder where they lie in it."""
    content = study.model_dump(mode="json", exclude_defaults=True, exclude={"output", "models"})
    content |= {"output": ".", "models": [_model(model, study.output) for model in study.models]}
    content["dataset"]["path"] = _relative(content["dataset"]["path"], study.output)
    content["corruptions"]["severities"] = [_number(level) for level in study.corruptions.severities]
    order = ("name", "output", "dataset", "corruptions", "evaluation", "models")
    return {key: content[key] for key in order if key in content}


def _model(model: ModelSpec, output: Path) -> dict[str, Any]:
    content = model.model_dump(mode="json", exclude_defaults=True)
    return content | {"checkpoint": _relative(content["checkpoint"], output)}


def _relative(path: str, folder: Path) -> str:
    return str(Path(path).relative_to(folder)) if Path(path).is_relative_to(folder) else path


def _number(level: Any) -> int | float:
    return int(level) if level == int(level) else float(level)


def _former_models(path: Path, content: dict[str, Any]) -> list[dict[str, Any]]:
    """The networks of a former benchmark that differs in its networks alone."""
    try:
        former = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    models: list[dict[str, Any]] = former.pop("models", [])
    return models if former == {key: value for key, value in content.items() if key != "models"} else []
