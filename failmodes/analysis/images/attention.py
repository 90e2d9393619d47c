"""Stored attention of single images: maps of exemplars, and the centroid of every image."""

from collections.abc import Sequence
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from failmodes.analysis.images.rows import PictureRow
from failmodes.runtime.errors import WarehouseError, printable
from failmodes.warehouse.database.connection import REBUILD_HINT
from failmodes.warehouse.schema import CLEAN

AttentionMap = NDArray[np.float64]  # (h, w), not negative
Point = tuple[float, float]  # x and y, 0 to 1 from the top left


def stored_attention(
    con: duckdb.DuckDBPyConnection, rows: Sequence[PictureRow]
) -> list[tuple[AttentionMap | None, Point | None]]:
    """Map and centroid of each row, for the class predicted on the clean image; None where not stored.

    Raises:
        WarehouseError: a stored map does not have its size.
    """
    wanted = [list({row.evaluation_id for row in rows}), list({row.image_id for row in rows})]
    # The clean image is stored with the exemplars of each corruption; its map is the same in all
    stored = con.execute(
        "select evaluation_id, if(severity = 0, $3, corruption), severity, image_id, map_f16, map_height, map_width "
        "from exemplars where evaluation_id = any($1) and image_id = any($2) and map_f16 is not null",
        [*wanted, CLEAN],
    ).fetchall()
    maps = {tuple(row[:4]): stored_map(*row[4:]) for row in stored}
    centers = con.execute(
        "select evaluation_id, corruption, severity, image_id, centroid_x, centroid_y from attention "
        "where evaluation_id = any($1) and image_id = any($2) and target = 'clean' and not empty "
        "and centroid_x between 0 and 1 and centroid_y between 0 and 1",
        wanted,
    ).fetchall()
    points: dict[tuple[Any, ...], Point] = {tuple(row[:4]): (row[4], row[5]) for row in centers}
    keys = [(row.evaluation_id, row.corruption, row.severity, row.image_id) for row in rows]
    return [(maps.get(key), points.get(key) or centroid(maps.get(key))) for key in keys]


def missing_map_reason(con: duckdb.DuckDBPyConnection, rows: Sequence[PictureRow]) -> str:
    """The reason for missing attention maps: notes of the evaluations, else which maps are stored."""
    found = con.execute(
        "select distinct attention_note, evaluation_id in (select evaluation_id from exemplars) "
        "from evaluation_labels where evaluation_id = any($1) order by all",
        [list({row.evaluation_id for row in rows})],
    ).fetchall()
    has_exemplars = any(has_own for _, has_own in found)
    kept = f"attention maps are stored for exemplars only{'' if has_exemplars else ', and there are none'}"
    return "; ".join(dict.fromkeys(printable(note) if note else kept for note, _ in found))


def stored_map(content: bytes, height: int | None, width: int | None) -> AttentionMap:
    """Decode a map of the table `exemplars`: little-endian float16, row by row.

    Raises:
        WarehouseError: it does not have the stated size.
    """
    if height is None or width is None or min(height, width) < 1 or len(content) != 2 * height * width:
        raise WarehouseError(
            f"a stored attention map of {len(content):,} bytes is not {height} × {width}: the warehouse was changed; "
            f"{REBUILD_HINT}"
        )
    values = np.frombuffer(content, "<f2").astype(np.float64).reshape(height, width)
    return np.nan_to_num(values, nan=0, posinf=0, neginf=0).clip(min=0)


def centroid(attention: AttentionMap | None) -> Point | None:
    """Center of mass (x, y) of a map (h, w), 0-1 from the top left, of cell centers; None for an empty map."""
    if attention is None or attention.sum() <= 0:
        return None
    rows, columns = (np.arange(n) + 0.5 for n in attention.shape)
    total = attention.sum()
    x, y = (attention.sum(0) @ columns) / total, (attention.sum(1) @ rows) / total
    return float(x / attention.shape[1]), float(y / attention.shape[0])
