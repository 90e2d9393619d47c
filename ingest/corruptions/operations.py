"""How each published corruption is made: a pure function of (images, parameters, draws), and what it draws."""

from collections.abc import Callable
from typing import NamedTuple

from ingest.corruptions import blur, colour, digital, elastic, fog, frost, glass, motion, noise, snow, spatter, zoom
from ingest.corruptions.draws import Size, Variable, normal, uniform, word
from ingest.corruptions.pixels import Images


class Operation(NamedTuple):
    """A corruption as code.

    Attributes:
        apply: (images (N, H, W, 3) uint8, parameters, **draws) → (N, H, W, 3) uint8; never changes its input.
        draws: what it draws for each image, by the name of the argument.
    """

    apply: Callable[..., Images]
    draws: dict[str, Variable] = {}


def _values(size: Size) -> tuple[int, ...]:
    return (*size, 3)


def _pixels(size: Size) -> tuple[int, ...]:
    return size


def _one(size: Size) -> tuple[int, ...]:
    return ()


def _plasma(size: Size) -> tuple[int, ...]:
    side = fog.plasma_side(size)
    return side, side


OPERATIONS: dict[str, Operation] = {
    "gaussian_noise": Operation(noise.gaussian_noise, {"normals": normal(_values)}),
    "shot_noise": Operation(noise.shot_noise, {"words": word(_values)}),
    "impulse_noise": Operation(noise.impulse_noise, {"words": word(_values)}),
    "defocus_blur": Operation(blur.defocus_blur),
    "glass_blur": Operation(glass.glass_blur, {"words": word(lambda size: (glass.MOST_ITERATIONS, *size))}),
    "motion_blur": Operation(motion.motion_blur, {"turns": uniform(_one)}),
    "zoom_blur": Operation(zoom.zoom_blur),
    "snow": Operation(snow.snow, {"layer": normal(_pixels), "turns": uniform(_one)}),
    "frost": Operation(frost.frost, {"places": uniform(lambda size: (3,))}),
    "fog": Operation(fog.fog, {"field": uniform(_plasma)}),
    "brightness": Operation(colour.brightness),
    "contrast": Operation(digital.contrast),
    "elastic_transform": Operation(
        elastic.elastic_transform, {"corners": uniform(lambda size: (3, 2)), "fields": uniform(lambda size: (2, *size))}
    ),
    "pixelate": Operation(digital.pixelate),
    "jpeg_compression": Operation(digital.jpeg_compression),
    "speckle_noise": Operation(noise.speckle_noise, {"normals": normal(_values)}),
    "gaussian_blur": Operation(blur.gaussian_blur),
    "spatter": Operation(spatter.spatter, {"layer": normal(_pixels)}),
    "saturate": Operation(colour.saturate),
}
