"""Results whose images have metadata and measured properties."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from synthetic_results import Synthetic

from failmodes.warehouse.schema import IMAGES
from failmodes.warehouse.shards.format import list_results_files, read_verified, write_dimension

CAMERAS = ("A", "B", None, "C", "B")  # of the images in turn


def described(count: int) -> dict[str, pa.Array]:
    """Columns of `images`: a camera, which some lack, two numbers, a flag, and a measured property."""
    numbers = np.arange(count)
    return {
        "camera": pa.array([CAMERAS[image % len(CAMERAS)] for image in range(count)]),
        "iso speed": pa.array(100 * (numbers % 4)),
        "age": pa.array(7 * numbers % 90),
        "indoors": pa.array(numbers % 3 == 0),
        "image_luminance": pa.array((numbers * 0.618) % 1, pa.float32()),
    }


def describe_images(results: Synthetic, columns: Mapping[str, pa.Array]) -> None:
    """Write the images of results again, with these columns."""
    (path,) = list_results_files(results.output, IMAGES)
    rows = read_verified(path).rows.select([column.name for column in IMAGES.columns])
    for name, values in columns.items():
        rows = rows.drop_columns([name] if name in rows.column_names else []).append_column(name, values)
    write_dimension(results.output, IMAGES, path.stem, rows)
