"""Object masks as a user has them beside images in arrays, put where a study can name them."""

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from failmodes.ingest.data_files import write_npy
from failmodes.ingest.datasets.masks import check_mask_array
from failmodes.warehouse.hashing import fingerprint_of
from failmodes.warehouse.storage.files import atomic_write
from failmodes.warehouse.storage.locations import user_path


def stored_masks(masks: Any, shape: tuple[int, ...], folder: Path) -> Path:
    """The `.npy` of masks: the one that was given, or one written into the folder of the images, named by its content.

    Args:
        masks: bool (N, H, W), or uint8 of 0 and 1, array or tensor; or the path of a `.npy`, checked when it is opened.
        shape: (N, H, W, 3) of the images.
        folder: the folder of arrays that holds them.

    Raises:
        DataError: they are of another type or shape.
        StorageError: they cannot be written.
    """
    if isinstance(masks, str | PathLike):
        return user_path(masks).absolute()
    array = masks.detach().cpu().numpy() if isinstance(masks, torch.Tensor) else np.asarray(masks)
    check_mask_array(array, shape, "the array")
    path = folder / f"masks-{fingerprint_of([array.view(np.uint8)])}.npy"
    if not path.exists():
        with atomic_write(path) as temporary:
            write_npy(temporary, array.shape, [array.view(np.uint8)])
    return path
