"""The parts of a study about images and corruptions, validated by pydantic."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from numbers import Real
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator

from failmodes.ingest.corruptions.catalog import (
    SEVERITIES,
    STUDY_CORRUPTIONS,
    as_severity,
    corruption_info,
    corruptions_of_sets,
)
from failmodes.ingest.corruptions.custom import resolve_corruptions
from failmodes.ingest.datasets.layout import layouts
from failmodes.ingest.study_types import (
    PRINTABLE,
    ChannelValue,
    CorruptionSeeds,
    Count,
    Flag,
    Name,
    SidePx,
    UserPath,
    unique_values,
)
from failmodes.runtime.errors import StudyError, did_you_mean, shown

Split = Literal["train", "test"]
Model = TypeVar("Model", bound=BaseModel)
MOST_SEVERITIES = 5000
MOST_KEY_LETTERS = 100  # that an error shows of a key
Location = tuple[int | str, ...]  # of a key in nested tables, as pydantic gives it


class StrictModel(BaseModel):
    """A part of a study: frozen; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetSpec(StrictModel):
    """A dataset of a study.

    Attributes:
        kind: its layout: digits (embedded), cifar10, cifar100, a folder of labeled images, arrays (images.npy,
            labels.npy), or one that a module of `ingest/datasets/layouts` adds.
        path: the folder that holds it; not for digits.
        split: the part to evaluate.
        images: how many of its images, balanced over classes; default: all.
        image_size: side of the square that a folder's images are cropped to, pixels.
        resize: length of their shorter side before the crop, pixels; default: image_size.
        background: red, green and blue, 0 to 255, that a folder's transparent images are composited on; default:
            white.
        gray: its images are gray and stay gray when corrupted: the three channels stay equal; not for CIFAR.
        masks: object masks: a folder of images under the names of a folder's images, or the .npy (N, H, W) of arrays.
        label: its name on charts, instead of the built-in one.
    """

    kind: Name
    path: UserPath | None = None
    split: Split = "test"
    images: Count | None = None
    image_size: SidePx | None = None
    resize: SidePx | None = None
    background: Annotated[list[ChannelValue], Field(min_length=3, max_length=3)] | None = None
    gray: Flag = False
    masks: UserPath | None = None
    label: Annotated[str, Field(min_length=1, max_length=200), PRINTABLE] | None = None

    @field_validator("kind")
    @classmethod
    def _known_kind(cls, kind: str) -> str:
        if kind not in layouts():
            raise ValueError(f"unknown kind: {did_you_mean(kind, layouts())}")
        return kind

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "DatasetSpec":
        known = layouts()[self.kind]
        if known.expected is None and self.path is not None:
            raise ValueError(f"kind {self.kind!r} comes with its images: leave out `path`")
        if known.expected is not None and self.path is None:
            raise ValueError(f"kind {self.kind!r} needs `path`, the folder that holds it")
        for key in ("image_size", "background", "gray", "masks"):
            if getattr(self, key) and key not in known.takes:
                kinds = " or ".join(repr(one.kind) for one in layouts().values() if key in one.takes)
                raise ValueError(f"`{key}` is for kind {kinds}: leave it out with {self.kind!r}")
        if self.resize is not None and not self.image_size:
            raise ValueError("`resize` goes with `image_size`, the side to crop to, such as resize 256, image_size 224")
        if self.resize is not None and self.image_size and self.resize < self.image_size:
            raise ValueError(
                f"`resize` {self.resize} is less than `image_size` {self.image_size}: it must be at least that"
            )
        return self


class ShiftSpec(DatasetSpec):
    """A natural shift: other images of the dataset's classes, evaluated beside its clean ones.

    Its keys are those of a dataset. `image_size`, `resize` and `background` are by default those of the dataset.

    Attributes:
        masks: not for a shift.
        label: required: its name on charts, in claims and in rules.
    """

    @model_validator(mode="after")
    def _has_a_label(self) -> "ShiftSpec":
        if self.label is None:
            raise ValueError("a shift needs a `label`, its name on charts")
        return self

    @field_validator("masks")
    @classmethod
    def _no_masks(cls, masks: Any) -> None:
        if masks is not None:
            raise ValueError("a shift has no masks: leave them out")

    def beside(self, dataset: DatasetSpec) -> DatasetSpec:
        """The specification of its images beside a dataset."""
        takes = layouts()[self.kind].takes
        taken: dict[str, Any] = {}
        if self.image_size is None and dataset.image_size is not None and "image_size" in takes:
            taken |= {"image_size": dataset.image_size, "resize": dataset.resize}
        if self.background is None and "background" in takes:
            taken["background"] = dataset.background
        if not self.gray and "gray" in takes:
            taken["gray"] = dataset.gray
        return self.model_copy(update=taken)


class CorruptionSpec(StrictModel):
    """How a study corrupts images.

    Attributes:
        names: corruptions in the order of evaluation: published names or aliases, "headline" for the 15 of the
            headline metrics, "all" (the catalog, or with `published` whatever that dataset holds), and import paths
            (`module:name`) of users' own, which are registered.
        severities: levels above 0, up to 5; between whole numbers where the corruptions interpolate.
        recipe: which published parameters to generate with.
        seeds: random seeds; each is a source of its own.
        noise: "shared": an image has the same random numbers at every severity; "independent": new ones at each.
        across_switches: cross-fade between the severities of corruptions that do not interpolate.
        published: folder of a published corrupted dataset to use instead of generating images, in the layout of
            CIFAR-10-C, ImageNet-C or another of `set_layouts`.
    """

    names: Annotated[list[Name], Field(min_length=1, max_length=1000)] = list(STUDY_CORRUPTIONS)
    severities: Annotated[list[Decimal], Field(min_length=1)] = [Decimal(s) for s in SEVERITIES]
    recipe: Literal["cifar-c", "imagenet-c"] = "cifar-c"
    seeds: CorruptionSeeds = [0]
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
        spec._absent, spec._takes_every = absent, True
        return spec

    @field_validator("names")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        with _as_problem():
            return unique_values(resolve_corruptions(names), "corruption")

    @field_validator("severities", mode="before")
    @classmethod
    def _levels(cls, severities: object) -> object:
        if not isinstance(severities, list):
            return severities
        exact = exact_severities(severities)
        if Decimal(0) in exact:
            raise ValueError("severity 0 is clean and always evaluated: leave it out")
        return exact

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
        raise StudyError(f"{origin}: {first_problem(error, model, describe_location or dotted_key)}") from error


def dotted_key(location: Location) -> str:
    """A location as it is written in TOML, "models.0.label"; "study" for the whole file."""
    return ".".join(str(part)[:MOST_KEY_LETTERS] for part in location) or "study"


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
        hint = did_you_mean(str(problem["loc"][-1])[:MOST_KEY_LETTERS], known, f"known keys: {', '.join(known)}")
        message = f"unknown key; {hint}"
    elif not isinstance(problem["input"], dict | list):
        message += f" (given: {shown(problem['input'])})"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{location}: {message}{more}" if location else f"{message}{more}"


def exact_severities(severities: list[Any]) -> list[Decimal]:
    """Severities of a file to thousandths, in their order, for a validator of pydantic's.

    Raises:
        ValueError: one is not a number from 0 to 5, or occurs twice.
    """
    with _as_problem():
        return unique_values([as_severity(severity) for severity in _numbers(severities)], "severity")


def _known_keys(model: Any, location: Location) -> list[str]:
    """Keys of the table that contains `location`."""
    for part in location[:-1]:
        if isinstance(part, str):
            annotation = model.model_fields[part].annotation
            tables = [a for a in getattr(annotation, "__args__", ()) if hasattr(a, "model_fields")]
            model = annotation if hasattr(annotation, "model_fields") else tables[0]
    return list(model.model_fields)


@contextmanager
def _as_problem() -> Iterator[None]:
    """Turn a StudyError into a ValueError, whose location in the file pydantic adds."""
    try:
        yield
    except StudyError as error:
        raise ValueError(str(error)) from error


def _numbers(severities: list[Any]) -> list[Any]:
    """The severities, if they are numbers and not too many."""
    if len(severities) > MOST_SEVERITIES:
        raise ValueError(f"{len(severities):,} severities are given: in thousandths there are {MOST_SEVERITIES:,}")
    for severity in severities:
        if isinstance(severity, bool) or not isinstance(severity, Real | Decimal):
            raise ValueError(f"severity {shown(severity)} is not a number: expected one above 0 and up to 5")
    return severities
