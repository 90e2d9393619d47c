"""Contrast as WCAG 2.1 defines it, and colors as color-blind readers see them (Machado et al. 2009)."""

import re
from collections.abc import Iterable
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SIGHT = {
    "usual": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                              [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                            [0.004733, 0.691367, 0.303900]]),
}  # fmt: skip


def rgb(color: str) -> Floats:
    """'#rrggbb' or 'rgb(r, g, b)' as 0-1."""
    if color.startswith("#"):
        return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.array([float(part) for part in re.findall(r"[\d.]+", color)[:3]]) / 255


def over(color: str, opacity: float, ground: str) -> Floats:
    """A color that lets its ground through, 0-1."""
    return opacity * rgb(color) + (1 - opacity) * rgb(ground)


def linear(channels: Floats) -> Floats:
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast(first: Floats, second: Floats) -> float:
    """1 to 21."""
    low, high = sorted(float(linear(one) @ [0.2126, 0.7152, 0.0722]) for one in (first, second))
    return (high + 0.05) / (low + 0.05)


def difference(first: str, second: str) -> float:
    """CIE 1976 difference of two colors, the smallest in any sight."""
    return min(float(np.linalg.norm(_lab(first, sight) - _lab(second, sight))) for sight in SIGHT.values())


def least_difference(colors: Iterable[str]) -> float:
    """The smallest difference of any two."""
    return min(difference(*pair) for pair in combinations(colors, 2))


def _lab(color: str, sight: Floats) -> Floats:
    seen = np.clip(sight @ linear(rgb(color)), 0, 1)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    x, y, z = np.cbrt(np.maximum(to_xyz @ seen / [0.95047, 1, 1.08883], 0.008856))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])
