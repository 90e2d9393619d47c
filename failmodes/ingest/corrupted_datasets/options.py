"""What a written set is to be: options of the command line, checked as a study's are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from failmodes.ingest.corrupted_datasets.file_names import CIFAR_C, IMAGENET_C, JPEG, NPY, severity_folder
from failmodes.ingest.corruptions.catalog import CORRUPTIONS, SEVERITIES, as_severity
from failmodes.ingest.corruptions.kernels.frost import frost_folder
from failmodes.ingest.specification import CorruptionSpec, Location, first_problem
from failmodes.warehouse.errors import DataError, StudyError

SpecModel = TypeVar("SpecModel", bound=BaseModel)
OPTIONS = {"kind": "KIND", "names": "--corruption", "severities": "--severity", "seeds": "--seed"}  # others: as the key


@dataclass(frozen=True)
class SetOptions:
    """A set to write.

    Attributes:
        layout: cifar-c or imagenet-c.
        encoding: npy, jpeg or png.
        corruptions: which, at which severities (rising), by which recipe, seed and sampling.
        left_out: where none is requested, those that cannot be made, each with the reason.
    """

    layout: str
    encoding: str
    corruptions: CorruptionSpec
    left_out: dict[str, str]


def parse_options(
    kind: str,
    *,
    layout: str | None,
    encoding: str | None,
    corruptions: Sequence[str],
    severities: Sequence[str],
    recipe: str | None,
    seed: int,
    noise: str,
    across_switches: bool,
) -> SetOptions:
    """Check options and fill in those that are not given, for a data set of this kind.

    Raises:
        StudyError: one is not what it should be, or the layout cannot hold what is requested.
    """
    default = IMAGENET_C if kind == "folder" else CIFAR_C
    layout = layout or default
    levels = sorted(map(_level, severities)) or [Decimal(severity) for severity in SEVERITIES]
    if layout == CIFAR_C and levels != list(SEVERITIES):
        wrong = next((level for level in levels if level not in SEVERITIES), None)
        problem = f"not {severity_folder(wrong)}" if wrong is not None else "each once"
        raise StudyError(
            f"--severity: the {CIFAR_C} layout holds the whole severities 1 to 5, all five, {problem};"
            f" --layout {IMAGENET_C} has a folder a severity, such as fog/2.5/, and takes any"
        )
    if layout == CIFAR_C and encoding is not None:
        raise StudyError(f"--format is for --layout {IMAGENET_C}: {CIFAR_C} is arrays of unpacked pixels")
    left_out = {} if corruptions else _cannot_be_made(levels, across_switches)
    spec = validate(
        CorruptionSpec,
        names=list(corruptions) or [name for name in CORRUPTIONS if name not in left_out],
        severities=levels,
        recipe=recipe or default,
        seeds=[seed],
        noise=noise,
        across_switches=across_switches,
    )
    return SetOptions(layout, encoding or (NPY if layout == CIFAR_C else JPEG), spec, left_out)


def validate(model: type[SpecModel], **values: Any) -> SpecModel:
    """A specification made from options; what is wrong with it is one line that names the option.

    Raises:
        StudyError: a value is wrong.
    """
    try:
        return model(**values)
    except ValidationError as error:
        message = first_problem(error, model, _option_at)
        raise StudyError(re.sub(r"`(\w+)( = true)?`", lambda key: _option_at((key[1],)), message)) from error


def _option_at(location: Location) -> str:
    key = str(location[0]) if location else ""
    return OPTIONS.get(key, f"--{key.replace('_', '-')}") if key else ""


def _level(text: str) -> Decimal:
    try:
        return as_severity(Decimal(text))
    except InvalidOperation as error:
        raise StudyError(f"--severity {text!r} is no number: expected one above 0 and up to 5") from error


def _cannot_be_made(levels: list[Decimal], across_switches: bool) -> dict[str, str]:
    """Published corruptions that cannot be made here and now, each with the reason."""
    reasons: dict[str, str] = {}
    if any(level != int(level) for level in levels) and not across_switches:
        reasons |= {c.name: f"not between severities: {c.switch}" for c in CORRUPTIONS.values() if not c.interpolable}
    try:
        frost_folder()
    except DataError as error:
        reasons["frost"] = str(error)
    return reasons
