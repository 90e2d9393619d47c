"""The study file of a benchmark: what was run, so that `failmodes run` does it again as far as a file can say it."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from failmodes.evaluate.study.study_schema import ModelSpec, Study
from failmodes.ingest.statements import as_table
from failmodes.warehouse.errors import StorageError, StudyError
from failmodes.warehouse.storage.files import atomic_write_bytes
from failmodes.warehouse.storage.locations import MOST_STUDY_BYTES, STUDY_FILE, parse_toml
from failmodes.warehouse.storage.regular_files import read_regular

HEADER = "# Written by failmodes.benchmark: the next call with this folder writes it anew."
NOTES_HEADER, NOTE = "# A study file cannot name these, so `failmodes run` does without them:", "# - "


def check_study_file(folder: Path) -> None:
    """Refuse a folder whose study file a benchmark did not write, and would write over.

    Raises:
        StudyError: there is one.
    """
    path = folder / STUDY_FILE
    if path.exists() and not _former_text(path).startswith(HEADER):
        raise StudyError(
            f"{path} is a study of your own, and a benchmark would write over it: give another folder as to="
        )


def claims_of_folder(folder: Path) -> list[dict[str, Any]]:
    """The claims of the study file that a former benchmark wrote into a folder; none where there is no such file."""
    try:
        claims = parse_toml(_former_text(folder / STUDY_FILE)).get("claims", [])
    except ValueError:
        return []
    return [claim for claim in claims if isinstance(claim, dict)] if isinstance(claims, list) else []


def write_study_file(study: Study, notes: Sequence[str], subjects: Collection[str]) -> Path:
    """Write the study file of a benchmark into its output folder.

    Models that former benchmarks of the same images and corruptions put there stay in it, and so do their notes.

    Args:
        study: with those models that a file can name.
        notes: what it cannot say, a line each, which begins with a label or name and a colon.
        subjects: labels of all models and names of all own corruptions of this benchmark.

    Returns:
        Path of the file.
    """
    path = study.output / STUDY_FILE
    content = _content(study)
    models, kept = _of_former_benchmarks(_former_text(path), content, subjects)
    content["models"] = models + content["models"]
    lines = [*kept, *(NOTE + _one_line(note) for note in notes)]
    head = [HEADER, *([NOTES_HEADER, *lines] if lines else [])]
    atomic_write_bytes(path, ("\n".join(head) + "\n\n" + tomli_w.dumps(content)).encode())
    return path


def _one_line(text: str) -> str:
    """Text that stays within a comment's line."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _identifying(model: Mapping[str, Any]) -> dict[str, Any]:
    """A model without its label; the name of its file ends in a hash of its tensors."""
    return {**model, "label": None, "checkpoint": str(model.get("checkpoint")).rpartition("-")[2]}


def _content(study: Study) -> dict[str, Any]:
    """What differs from the defaults, paths relative to the output folder where they lie in it."""
    content = study.model_dump(mode="json", exclude_defaults=True, exclude={"output", "models", "claims"})
    content |= {"output": ".", "models": [_model(model, study.output) for model in study.models]}
    if study.claims:
        content["claims"] = [as_table(claim) for claim in study.claims]
    content["corruptions"] = {"names": study.corruptions.names} | content.get("corruptions", {})
    for key in content["dataset"].keys() & {"path", "masks"}:
        content["dataset"][key] = _relative(content["dataset"][key], study.output)
    content["corruptions"]["severities"] = [_number(level) for level in study.corruptions.severities]
    order = ("name", "output", "claims", "dataset", "corruptions", "evaluation", "models")
    return {key: content[key] for key in order if key in content}


def _model(model: ModelSpec, output: Path) -> dict[str, Any]:
    content = model.model_dump(mode="json", exclude_defaults=True)
    return content | {"checkpoint": _relative(content["checkpoint"], output)}


def _relative(path: str, folder: Path) -> str:
    return str(Path(path).relative_to(folder)) if Path(path).is_relative_to(folder) else path


def _number(level: Any) -> int | float:
    return int(level) if level == int(level) else float(level)


def _former_text(path: Path) -> str:
    try:
        return read_regular(path, MOST_STUDY_BYTES).decode(errors="replace")
    except (FileNotFoundError, StorageError):
        return ""


def _of_former_benchmarks(
    text: str, content: dict[str, Any], subjects: Collection[str]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Models and notes of a file that differs in its models alone, except those that this benchmark replaces."""
    try:
        former = parse_toml(text)
    except ValueError:
        return [], []
    models: list[dict[str, Any]] = former.pop("models", [])
    former.pop("claims", None)
    if former != {key: value for key, value in content.items() if key not in ("claims", "models")}:
        return [], []
    known = [_identifying(model) for model in content["models"]]
    others = [m for m in models if m.get("label") not in subjects and _identifying(m) not in known]
    replaced = tuple(f"{NOTE}{_one_line(subject)}: " for subject in subjects)
    return others, [line for line in text.splitlines() if line.startswith(NOTE) and not line.startswith(replaced)]
