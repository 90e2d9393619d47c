"""Snow: streaked flakes over a whitened image."""

import numpy as np

from ingest.corruptions.motion import angles_deg, streaked
from ingest.corruptions.pixels import Images, Plane, from_unit, to_unit32
from ingest.corruptions.recipes import Parameters
from ingest.corruptions.zoom import zoomed

ANGLE_RANGE_DEG = (-135.0, -45.0)
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def snow(images: Images, parameters: Parameters, *, layer: Plane, turns: Plane) -> Images:
    """Lay flakes, and the same turned by half a turn, over the image, whitened towards its own grey.

    Args:
        images: (N, H, W, 3) uint8.
        parameters: mean and deviation of the layer, its zoom, the threshold of a flake, radius and sigma of its streak
            in pixels, weight of the image against its whitened self.
        layer: (N, H, W) standard normal.
        turns: (N,) 0-1, for -135 to -45 degrees.
    """
    mean, deviation, zoom, threshold, radius, sigma, image_weight = parameters
    flakes = zoomed(layer * np.float32(deviation) + np.float32(mean), zoom)
    flakes[flakes < threshold] = 0
    fallen = streaked(from_unit(flakes)[..., None], (radius, sigma), angles_deg(turns, *ANGLE_RANGE_DEG))
    unit = to_unit32(images)
    white = (unit @ LUMA)[..., None] * np.float32(1.5) + np.float32(0.5)
    snowy = np.maximum(unit, white)
    snowy *= np.float32(1 - image_weight)
    snowy += unit * np.float32(image_weight)
    snowy += to_unit32(fallen)
    snowy += to_unit32(fallen[:, ::-1, ::-1])
    return from_unit(snowy)
