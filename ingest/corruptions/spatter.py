"""Spatter: drops of water, or of mud."""

import cv2
import numpy as np

from ingest.corruptions.blur import smooth
from ingest.corruptions.pixels import Images, Plane, from_unit, to_unit32
from ingest.corruptions.recipes import Parameters

PALE_TURQUOISE = np.array([175, 238, 238], np.float32) / np.float32(255)
MUD_BROWN = np.array([63, 42, 20], np.float32) / np.float32(255)
LEAST_MUD = 0.8
FURTHEST_PX = 20  # distances from an edge count up to here
RELIEF = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])


def spatter(images: Images, parameters: Parameters, *, layer: Plane) -> Images:
    """Where a smoothed random layer exceeds a threshold, add water or cover with mud.

    Args:
        images: (N, H, W, 3) uint8.
        parameters: mean and deviation of the layer, sigma of its smoothing in pixels, threshold, strength of water or
            sigma in pixels that softens the edges of mud, and 0 for water or 1 for mud.
        layer: (N, H, W) standard normal.
    """
    mean, deviation, sigma, threshold, strength, mud = parameters
    liquid = smooth(layer * np.float32(deviation) + np.float32(mean), sigma)
    unit = to_unit32(images)
    if mud:
        cover = smooth((liquid > threshold).astype(np.float32), strength)[..., None]
        cover[cover < LEAST_MUD] = 0
        return from_unit(unit * (1 - cover) + MUD_BROWN * cover)
    liquid[liquid < threshold] = 0
    stored = (liquid * 255).astype(np.int32).astype(np.uint8)
    drops = np.stack([_drops(one) for one in stored])[..., None]
    return from_unit(unit + drops * (np.float32(strength) * PALE_TURQUOISE))


def _drops(liquid: Images) -> Plane:
    """The relief of drops (H, W), 0-1, from their thickness (H, W) uint8, as published."""
    distance = cv2.distanceTransform(255 - cv2.Canny(liquid, 50, 150), cv2.DIST_L2, 5)
    distance = cv2.blur(np.minimum(distance, FURTHEST_PX), (3, 3)).astype(np.uint8)
    relief = cv2.filter2D(cv2.equalizeHist(distance), cv2.CV_8U, RELIEF)
    drops = liquid * cv2.blur(relief, (3, 3)).astype(np.float32)
    return drops / max(drops.max(), 1)  # no drops stay none
