"""Exact duplicates: images of the same pixels are one group, and intervals and tests count a group as one image.

Closed-form intervals take Kish's effective sample size (Kish 1965, Survey Sampling, section 5.4; for exact intervals
Korn and Graubard 1998, Survey Methodology 24, 193-201), errors from the spread of images add up the contributions of a
group first (cluster-robust variance: Liang and Zeger 1986, Biometrika 73, 13-22), and a bootstrap draws groups (Davison
and Hinkley 1997, section 3.8). Copies of a clean image meet other random numbers under a corruption, so that they are
partly dependent there: the effective size, which is exact where copies are all alike, is then too small and intervals
are rather too wide; the other two are right either way.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from failmodes.warehouse.schema import CLEAN

if TYPE_CHECKING:
    import duckdb

Groups = NDArray[np.intp]  # (N,) number of the group of each image, from 0 by first appearance
Kept = NDArray[Any] | slice  # which images: rows, bool, or a slice


def number_groups(hashes: ArrayLike) -> Groups | None:
    """Number of the group of each image by first appearance, (N,); None where all are distinct.

    Args:
        hashes: (N,) equal for images of one group.
    """
    values, first, inverse = np.unique(np.asarray(hashes), return_index=True, return_inverse=True)
    if len(values) == len(inverse):
        return None
    numbers = np.empty(len(values), np.intp)
    numbers[np.argsort(first)] = np.arange(len(values))
    return numbers[inverse]


def kept_groups(groups: Groups | None, kept: Kept | None) -> Groups | None:
    """Groups of some of the images; None where these are distinct."""
    if groups is None or kept is None:
        return groups
    return number_groups(groups[kept])


def effective_counts(groups: Groups | None, places: ArrayLike, size: int) -> NDArray[np.float64]:
    """Kish's effective number of the images of each place, (size,): N² / Σ over groups of m².

    Args:
        groups: (N,) of all images; None where they are distinct.
        places: (N,) whole numbers below `size`.
        size: number of places.
    """
    own = np.asarray(places, dtype=np.intp)
    counts = np.bincount(own, minlength=size).astype(np.float64)
    if groups is None:
        return counts
    pairs, repeats = np.unique(own * (groups.max() + 1) + groups, return_counts=True)
    squares = np.bincount(pairs // (groups.max() + 1), repeats.astype(np.float64) ** 2, size)
    return np.divide(counts**2, squares, out=np.zeros(size), where=squares > 0)


def independent_share(groups: Groups | None) -> float:
    """Kish's effective number of images as a share of them, above 0 to 1; 1 without duplicates."""
    if groups is None or not len(groups):
        return 1.0
    sizes = np.bincount(groups).astype(np.float64)
    return float(len(groups) / np.square(sizes).sum())


def group_sums(values: NDArray[Any], groups: Groups) -> NDArray[np.float64]:
    """What the values of the images of each group add up to: (N, …) to (G, …)."""
    found = np.zeros((int(groups.max()) + 1, *values.shape[1:]))
    np.add.at(found, groups, values)
    return found


def duplicates_note(images: int, distinct: int) -> str:
    """How many images are exact duplicates of others, in words; empty where none is."""
    copies = images - distinct
    if copies < 1:
        return ""
    said = "is an exact duplicate of another" if copies == 1 else "are exact duplicates of others"
    return f"{copies:,} of {images:,} images {said} ({distinct:,} distinct); intervals treat copies as one"


_COPIES = """
with own as (
    select image_id, pixel_hash from images inner join evaluations using (dataset_id)
    where evaluation_id = ? and pixel_hash is not null
),
repeated as (select pixel_hash from own group by pixel_hash having count(*) > 1)
select image_id, dense_rank() over (order by pixel_hash) as number
from own semi join repeated using (pixel_hash) order by image_id
"""


class Copies(NamedTuple):
    """Images of a dataset whose pixels another image of it has, too.

    Attributes:
        image_ids: (K,) rising.
        numbers: (K,) from 1, equal for images of the same pixels.
    """

    image_ids: NDArray[np.int64]
    numbers: NDArray[np.int64]

    def groups_of(self, image_ids: ArrayLike) -> Groups | None:
        """Groups of duplicates among some images (N,), by their image_id; None where these are distinct."""
        ids = np.asarray(image_ids, dtype=np.int64)
        place = np.searchsorted(self.image_ids, ids).clip(max=len(self.image_ids) - 1)
        return number_groups(np.where(self.image_ids[place] == ids, self.numbers[place], -1 - ids))


class DuplicateImages(NamedTuple):
    """Clean images of an evaluation, and how many of them are distinct: two of the same pixels are one."""

    images: int
    distinct: int

    @property
    def note(self) -> str:
        """That some are exact duplicates of others; empty where none is."""
        return duplicates_note(self.images, self.distinct)


def read_copies(con: "duckdb.DuckDBPyConnection", evaluation_id: str) -> Copies | None:
    """The duplicates of the dataset of an evaluation; None where there is none, or pixels are not known."""
    found = con.execute(_COPIES, [evaluation_id]).fetchnumpy()
    if not len(found["image_id"]):
        return None
    return Copies(*(np.asarray(found[name], np.int64) for name in ("image_id", "number")))


def read_groups(con: "duckdb.DuckDBPyConnection", evaluation_id: str) -> Groups | None:
    """(N,) groups of duplicates among the clean images of an evaluation by rising image_id; None where distinct."""
    copies = read_copies(con, evaluation_id)
    if copies is None:
        return None
    found = con.execute(
        "select image_id from prediction_facts where evaluation_id = ? and corruption = ? order by image_id",
        [evaluation_id, CLEAN],
    ).fetchnumpy()
    return copies.groups_of(found["image_id"])


def count_duplicates(con: "duckdb.DuckDBPyConnection", evaluation_id: str, groups: Groups | None) -> DuplicateImages:
    """How many clean images an evaluation has, and how many distinct ones; `groups` are what `read_groups` gives."""
    if groups is not None:
        return DuplicateImages(len(groups), int(groups.max()) + 1)
    found = con.execute("select image_count from evaluations where evaluation_id = ?", [evaluation_id]).fetchall()
    count = int(found[0][0]) if found else 0
    return DuplicateImages(count, count)
