"""Types of what a study says: whole numbers, rates, labels, paths, each with its bounds.

A study file may be a stranger's, and so may the arguments of a program that calls `failmodes.run`. Numbers are numbers,
never text or truth values; a bound is that of the record's column (`failmodes.warehouse.schema`) where it has one, else
so far beyond what is in use that nobody meets it by intention, and so near that memory and time bear it.
"""

import math
import unicodedata
from collections.abc import Hashable, Iterable
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue

from failmodes.warehouse.errors import StudyError, shown, spelt_out
from failmodes.warehouse.storage.files import is_url
from failmodes.warehouse.storage.locations import user_path

MAX_INT32, MAX_INT64 = 2**31 - 1, 2**63 - 1
LARGEST_SIDE_PX = 8192  # no published model takes more than 4,096; such an image has 0.2 GB, and 0.8 GB as float32
LEAST_STD = 1e-6  # of pixel values / 255, whose steps are 4e-3
MOST_OPTIONS, DEEPEST_OPTION = 10_000, 20
MOST_MODELS, MOST_SEEDS = 10_000, 10_000  # timm has some 1,700 checkpoints in all
MOST_HERE = 256  # processes on one machine: as many as its cores
_OVERRIDING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")  # turn the direction of what follows

Value = TypeVar("Value", bound=Hashable)


def first_duplicate(values: Iterable[Value]) -> Value | None:
    """The first value that has been there before; None where all differ."""
    seen: set[Value] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


def _whole_number(value: Any) -> Any:
    """NumPy's whole numbers, and numbers without a fraction such as TOML's 1e3, as Python's."""
    is_whole = isinstance(value, Integral) or (isinstance(value, float) and value.is_integer())
    return int(value) if is_whole and not isinstance(value, bool) else value


def _real_number(value: Any) -> Any:
    """NumPy's numbers as Python's; whole numbers that no float holds as infinite."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_INT64:
        return math.inf
    return float(value) if isinstance(value, Real) and not isinstance(value, int) else value


def _printable(text: str) -> str:
    for letter in text:
        if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(letter) in _OVERRIDING:
            raise ValueError(f"it must be printable, and holds {spelt_out(letter)}: leave that out")
    if all(unicodedata.category(letter)[0] in "ZC" for letter in text):
        raise ValueError("it is blank: give a name that can be read on a chart")
    return text


def unique_values(values: list[Value], subject: str) -> list[Value]:
    """The values as they are; a ValueError where one occurs twice."""
    twice = first_duplicate(values)
    if twice is not None:
        raise ValueError(f"{subject} {twice!r} is named twice")
    return values


def _not_tiny(std: float) -> float:
    if std < LEAST_STD:
        raise ValueError(f"a standard deviation of values / 255 is at least {LEAST_STD}")
    return std


def _path(value: Any) -> Any:
    if not isinstance(value, str | Path):
        return value
    try:
        return user_path(value)
    except StudyError as error:
        raise ValueError(str(error)) from error


def _folder_or_url(location: str) -> str:
    if "\0" in location:
        raise ValueError("it holds a null character")
    return location if is_url(location) else str(_path(location))


def _bounded_options(options: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Options whose numbers can be recorded and hashed, of a few thousand values."""
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
                raise ValueError(f"{shown(value)} is no finite number of 64 bits")
        level, count = inner, count + len(inner)
        if count > MOST_OPTIONS:
            raise ValueError(f"they hold more than {MOST_OPTIONS:,} values")
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
CorruptionSeeds = Annotated[list[CorruptionSeed], Field(min_length=1, max_length=MOST_SEEDS), UNIQUE_SEEDS]
TrainingSeed = Annotated[int, Field(strict=True, ge=0, le=MAX_INT32), WHOLE]  # models.training_seed
TrainingSeeds = Annotated[list[TrainingSeed], Field(min_length=1, max_length=MOST_SEEDS), UNIQUE_SEEDS]
Epochs = Annotated[int, Field(strict=True, ge=1, le=100_000), WHOLE]
# The largest batches in use, 32,768 and 65,536, are spread over hundreds of devices
BatchSize = Annotated[int, Field(strict=True, ge=1, le=1 << 16), WHOLE]
# Of our models: eight times the published width, 0.7 billion parameters
Width = Annotated[int, Field(strict=True, ge=8, le=512, multiple_of=8), WHOLE]
# A crop that is shifted by its image's whole side shows nothing of it
PaddingPx = Annotated[int, Field(strict=True, ge=0, le=256), WHOLE]
Processes = Annotated[int, Field(strict=True, ge=1, le=4096), WHOLE]  # of a cluster of Ray
Workers = Annotated[int, Field(strict=True, ge=0, le=MOST_HERE), WHOLE]
OutputIndex = Annotated[int, Field(strict=True, ge=0, le=1 << 20)]
# Learning rates and the like: the largest in use are some 30 (LARS, on batches of 32,768)
Rate = Annotated[float, Field(strict=True, gt=0, le=1e4, allow_inf_nan=False), REAL]
RateOrZero = Annotated[float, Field(strict=True, ge=0, le=1e4, allow_inf_nan=False), REAL]
PixelMean = Annotated[float, Field(strict=True, ge=-1e4, le=1e4, allow_inf_nan=False), REAL]
PixelStd = Annotated[Rate, AfterValidator(_not_tiny)]
# Names that a file or a library gave, such as a class's or a layer's: shown as they are, whatever they hold
Name = Annotated[str, Field(max_length=1000)]
UserPath = Annotated[Path, BeforeValidator(_path)]
FolderOrUrl = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_folder_or_url)]
Options = Annotated[dict[str, JsonValue], AfterValidator(_bounded_options)]
