"""The published recipes as data: every corruption's parameters at severities 1 to 5, and where a curve starts from.

Sources: Hendrycks & Dietterich, ICLR 2019, and its public generator: `make_cifar_c.py` (images of 32×32 pixels) and
`make_imagenet_c.py` (224×224). Other sizes: lengths are pixels and stay what they are, as in the published code; what
that code ties to the image's side follows the side (`relative` below).
"""

import difflib
from typing import NamedTuple

from failmodes.ingest.corruptions.kernels.pixels import Parameters
from failmodes.warehouse.errors import StudyError

SEVERITIES = (1, 2, 3, 4, 5)

# Raise it when a mended corruption gives other pixels than before: it is part of a generated source's identity.
ENGINE_REVISION = 2


class SeverityLevels(NamedTuple):
    """Parameters of one corruption by one recipe.

    Attributes:
        clean: what they tend to as severity falls to 0; none where nothing between levels is interpolated.
        published: at severities 1 to 5.
    """

    clean: Parameters | None
    published: tuple[Parameters, Parameters, Parameters, Parameters, Parameters]


class RecipeRow(NamedTuple):
    """One corruption: what its parameters are, and their values by both recipes."""

    names: tuple[str, ...]
    cifar_c: SeverityLevels
    imagenet_c: SeverityLevels


class Recipe(NamedTuple):
    """A recipe: the side of the images it was published for, the least side it works on, and its parameters."""

    side_px: int
    least_side_px: int
    levels: dict[str, SeverityLevels]


RECIPE_TABLE: dict[str, RecipeRow] = {
    "gaussian_noise": RecipeRow(
        ("sigma of values / 255",),
        SeverityLevels((0,), ((0.04,), (0.06,), (0.08,), (0.09,), (0.10,))),
        SeverityLevels((0,), ((0.08,), (0.12,), (0.18,), (0.26,), (0.38,))),
    ),
    "shot_noise": RecipeRow(
        ("photons at white",),
        SeverityLevels((float("inf"),), ((500,), (250,), (100,), (75,), (50,))),
        SeverityLevels((float("inf"),), ((60,), (25,), (12,), (5,), (3,))),
    ),
    "impulse_noise": RecipeRow(
        ("share of values replaced",),
        SeverityLevels((0,), ((0.01,), (0.02,), (0.03,), (0.05,), (0.07,))),
        SeverityLevels((0,), ((0.03,), (0.06,), (0.09,), (0.17,), (0.27,))),
    ),
    "defocus_blur": RecipeRow(
        ("radius of the disk, px", "sigma of its own blur, px"),
        SeverityLevels(None, ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))),
        SeverityLevels(None, ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))),
    ),
    "glass_blur": RecipeRow(
        ("sigma, px", "largest offset, px", "iterations"),
        SeverityLevels(None, ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2))),
        SeverityLevels(None, ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2))),
    ),
    "motion_blur": RecipeRow(
        ("radius, px", "sigma, px"),
        SeverityLevels((6, 0), ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))),
        SeverityLevels((10, 0), ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))),
    ),
    "zoom_blur": RecipeRow(
        ("zoom factors from 1 up to, exclusive", "their step"),
        SeverityLevels(None, ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01))),
        SeverityLevels(None, ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))),
    ),
    "snow": RecipeRow(
        ("mean", "deviation", "zoom", "threshold", "streak radius, px", "streak sigma, px", "weight of the image"),
        SeverityLevels(
            None,
            (
                (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
                (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
                (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
                (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
                (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
            ),
        ),
        SeverityLevels(
            None,
            (
                (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
                (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
                (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
                (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
                (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
            ),
        ),
    ),
    "frost": RecipeRow(
        ("weight of the image", "weight of the frost", "scale of the photograph"),
        SeverityLevels(
            (1, 0, 0.2), ((1, 0.2, 0.2), (1, 0.3, 0.2), (0.9, 0.4, 0.2), (0.85, 0.4, 0.2), (0.75, 0.45, 0.2))
        ),
        SeverityLevels((1, 0, 1), ((1, 0.4, 1), (0.8, 0.6, 1), (0.7, 0.7, 1), (0.65, 0.7, 1), (0.6, 0.75, 1))),
    ),
    "fog": RecipeRow(
        ("amount", "decay of the plasma's roughness"),
        SeverityLevels((0, 3), ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))),
        SeverityLevels((0, 2), ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4))),
    ),
    "brightness": RecipeRow(
        ("added to V of HSV",),
        SeverityLevels((0,), ((0.05,), (0.1,), (0.15,), (0.2,), (0.3,))),
        SeverityLevels((0,), ((0.1,), (0.2,), (0.3,), (0.4,), (0.5,))),
    ),
    "contrast": RecipeRow(
        ("factor about the channel's mean",),
        SeverityLevels((1,), ((0.75,), (0.5,), (0.4,), (0.3,), (0.15,))),
        SeverityLevels((1,), ((0.4,), (0.3,), (0.2,), (0.1,), (0.05,))),
    ),
    "elastic_transform": RecipeRow(
        # Relative to the image's shorter side. ImageNet-C's unit is 244 px where images have 224: the published slip
        ("amplitude", "smoothing sigma", "corner jitter"),
        SeverityLevels(
            (0, 0, 0), ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03))
        ),
        SeverityLevels(
            (0, 244 / 224 * 0.7, 0),
            (
                (244 / 224 * 2, 244 / 224 * 0.7, 244 / 224 * 0.1),
                (244 / 224 * 2, 244 / 224 * 0.08, 244 / 224 * 0.2),
                (244 / 224 * 0.05, 244 / 224 * 0.01, 244 / 224 * 0.02),
                (244 / 224 * 0.07, 244 / 224 * 0.01, 244 / 224 * 0.02),
                (244 / 224 * 0.12, 244 / 224 * 0.01, 244 / 224 * 0.02),
            ),
        ),
    ),
    "pixelate": RecipeRow(
        ("side in pixels / side of the image",),
        SeverityLevels((1,), ((0.95,), (0.9,), (0.85,), (0.75,), (0.65,))),
        SeverityLevels((1,), ((0.6,), (0.5,), (0.4,), (0.3,), (0.25,))),
    ),
    "jpeg_compression": RecipeRow(
        # No quality is clean: a curve starts from 100, the least lossy, and jumps to clean at 0
        ("quality",),
        SeverityLevels((100,), ((80,), (65,), (58,), (50,), (40,))),
        SeverityLevels((100,), ((25,), (18,), (15,), (10,), (7,))),
    ),
    "speckle_noise": RecipeRow(
        ("sigma as a share of the value",),
        SeverityLevels((0,), ((0.06,), (0.1,), (0.12,), (0.16,), (0.2,))),
        SeverityLevels((0,), ((0.15,), (0.2,), (0.35,), (0.45,), (0.6,))),
    ),
    "gaussian_blur": RecipeRow(
        ("sigma, px",),
        SeverityLevels((0,), ((0.4,), (0.6,), (0.7,), (0.8,), (1,))),
        SeverityLevels((0,), ((1,), (2,), (3,), (4,), (6,))),
    ),
    "spatter": RecipeRow(
        ("mean", "deviation", "smoothing sigma, px", "threshold", "strength (water) or edge sigma, px (mud)", "mud"),
        SeverityLevels(
            None,
            (
                (0.62, 0.1, 0.7, 0.7, 0.5, 0),
                (0.65, 0.1, 0.8, 0.7, 0.5, 0),
                (0.65, 0.3, 1, 0.69, 0.5, 0),
                (0.65, 0.1, 0.7, 0.69, 0.6, 1),
                (0.65, 0.1, 0.5, 0.68, 0.6, 1),
            ),
        ),
        SeverityLevels(
            None,
            (
                (0.65, 0.3, 4, 0.69, 0.6, 0),
                (0.65, 0.3, 3, 0.68, 0.6, 0),
                (0.65, 0.3, 2, 0.68, 0.5, 0),
                (0.65, 0.3, 1, 0.65, 1.5, 1),
                (0.67, 0.4, 1, 0.65, 1.5, 1),
            ),
        ),
    ),
    "saturate": RecipeRow(
        ("factor on S of HSV", "added to S"),
        SeverityLevels(None, ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2))),
        SeverityLevels(None, ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2))),
    ),
}

RECIPES = {
    "cifar-c": Recipe(32, 8, {name: entry.cifar_c for name, entry in RECIPE_TABLE.items()}),
    "imagenet-c": Recipe(224, 32, {name: entry.imagenet_c for name, entry in RECIPE_TABLE.items()}),
}


def recipe_of(name: str) -> Recipe:
    """The recipe of a name.

    Raises:
        StudyError: there is none.
    """
    if name not in RECIPES:
        near = difflib.get_close_matches(str(name).lower().replace("_", "-"), RECIPES, n=1)
        known = f"did you mean {near[0]!r}?" if near else "known are " + ", ".join(RECIPES)
        raise StudyError(f"unknown recipe {name!r}: {known}")
    return RECIPES[name]
