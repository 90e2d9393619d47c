"""Which images of two models are compared: the same, those that both saw, or each model's own."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.analysis.statistics.run_rows import CellKey, RunRows

Rows = NDArray[np.int64]
OTHER_PIXELS = "their corrupted pixels are not the same: another source of corruptions, such as another seed"


@dataclass(frozen=True)
class ImagePairing:
    """Which images are compared.

    Attributes:
        kind: 'same': both saw the same images; 'common': they are compared on those that both saw; 'different': each on
            its own, as independent samples.
        image_count: images of a cell that both sides share; with 'different', those of the smaller side.
        note: why the images are not the same; empty where they are.
    """

    kind: Literal["same", "common", "different"]
    image_count: int
    note: str = ""

    @property
    def is_paired(self) -> bool:
        """Whether differences are taken image by image."""
        return self.kind != "different"


class ModelRows(NamedTuple):
    """The rows of a model's training runs, all on the same images.

    Attributes:
        runs: one at least.
        dataset_id: of the images.
        source_id: of the corrupted pixels.
    """

    runs: tuple[RunRows, ...]
    dataset_id: str = ""
    source_id: str = ""

    @property
    def shares_images(self) -> bool:
        """Whether all cells are of the same images."""
        return all(run.shares_images for run in self.runs)

    @property
    def image_count(self) -> int:
        """Images of a cell."""
        return self.runs[0].image_count

    @property
    def cells(self) -> list[CellKey]:
        """Cells that all runs have, by corruption and severity."""
        return [cell for cell in self.runs[0].cells if all(cell in run.places for run in self.runs)]


class PairedImages(NamedTuple):
    """How two models' images pair, and the rows of each that are compared; None for all."""

    pairing: ImagePairing
    rows_a: Rows | None = None
    rows_b: Rows | None = None


def pair_images(a: ModelRows, b: ModelRows) -> PairedImages:
    """Find out which images can be compared.

    Images are the same where the clean ones are of one data set and have the same numbers in every cell that both have.
    Where at least half of the smaller set is in both sets, those are compared; fewer would throw away most of what is
    known, and as independent samples the interval is then too wide rather than too narrow.
    """
    smaller = min(a.image_count, b.image_count)
    if a.dataset_id != b.dataset_id:
        return PairedImages(ImagePairing("different", smaller, "they are of different data sets"))
    one, other = a.runs[0], b.runs[0]
    both_share, same_source = a.shares_images and b.shares_images, a.source_id == b.source_id
    shared = [cell for cell in a.cells if cell in other.places]
    if (both_share or same_source) and all(one.ids_hashes[cell] == other.ids_hashes[cell] for cell in shared):
        return PairedImages(ImagePairing("same", a.image_count, "" if same_source else OTHER_PIXELS))
    if not both_share:
        note = "corrupted images do not pair with clean ones, and those of the cells are not the same"
        return PairedImages(ImagePairing("different", smaller, note))
    common, rows_a, rows_b = np.intersect1d(one.image_ids, other.image_ids, return_indices=True)
    counts = f"one saw {a.image_count:,} images, the other {b.image_count:,}; both saw {len(common):,}"
    if 2 * len(common) < smaller:
        return PairedImages(ImagePairing("different", smaller, counts))
    note = counts if same_source else f"{counts}; {OTHER_PIXELS}"
    return PairedImages(ImagePairing("common", len(common), note), rows_a, rows_b)
