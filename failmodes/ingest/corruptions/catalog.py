"""All corruptions by name: those defined in `kernels/`, and users' own.

Names, order and groups: Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019. The recipes are those of its public generator: `make_cifar_c.py` (images of 32×32 pixels) and
`make_imagenet_c.py` (224×224). At other sizes lengths stay in pixels, as in the published code; quantities that it
relates to the image's side scale with the side.
"""

import math
import re
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import TYPE_CHECKING

from failmodes.ingest.corruptions.corruption import RECIPES, Corruption, Recipe, default_label, defined
from failmodes.ingest.corruptions.pixels import Images, Parameters
from failmodes.runtime.errors import StudyError, did_you_mean
from failmodes.runtime.packages import import_modules
from failmodes.warehouse.schema import OTHER_GROUP

if TYPE_CHECKING:
    import polars as pl

Severity = int | float | Decimal
THOUSANDTH = Decimal("0.001")
SEVERITIES = (1, 2, 3, 4, 5)
FIRST_CUSTOM_ORDER = 100  # after all published ones
OTHER_ORDER = 2000  # of corruptions that only published datasets hold: by name
SET_NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,59}")
RESERVED_NAMES = ("none", "clean", "all", "headline")  # that have another meaning in studies and results


import_modules("failmodes.ingest.corruptions.kernels")
CORRUPTIONS: dict[str, Corruption] = defined()

ALIASES = {"frosted_glass_blur": "glass_blur", "elastic": "elastic_transform"}  # in published datasets
STUDY_CORRUPTIONS = ("contrast", "fog", "motion_blur", "gaussian_noise", "jpeg_compression", "brightness")
_registered: dict[str, Corruption] = {}
_of_sets: dict[str, Corruption] = {}


def registered() -> dict[str, Corruption]:
    """Users' own corruptions that were registered in this process, by name."""
    return dict(_registered)


def add_corruption(corruption: Corruption) -> None:
    """Register a user's own corruption in this process, replacing one of the same name."""
    _registered[corruption.name] = corruption


def corruptions() -> "pl.DataFrame":
    """All corruptions: the 19 published ones, and users' own registered in this process.

    Example:
        >>> failmodes.corruptions().filter(pl.col("corruption_group") == "weather")["corruption"].to_list()
        ['snow', 'frost', 'fog', 'brightness', 'spatter']

    Returns:
        One row per corruption, in order of publication: its name (`corruption`), its name on charts
        (`corruption_label`), `corruption_group` (noise, blur, weather or digital), `corruption_order`, whether it is
        one of the 15 of the headline metrics (`headline`), whether distortion never falls as severity grows
        (`dose_ordered`), whether it is defined between whole severities (`interpolable`), and if not, why (`switch`).
    """
    import polars as pl

    rows = [{**known.row(), "switch": known.switch} for known in (*CORRUPTIONS.values(), *_registered.values())]
    return pl.DataFrame(rows, schema_overrides={"corruption_order": pl.Int16})


def find_corruption_name(name: str) -> str | None:
    """The corruption's name for a published name, an alias or a registered name; None if it is unknown."""
    name = ALIASES.get(name, name)
    return name if name in CORRUPTIONS or name in _registered or name in _of_sets else None


def name_in_set(entry: str) -> str | None:
    """The corruption's name for a name in a published dataset; None if it cannot be one.

    Case, hyphens, dots and spaces do not matter; aliases become the published name: "Perlin-Noise" is perlin_noise.
    """
    name = re.sub(r"[-. ]+", "_", entry.lower())
    name = ALIASES.get(name, name)
    return name if SET_NAME.fullmatch(name) and name not in RESERVED_NAMES else None


def add_corruption_of_set(name: str) -> None:
    """Make a corruption known that a published dataset holds: its images exist, its recipe is unknown."""
    if name not in CORRUPTIONS and name not in _registered:
        _of_sets[name] = Corruption(
            name, default_label(name), OTHER_GROUP, OTHER_ORDER, _unknown_recipe, {}, dose_ordered=False,
            switch="only a published dataset holds it",
        )  # fmt: skip


def corruptions_of_sets() -> dict[str, Corruption]:
    """Corruptions outside the catalog that published datasets opened in this process hold, by name."""
    return {name: known for name, known in _of_sets.items() if name not in _registered}


def _unknown_recipe(images: Images, parameters: Parameters) -> Images:
    raise StudyError("this corruption exists only in published datasets: no recipe generates it")


def corruption_info(name: str) -> Corruption:
    """The corruption of a name, published or registered.

    Raises:
        StudyError: it does not exist.
    """
    known = find_corruption_name(name)
    if known is None:
        raise StudyError(unknown_corruption(name))
    return CORRUPTIONS.get(known) or _registered.get(known) or _of_sets[known]


def unknown_corruption(name: object) -> str:
    """The error message for an unknown corruption, with the nearest name."""
    spelled = str(name).replace("-", "_").replace(" ", "_")
    return f"unknown corruption {name!r}: {did_you_mean(spelled, [*CORRUPTIONS, *_registered, *_of_sets])}"


def recipe_of(name: str) -> Recipe:
    """The recipe of a name.

    Raises:
        StudyError: it does not exist.
    """
    if name not in RECIPES:
        raise StudyError(f"unknown recipe {name!r}: {did_you_mean(str(name).replace('_', '-'), RECIPES)}")
    return RECIPES[name]


def nearest_recipe(height_px: int, width_px: int) -> str:
    """The recipe that was published for the size nearest to an image's shorter side.

    Nearest by ratio: up to 84 pixels CIFAR-C's (32), above that ImageNet-C's (224).
    """
    side = min(height_px, width_px)
    return min(RECIPES, key=lambda name: abs(math.log(side / RECIPES[name].side_px)))


def as_severity(severity: Severity, most: int = SEVERITIES[-1]) -> Decimal:
    """The severity to thousandths, as results store it.

    Raises:
        StudyError: it is not a number from 0 to `most`.
    """
    try:
        text = str(severity)
    except ValueError:  # Python converts no whole number of more than 4,300 digits
        text = "of thousands of digits"
    try:
        exact = Decimal(text).quantize(THOUSANDTH, ROUND_HALF_EVEN)
    except InvalidOperation:
        exact = Decimal("nan")
    if not (exact.is_finite() and 0 <= exact <= most):
        raise StudyError(f"severity {text[:60]} is out of range: expected a number from 0 (clean) to {most}")
    return exact


def severity_text(severity: Severity) -> str:
    """The severity as files and messages write it: "2" or "2.5"."""
    return f"{Decimal(str(severity)).normalize():f}"


def parse_severity(text: str) -> Decimal | None:
    """The severity, above 0 and up to 5, in a text such as a folder's name; None if it is invalid."""
    try:
        severity = Decimal(text)
    except InvalidOperation:
        return None
    return severity if severity.is_finite() and 0 < severity <= SEVERITIES[-1] else None
