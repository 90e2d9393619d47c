"""Types of study values: whole numbers, rates, labels, paths, each with its bounds.

A study file is untrusted input, and so are the arguments of `failmodes.run`. Numbers are never strings or booleans. A
bound is that of the value's column (`failmodes.warehouse.schema`) if it has one; else it is far beyond values in use,
and low enough for memory and run time.
"""

import math
import unicodedata
from collections.abc import Hashable, Iterable
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from failmodes.runtime.errors import StudyError, shown, spelt_out
from failmodes.runtime.storage.files import is_url
from failmodes.runtime.storage.locations import user_path

MAX_INT32, MAX_INT64 = 2**31 - 1, 2**63 - 1
LARGEST_SIDE_PX = 8192  # no published model takes more than 4,096; such an image has 0.2 GB, and 0.8 GB as float32
MIN_STD = 1e-6  # of pixel values / 255, whose steps are 4e-3
MAX_OPTIONS, DEEPEST_OPTION = 10_000, 20
MAX_MODELS, MAX_SEEDS = 10_000, 10_000  # timm has some 1,700 checkpoints in all
MAX_HERE = 256  # processes on one machine: as many as its cores
_OVERRIDING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")  # turn the direction of what follows

Value = TypeVar("Value", bound=Hashable)


class StrictModel(BaseModel):
    """A part of a study: frozen; unknown keys are errors."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)


def first_duplicate(values: Iterable[Value]) -> Value | None:
    """The first value that occurs a second time; None if all differ."""
    seen: set[Value] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


def _whole_number(value: Any) -> Any:
    """Convert NumPy's whole numbers, and floats without a fraction such as TOML's 1e3, to int."""
    is_whole = isinstance(value, Integral) or (isinstance(value, float) and value.is_integer())
    return int(value) if is_whole and not isinstance(value, bool) else value


def _real_number(value: Any) -> Any:
    """Convert NumPy's numbers to float; whole numbers beyond 64 bits become infinite."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_INT64:
        return math.inf
    return float(value) if isinstance(value, Real) and not isinstance(value, int) else value


def _printable(text: str) -> str:
    for letter in text:
        if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(letter) in _OVERRIDING:
            raise ValueError(f"it must be printable, but contains {spelt_out(letter)}: remove that")
    if all(unicodedata.category(letter)[0] in "ZC" for letter in text):
        raise ValueError("it is blank: expected a name that a chart can show")
    return text


def unique_values(values: list[Value], subject: str) -> list[Value]:
    """The values as they are; a ValueError where one occurs twice."""
    twice = first_duplicate(values)
    if twice is not None:
        raise ValueError(f"{subject} {twice!r} is named twice")
    return values


def _path(value: Any) -> Any:
    if not isinstance(value, str | Path):
        return value
    try:
        return user_path(value)
    except StudyError as error:
        raise ValueError(str(error)) from error


def _folder_or_url(location: str) -> str:
    if "\0" in location:
        raise ValueError("it contains a null character")
    return location if is_url(location) else str(_path(location))


def _bounded_options(options: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Check that options have a few thousand values whose numbers can be stored and hashed."""
    level: list[Any] = [options]
    count = 0
    for _ in range(DEEPEST_OPTION):
        inner: list[Any] = []
        for value in level:
            inner += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
            if (
                isinstance(value, int)
                and abs(value) > MAX_INT64
                or isinstance(value, float)
                and not math.isfinite(value)
            ):
                raise ValueError(f"{shown(value)} is not a finite number of 64 bits")
        level, count = inner, count + len(inner)
        if count > MAX_OPTIONS:
            raise ValueError(f"they have more than {MAX_OPTIONS:,} values")
        if not level:
            return options
    raise ValueError(f"they are nested more than {DEEPEST_OPTION} deep")


UNIQUE_SEEDS = AfterValidator(partial(unique_values, subject="seed"))
WHOLE, REAL, PRINTABLE = BeforeValidator(_whole_number), BeforeValidator(_real_number), AfterValidator(_printable)

Flag = Annotated[bool, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=1, le=MAX_INT32), WHOLE]  # of images: image_id has 32 bits
SidePx = Annotated[int, Field(strict=True, ge=8, le=LARGEST_SIDE_PX), WHOLE]
ChannelValue = Annotated[int, Field(strict=True, ge=0, le=255), WHOLE]
CorruptionSeed = Annotated[int, Field(strict=True, ge=0, le=MAX_INT64), WHOLE]  # sources.seed
CorruptionSeeds = Annotated[list[CorruptionSeed], Field(min_length=1, max_length=MAX_SEEDS), UNIQUE_SEEDS]
TrainingSeed = Annotated[int, Field(strict=True, ge=0, le=MAX_INT32), WHOLE]  # models.training_seed
TrainingSeeds = Annotated[list[TrainingSeed], Field(min_length=1, max_length=MAX_SEEDS), UNIQUE_SEEDS]
Epochs = Annotated[int, Field(strict=True, ge=1, le=100_000), WHOLE]
# The largest batches in use, 32,768 and 65,536, are spread over hundreds of devices
BatchSize = Annotated[int, Field(strict=True, ge=1, le=1 << 16), WHOLE]
# Of our models: eight times the published width, 0.7 billion parameters
Width = Annotated[int, Field(strict=True, ge=8, le=512, multiple_of=8), WHOLE]
# A crop shifted by the whole side of its image shows nothing of it
PaddingPx = Annotated[int, Field(strict=True, ge=0, le=256), WHOLE]
Processes = Annotated[int, Field(strict=True, ge=1, le=4096), WHOLE]  # of a cluster of Ray
Workers = Annotated[int, Field(strict=True, ge=0, le=MAX_HERE), WHOLE]
OutputIndex = Annotated[int, Field(strict=True, ge=0, le=1 << 20)]
# Learning rates and the like: the largest in use are some 30 (LARS, on batches of 32,768)
Rate = Annotated[float, Field(strict=True, gt=0, le=1e4, allow_inf_nan=False), REAL]
RateOrZero = Annotated[float, Field(strict=True, ge=0, le=1e4, allow_inf_nan=False), REAL]
PixelMean = Annotated[float, Field(strict=True, ge=-1e4, le=1e4, allow_inf_nan=False), REAL]
PixelStd = Annotated[float, Field(strict=True, ge=MIN_STD, le=1e4, allow_inf_nan=False), REAL]
# Names that a file or a library gave, such as a class's or a layer's: shown unchanged
Name = Annotated[str, Field(max_length=1000)]
UserPath = Annotated[Path, BeforeValidator(_path)]
FolderOrUrl = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_folder_or_url)]
Options = Annotated[dict[str, JsonValue], AfterValidator(_bounded_options)]
