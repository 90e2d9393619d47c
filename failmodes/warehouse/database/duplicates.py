"""Which images of a dataset are exact duplicates of others, from the hashes of their pixels on record."""

from typing import NamedTuple

import duckdb
import numpy as np
from numpy.typing import ArrayLike, NDArray

from failmodes.warehouse.database.connection import fetch_first
from failmodes.warehouse.metrics.duplicates import Groups, duplicates_note, number_groups
from failmodes.warehouse.schema import CLEAN

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


def read_copies(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> Copies | None:
    """The duplicates of the dataset of an evaluation; None where there is none, or pixels are not known."""
    found = con.execute(_COPIES, [evaluation_id]).fetchnumpy()
    if not len(found["image_id"]):
        return None
    return Copies(*(np.asarray(found[name], np.int64) for name in ("image_id", "number")))


def read_groups(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> Groups | None:
    """(N,) groups of duplicates among the clean images of an evaluation by rising image_id; None where distinct."""
    copies = read_copies(con, evaluation_id)
    if copies is None:
        return None
    found = con.execute(
        "select image_id from prediction_facts where evaluation_id = ? and corruption = ? order by image_id",
        [evaluation_id, CLEAN],
    ).fetchnumpy()
    return copies.groups_of(found["image_id"])


def count_duplicates(con: duckdb.DuckDBPyConnection, evaluation_id: str, groups: Groups | None) -> DuplicateImages:
    """How many clean images an evaluation has, and how many distinct ones; `groups` are what `read_groups` gives."""
    if groups is not None:
        return DuplicateImages(len(groups), int(groups.max()) + 1)
    found = fetch_first(con, "select image_count from evaluations where evaluation_id = ?", [evaluation_id])
    count = int(found[0]) if found else 0
    return DuplicateImages(count, count)
