"""The corruptions of a study, and the validation of its parts by pydantic."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import Decimal
from numbers import Real
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    BaseModel,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from failmodes.ingest.axes import Axis, level_rows, parse_axis
from failmodes.ingest.corruptions.catalog import (
    SEVERITIES,
    STUDY_CORRUPTIONS,
    as_severity,
    corruption_info,
    corruptions_of_sets,
    find_corruption_name,
)
from failmodes.ingest.corruptions.custom import resolve_corruptions
from failmodes.ingest.study_types import (
    CorruptionSeeds,
    Flag,
    Name,
    StrictModel,
    UserPath,
    unique_values,
)
from failmodes.runtime.errors import StudyError, did_you_mean, shown, translated

Model = TypeVar("Model", bound=BaseModel)
MAX_SEVERITIES = 5000
MAX_KEY_LETTERS = 100  # that an error shows of a key
AxisText = Annotated[str, Field(max_length=20_000)]
Location = tuple[int | str, ...]  # of a key in nested tables, as pydantic gives it


class CorruptionSpec(StrictModel):
    """How a study corrupts images.

    Attributes:
        names: corruptions in the order of evaluation: published names or aliases, "headline" for the 15 of the
            headline metrics, "all" (the catalog, or with `published` whatever that dataset holds), and import paths
            (`module:name`) of users' own, which are registered.
        severities: levels above 0, up to 5; between whole numbers where the corruptions interpolate.
        axes: the values of all levels of a corruption, from the clean images to the most severe, as `parse_axis` reads
            them: `ε,/255,0..1..2..4..8,log`; severity 1 is the second value.
        recipe: which published parameters to generate with; default: those whose image size is the nearest.
        seeds: random seeds; each is a source of its own.
        noise: "shared": an image has the same random numbers at every severity; "independent": new ones at each.
        across_switches: cross-fade between the severities of corruptions that do not interpolate.
        published: folder of a published corrupted dataset to use instead of generating images, in the layout of
            CIFAR-10-C, ImageNet-C or another of `set_layouts`.
    """

    names: Annotated[list[Name], Field(min_length=1, max_length=1000)] = list(STUDY_CORRUPTIONS)
    severities: Annotated[list[Decimal], Field(min_length=1)] = [Decimal(s) for s in SEVERITIES]
    recipe: Literal["cifar-c", "imagenet-c"] | None = None
    seeds: CorruptionSeeds = [0]
    axes: Annotated[dict[Name, AxisText], Field(max_length=1000)] = {}
    noise: Literal["shared", "independent"] = "shared"
    across_switches: Flag = False
    published: UserPath | None = None
    _absent: frozenset[tuple[str, Decimal]] = PrivateAttr(frozenset())
    _takes_every: bool = PrivateAttr(False)

    @property
    def absent(self) -> frozenset[tuple[str, Decimal]]:
        """Corruptions and severities that `published` lacks and that are therefore not evaluated."""
        return self._absent

    @property
    def takes_every(self) -> bool:
        """Whether it evaluates whatever `published` holds, and lists what is incomplete instead of refusing it."""
        return self._takes_every

    def of_every_name(self, absent: frozenset[tuple[str, Decimal]]) -> "CorruptionSpec":
        """A copy that evaluates whatever `published` holds, except the absent corruptions and severities."""
        spec = self.model_copy()
        spec._absent = absent
        spec._takes_every = True
        return spec

    @field_validator("names")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        with _as_problem():
            return unique_values(resolve_corruptions(names), "corruption")

    @property
    def level_axes(self) -> list[Axis]:
        """The stated axes, by the names of the catalog."""
        return [parse_axis(find_corruption_name(name) or name, text) for name, text in self.axes.items()]

    def levels_of(self, source_id: str) -> list[dict[str, Any]]:
        """Rows of the dimension `levels` of the study's whole severities, for a source of its corrupted images."""
        severities = {0, *(int(severity) for severity in self.severities if severity == int(severity))}
        return [
            row
            for axis in self.level_axes
            for row in level_rows(source_id, axis, {axis.levels[rank]: rank for rank in sorted(severities)})
        ]

    @field_validator("severities", mode="before")
    @classmethod
    def _levels(cls, severities: object) -> object:
        if not isinstance(severities, list):
            return severities
        exact = exact_severities(severities)
        if Decimal(0) in exact:
            raise ValueError("severity 0 is clean and always evaluated: leave it out")
        return exact

    @field_validator("axes")
    @classmethod
    def _of_every_level(cls, axes: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        names, severities = info.data.get("names", []), info.data.get("severities", [])
        with _as_problem():
            for name, text in axes.items():
                axis = parse_axis(find_corruption_name(name) or name, text)
                if axis.corruption not in names:
                    raise ValueError(f"the study has no corruption {shown(name)}: {did_you_mean(name, names)}")
                if max(severities, default=0) > len(axis.levels) - 1:
                    raise ValueError(
                        f"axis of {shown(name)}: severity {max(severities).normalize():f} has no value: name every "
                        "level from severity 0 on, as in 100..50..30..15..10..5"
                    )
        return axes

    @model_validator(mode="after")
    def _obtainable(self) -> "CorruptionSpec":
        if self.published is not None:
            if self.seeds != [0]:
                raise ValueError("`seeds` are for generated corruptions: a published dataset has its own noise")
            return self
        for name in self.names:
            if name in corruptions_of_sets():
                raise ValueError(f"corruption {name!r} has no recipe: set `published` to a dataset that holds it")
        between = [severity for severity in self.severities if severity != int(severity)]
        switched = [name for name in self.names if not corruption_info(name).interpolable]
        if between and switched and not self.across_switches:
            reason = corruption_info(switched[0]).switch
            raise ValueError(
                f"severity {between[0].normalize()} is not defined for {switched[0]} ({reason}):"
                f" leave out {', '.join(switched)}, use whole severities, or set `across_switches = true` to cross-fade"
            )
        return self


def validate(
    model: type[Model], content: Any, origin: str, describe_location: "Callable[[Location], str] | None" = None
) -> Model:
    """Validate a part of a study.

    Args:
        model: its pydantic model.
        content: keys and tables.
        origin: the file or argument, for errors.
        describe_location: see `first_problem`.

    Raises:
        StudyError: the first problem, in one line.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise StudyError(f"{origin}: {first_problem(error, model, describe_location or dotted_key)}") from None


def dotted_key(location: Location) -> str:
    """A location as it is written in TOML, "models.0.label"; "study" for the whole file."""
    return ".".join(str(part)[:MAX_KEY_LETTERS] for part in location) or "study"


def first_problem(
    error: ValidationError, model: type[BaseModel], describe_location: Callable[[Location], str] = dotted_key
) -> str:
    """A validation error as one line: the first problem with its location, what was expected and given, how many more.

    Args:
        error: what pydantic raised.
        model: the validated model, whose keys are suggested for an unknown one.
        describe_location: the user's name for a location; if empty, the line begins with the problem.
    """
    problems = error.errors()
    problem = problems[0]
    location = describe_location(problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    message = f"{message[:1].lower()}{message[1:]}"
    if problem["type"] == "missing":
        message = "this key is missing"
    elif problem["type"] == "extra_forbidden":
        known = _known_keys(model, problem["loc"])
        hint = did_you_mean(str(problem["loc"][-1])[:MAX_KEY_LETTERS], known, f"known keys: {', '.join(known)}")
        message = f"unknown key; {hint}"
    elif not isinstance(problem["input"], dict | list):
        message += f" (given: {shown(problem['input'])})"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{location}: {message}{more}" if location else f"{message}{more}"


def exact_severities(severities: list[Any], most: int = SEVERITIES[-1]) -> list[Decimal]:
    """Severities of a file to thousandths, in their order, for a validator of pydantic's.

    Raises:
        ValueError: one is not a number from 0 to `most`, or occurs twice.
    """
    with _as_problem():
        return unique_values([as_severity(severity, most) for severity in _numbers(severities, most)], "severity")


def _known_keys(model: Any, location: Location) -> list[str]:
    """Keys of the table that contains `location`; of every form that it may have."""
    tables = [model]
    for part in location[:-1]:
        if isinstance(part, str):
            annotations = [table.model_fields[part].annotation for table in tables if part in table.model_fields]
            tables = [table for annotation in annotations for table in _tables_in(annotation)]
    return list(dict.fromkeys(key for table in tables for key in table.model_fields))


def _tables_in(annotation: Any) -> list[Any]:
    if hasattr(annotation, "model_fields"):
        return [annotation]
    return [table for part in get_args(annotation) for table in _tables_in(part)]


def _as_problem() -> AbstractContextManager[None]:
    """Turn a StudyError into a ValueError, whose location in the file pydantic adds."""
    return translated(StudyError, lambda error: ValueError(str(error)))


def _numbers(severities: list[Any], most: int) -> list[Any]:
    """The severities, if they are numbers and not too many."""
    if len(severities) > MAX_SEVERITIES:
        raise ValueError(f"{len(severities):,} severities are given: in thousandths there are {MAX_SEVERITIES:,}")
    for severity in severities:
        if isinstance(severity, bool) or not isinstance(severity, Real | Decimal):
            raise ValueError(f"severity {shown(severity)} is not a number: expected one above 0 and up to {most}")
    return severities
