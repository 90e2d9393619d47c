"""Which corruptions were published, in what order and groups, and what may be said of their severities.

Names, order and groups: Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019.

How each published corruption is made: a pure function of (images, parameters, draws), and what it draws.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from failmodes.ingest.corruptions.kernels import blur, colour, digital, frost, noise, weather
from failmodes.ingest.corruptions.kernels.pixels import Images
from failmodes.ingest.corruptions.sampling import RandomVariable, Size, normal, uint32, uniform

HEADLINE_COUNT = 15

_PUBLISHED = (
    ("gaussian_noise", "Gaussian noise", "noise"),
    ("shot_noise", "Shot noise", "noise"),
    ("impulse_noise", "Impulse noise", "noise"),
    ("defocus_blur", "Defocus blur", "blur"),
    ("glass_blur", "Glass blur", "blur"),
    ("motion_blur", "Motion blur", "blur"),
    ("zoom_blur", "Zoom blur", "blur"),
    ("snow", "Snow", "weather"),
    ("frost", "Frost", "weather"),
    ("fog", "Fog", "weather"),
    ("brightness", "Brightness", "weather"),
    ("contrast", "Contrast", "digital"),
    ("elastic_transform", "Elastic transform", "digital"),
    ("pixelate", "Pixelate", "digital"),
    ("jpeg_compression", "JPEG compression", "digital"),
    ("speckle_noise", "Speckle noise", "noise"),
    ("gaussian_blur", "Gaussian blur", "blur"),
    ("spatter", "Spatter", "weather"),
    ("saturate", "Saturate", "digital"),
)

# A parameter falls where others rise, or the step changes what is done; frost is lighter at 5 than at 3 (by CIFAR-C)
_NOT_DOSE_ORDERED = {"glass_blur", "snow", "frost", "elastic_transform", "spatter", "saturate"}

_SWITCHES = {
    "glass_blur": "its offsets and iterations are whole numbers",
    "spatter": "between severities 3 and 4 water turns to mud",
    "saturate": "between severities 2 and 3 less colour turns to more",
}


@dataclass(frozen=True)
class Corruption:
    """What is known of one corruption, whatever the recipe.

    Attributes:
        name: its published name.
        label: its name on charts.
        group: noise, blur, weather or digital.
        order: order of publication, from 1; the four extras follow the 15 of the headline metrics.
        headline: whether it is one of these 15.
        dose_ordered: whether distortion (RMSE of images) never falls from one published severity to the next, by every
            recipe. Between them pixelate and JPEG may distort less than before, where the image resonates with a side
            or a quality.
        interpolable: whether it is defined between the published severities.
        switch: why it is not, where it is not.
    """

    name: str
    label: str
    group: str
    order: int
    headline: bool
    dose_ordered: bool
    interpolable: bool
    switch: str | None = None


CORRUPTIONS: dict[str, Corruption] = {
    name: Corruption(
        name,
        label,
        group,
        order,
        headline=order <= HEADLINE_COUNT,
        dose_ordered=name not in _NOT_DOSE_ORDERED,
        interpolable=name not in _SWITCHES,
        switch=_SWITCHES.get(name),
    )
    for order, (name, label, group) in enumerate(_PUBLISHED, start=1)
}

ALIASES = {"frosted_glass_blur": "glass_blur", "elastic": "elastic_transform"}  # as seen in the wild

STUDY_CORRUPTIONS = ("contrast", "fog", "motion_blur", "gaussian_noise", "jpeg_compression", "brightness")


class Kernel(NamedTuple):
    """A corruption as code.

    Attributes:
        apply: (images (N, H, W, 3) uint8, parameters, **draws) → (N, H, W, 3) uint8; never changes its input.
        draws: what it draws for each image, by the name of the argument.
    """

    apply: Callable[..., Images]
    draws: dict[str, RandomVariable] = {}


def _one(size: Size) -> tuple[int, ...]:
    return ()


def _pixels(size: Size) -> tuple[int, ...]:
    return size


def _plasma(size: Size) -> tuple[int, ...]:
    side = weather.plasma_side(size)
    return side, side


def _values(size: Size) -> tuple[int, ...]:
    return (*size, 3)


KERNELS: dict[str, Kernel] = {
    "gaussian_noise": Kernel(noise.gaussian_noise, {"normals": normal(_values)}),
    "shot_noise": Kernel(noise.shot_noise, {"words": uint32(_values)}),
    "impulse_noise": Kernel(noise.impulse_noise, {"words": uint32(_values)}),
    "defocus_blur": Kernel(blur.defocus_blur),
    "glass_blur": Kernel(blur.glass_blur, {"words": uint32(lambda size: (blur.MAX_ITERATIONS, *size))}),
    "motion_blur": Kernel(blur.motion_blur, {"turns": uniform(_one)}),
    "zoom_blur": Kernel(blur.zoom_blur),
    "snow": Kernel(weather.snow, {"layer": normal(_pixels), "turns": uniform(_one)}),
    "frost": Kernel(frost.frost, {"places": uniform(lambda size: (3,))}),
    "fog": Kernel(weather.fog, {"field": uniform(_plasma)}),
    "brightness": Kernel(colour.brightness),
    "contrast": Kernel(digital.contrast),
    "elastic_transform": Kernel(
        digital.elastic_transform, {"corners": uniform(lambda size: (3, 2)), "fields": uniform(lambda size: (2, *size))}
    ),
    "pixelate": Kernel(digital.pixelate),
    "jpeg_compression": Kernel(digital.jpeg_compression),
    "speckle_noise": Kernel(noise.speckle_noise, {"normals": normal(_values)}),
    "gaussian_blur": Kernel(blur.gaussian_blur),
    "spatter": Kernel(weather.spatter, {"layer": normal(_pixels)}),
    "saturate": Kernel(colour.saturate),
}


def published_name(name: str) -> str | None:
    """The published name that `name` stands for (itself, or that of an alias); None if it stands for none."""
    name = ALIASES.get(name, name)
    return name if name in CORRUPTIONS else None


def unknown_corruption(name: object) -> str:
    """One line that says that a corruption is unknown and which name is nearest."""
    near = difflib.get_close_matches(str(name).lower().replace("-", "_").replace(" ", "_"), CORRUPTIONS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(CORRUPTIONS)}"
    return f"unknown corruption {name!r}: {hint}"
