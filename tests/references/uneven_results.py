"""Records of models that were evaluated in different cells."""

from pathlib import Path
from typing import NamedTuple

from synthetic_results import write_synthetic

EVERY = ("fog", "contrast", "motion_blur")
FALLS = {"Alpha": 1.0, "Beta": 0.6, "Cedar": 1.4, "Douglas": 0.3}


class Grid(NamedTuple):
    """The corruptions and severities of one model."""

    severities: tuple[float, ...] = (1, 2, 3, 4, 5)
    corruptions: tuple[str, ...] = EVERY


def write_uneven(output: Path, images: int = 120, **grids: Grid) -> Path:
    """Write a record of one model by each name, in the cells of its grid; Alpha and Beta in all cells if not given."""
    for label, grid in {"Alpha": Grid(), "Beta": Grid(), **grids}.items():
        options = {"severities": grid.severities, "corruptions": grid.corruptions, "falls": FALLS}
        write_synthetic(output, images=images, models=(label,), **options)
    return output
