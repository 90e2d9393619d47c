"""The corruptions, one row each: group, kernel, parameters by recipe, and what is sampled for an image.

Names, order and groups: Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019. The recipes are those of its public generator: `make_cifar_c.py` (images of 32×32 pixels) and
`make_imagenet_c.py` (224×224). At other sizes lengths stay pixels, as in the published code; what that code ties to the
image's side follows the side.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corruptions.kernels import blur, color, digital, frost, noise, weather
from failmodes.ingest.corruptions.kernels.base import Images, RecipeLevels
from failmodes.ingest.corruptions.sampling import RandomVariable, Size, normal, uint32, uniform
from failmodes.warehouse.errors import StudyError, did_you_mean

if TYPE_CHECKING:
    import polars as pl

Severity = int | float | Decimal
THOUSANDTH = Decimal("0.001")
SEVERITIES = (1, 2, 3, 4, 5)
HEADLINE_COUNT = 15
FIRST_CUSTOM_ORDER = 100  # after all published ones


class Recipe(NamedTuple):
    """A published recipe: the side of the images it was made for, and the smallest side it works on."""

    side_px: int
    least_side_px: int


RECIPES = {"cifar-c": Recipe(32, 8), "imagenet-c": Recipe(224, 32)}


@dataclass(frozen=True)
class Corruption:
    """A corruption, published or a user's own.

    Attributes:
        name: its published name.
        label: its name on charts.
        group: noise, blur, weather or digital.
        order: order of publication, from 1; the four extras follow the 15 of the headline metrics.
        apply: the kernel, (images (N, H, W, 3) uint8, parameters, **samples) → (N, H, W, 3) uint8; it never changes its
            input.
        levels: parameters at each severity, by recipe.
        samples: the random variables of an image, by the name of the kernel's argument.
        dose_ordered: whether distortion (RMSE of images) never falls from one published severity to the next, by every
            recipe. Between them pixelate and JPEG may distort less than before, where the image resonates with a side
            or a quality.
        switch: why it is not defined between the published severities; None where it is.
        definition: hash of a user's own code and levels; None for a published corruption.
        moves: of a corruption that moves objects: its kernel for masks, (masks (N, H, W) bool, parameters, **samples) →
            (N, H, W) bool. None where objects stay in place, and of a user's own, of which it is not known.
    """

    name: str
    label: str
    group: str
    order: int
    apply: Callable[..., Images]
    levels: RecipeLevels
    samples: Mapping[str, RandomVariable]
    dose_ordered: bool
    switch: str | None = None
    definition: str | None = None
    moves: Callable[..., NDArray[np.bool_]] | None = None

    @property
    def headline(self) -> bool:
        """Whether it is one of the 15 of the headline metrics."""
        return self.order <= HEADLINE_COUNT

    @property
    def interpolable(self) -> bool:
        """Whether it is defined between the published severities."""
        return self.switch is None

    def row(self) -> dict[str, Any]:
        """Its row of the `corruptions` dimension."""
        return {
            "corruption": self.name,
            "corruption_label": self.label,
            "corruption_group": self.group,
            "corruption_order": self.order,
            "headline": self.headline,
            "dose_ordered": self.dose_ordered,
            "interpolable": self.interpolable,
        }


def default_label(name: str) -> str:
    """The name on charts that follows from a corruption's name: "Gaussian noise"."""
    return name.replace("_", " ").capitalize()


def _plasma(size: Size) -> tuple[int, ...]:
    side = weather.plasma_side(size)
    return side, side


_NORMALS = {"normals": normal(lambda size: (*size, 3))}
_UINT32S = {"uint32s": uint32(lambda size: (*size, 3))}
_OFFSETS = {"uint32s": uint32(lambda size: (blur.MAX_ITERATIONS, *size))}
_ANGLE = {"unit_angles": uniform(lambda size: ())}
_LAYER = {"layer": normal(lambda size: size)}
_ELASTIC = {"corners": uniform(lambda size: (3, 2)), "fields": uniform(lambda size: (2, *size))}

_PUBLISHED: tuple[tuple[str, str, Callable[..., Images], RecipeLevels, dict[str, RandomVariable]], ...] = (
    ("gaussian_noise", "noise", noise.gaussian_noise, noise.GAUSSIAN_NOISE, _NORMALS),
    ("shot_noise", "noise", noise.shot_noise, noise.SHOT_NOISE, _UINT32S),
    ("impulse_noise", "noise", noise.impulse_noise, noise.IMPULSE_NOISE, _UINT32S),
    ("defocus_blur", "blur", blur.defocus_blur, blur.DEFOCUS_BLUR, {}),
    ("glass_blur", "blur", blur.glass_blur, blur.GLASS_BLUR, _OFFSETS),
    ("motion_blur", "blur", blur.motion_blur, blur.MOTION_BLUR, _ANGLE),
    ("zoom_blur", "blur", blur.zoom_blur, blur.ZOOM_BLUR, {}),
    ("snow", "weather", weather.snow, weather.SNOW, _LAYER | _ANGLE),
    ("frost", "weather", frost.frost, frost.FROST, {"crops": uniform(lambda size: (3,))}),
    ("fog", "weather", weather.fog, weather.FOG, {"field": uniform(_plasma)}),
    ("brightness", "weather", color.brightness, color.BRIGHTNESS, {}),
    ("contrast", "digital", digital.contrast, digital.CONTRAST, {}),
    ("elastic_transform", "digital", digital.elastic_transform, digital.ELASTIC_TRANSFORM, _ELASTIC),
    ("pixelate", "digital", digital.pixelate, digital.PIXELATE, {}),
    ("jpeg_compression", "digital", digital.jpeg_compression, digital.JPEG_COMPRESSION, {}),
    ("speckle_noise", "noise", noise.speckle_noise, noise.SPECKLE_NOISE, _NORMALS),
    ("gaussian_blur", "blur", blur.gaussian_blur, blur.GAUSSIAN_BLUR, {}),
    ("spatter", "weather", weather.spatter, weather.SPATTER, _LAYER),
    ("saturate", "digital", color.saturate, color.SATURATE, {}),
)

# A parameter falls where others rise, or the step changes what is done; frost is lighter at 5 than at 3 (by CIFAR-C)
_NOT_DOSE_ORDERED = {"glass_blur", "snow", "frost", "elastic_transform", "spatter", "saturate"}

_SWITCHES = {
    "glass_blur": "its offsets and iterations are whole numbers",
    "spatter": "between severities 3 and 4 water turns to mud",
    "saturate": "between severities 2 and 3 less color turns to more",
}

# Blurs smear an object and leave it in its place, zoom blur too: it is the mean of zooms about the center from 1 on
_MOVES = {"elastic_transform": digital.move_masks}

CORRUPTIONS: dict[str, Corruption] = {
    name: Corruption(
        name,
        default_label(name).replace("Jpeg", "JPEG"),
        group,
        order,
        kernel,
        levels,
        samples,
        dose_ordered=name not in _NOT_DOSE_ORDERED,
        switch=_SWITCHES.get(name),
        moves=_MOVES.get(name),
    )
    for order, (name, group, kernel, levels, samples) in enumerate(_PUBLISHED, start=1)
}

ALIASES = {"frosted_glass_blur": "glass_blur", "elastic": "elastic_transform"}  # as seen in the wild
STUDY_CORRUPTIONS = ("contrast", "fog", "motion_blur", "gaussian_noise", "jpeg_compression", "brightness")
_registered: dict[str, Corruption] = {}


def registered() -> dict[str, Corruption]:
    """Users' own corruptions that were registered in this process, by name."""
    return dict(_registered)


def add_corruption(corruption: Corruption) -> None:
    """Make a user's own corruption known by its name in this process; the same name again replaces it."""
    _registered[corruption.name] = corruption


def corruptions() -> "pl.DataFrame":
    """All corruptions that this process knows: the 19 published ones, and users' own that were registered.

    Example:
        >>> failmodes.corruptions().filter(pl.col("corruption_group") == "weather")["corruption"].to_list()
        ['snow', 'frost', 'fog', 'brightness', 'spatter']

    Returns:
        One row a corruption, in order of publication: its name (`corruption`), its name on charts
        (`corruption_label`), `corruption_group` (noise, blur, weather or digital), `corruption_order`, whether it is
        one of the 15 of the headline metrics (`headline`), whether distortion never falls as severity grows
        (`dose_ordered`), whether it is defined between whole severities (`interpolable`), and if not, why (`switch`).
    """
    import polars as pl

    rows = [{**known.row(), "switch": known.switch} for known in (*CORRUPTIONS.values(), *_registered.values())]
    return pl.DataFrame(rows, schema_overrides={"corruption_order": pl.Int16})


def find_corruption_name(name: str) -> str | None:
    """The name that `name` (a published name, an alias or a registered name) stands for; None if it is unknown."""
    name = ALIASES.get(name, name)
    return name if name in CORRUPTIONS or name in _registered else None


def corruption_info(name: str) -> Corruption:
    """The corruption of a name, published or registered.

    Raises:
        StudyError: there is none.
    """
    known = find_corruption_name(name)
    if known is None:
        raise StudyError(unknown_corruption(name))
    return CORRUPTIONS.get(known) or _registered[known]


def unknown_corruption(name: object) -> str:
    """One line that says that a corruption is unknown and which name is nearest."""
    spelled = str(name).lower().replace("-", "_").replace(" ", "_")
    known = [*CORRUPTIONS, *_registered]
    hint = did_you_mean(spelled, known, f"known are {', '.join(known)}")
    return f"unknown corruption {name!r}: {hint}"


def recipe_of(name: str) -> Recipe:
    """The recipe of a name.

    Raises:
        StudyError: there is none.
    """
    if name not in RECIPES:
        hint = did_you_mean(str(name).lower().replace("_", "-"), RECIPES, "known are " + ", ".join(RECIPES))
        raise StudyError(f"unknown recipe {name!r}: {hint}")
    return RECIPES[name]


def nearest_recipe(height_px: int, width_px: int) -> str:
    """The recipe that was published for the size nearest to an image's shorter side.

    Near is meant by ratio, so that up to 84 pixels it is CIFAR-C's (32), above it ImageNet-C's (224).
    """
    side = min(height_px, width_px)
    return min(RECIPES, key=lambda name: abs(math.log(side / RECIPES[name].side_px)))


def as_severity(severity: Severity) -> Decimal:
    """The severity to thousandths, as the record keeps it.

    Raises:
        StudyError: it is no number from 0 to 5.
    """
    try:
        given = str(severity)
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        given = "of thousands of digits"
    try:
        exact = Decimal(given).quantize(THOUSANDTH, ROUND_HALF_EVEN)
    except InvalidOperation:
        exact = Decimal("nan")
    if not (exact.is_finite() and 0 <= exact <= SEVERITIES[-1]):
        raise StudyError(f"severity {given[:60]} is out of range: expected a number from 0 (clean) to {SEVERITIES[-1]}")
    return exact
