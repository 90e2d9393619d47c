"""Drop-in for the package `imagecorruptions`: one image at a time, random numbers from NumPy's global state.

    from failmodes.imagecorruptions import corrupt, get_corruption_names

Parameters are those of ImageNet-C at every size, as there. Batches, seeds, other recipes and severities between the
whole ones: `failmodes.corrupt`.
"""

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corruptions.apply import check_image
from failmodes.ingest.corruptions.apply import corrupt as corrupt_batch
from failmodes.ingest.corruptions.catalog import CORRUPTIONS, corruption_info
from failmodes.ingest.corruptions.corruption import GROUPS
from failmodes.ingest.corruptions.sampling import MAX_SEED
from failmodes.runtime.errors import StudyError, did_you_mean

RECIPE = "imagenet-c"

__all__ = ["corrupt", "get_corruption_names"]


def corrupt(
    image: NDArray[np.uint8], severity: int = 1, corruption_name: str | None = None, corruption_number: int = -1
) -> NDArray[np.uint8]:
    """Corrupt one image.

    A corruption with random numbers takes its seed from NumPy's global state, which `np.random.seed` sets.

    Example:
        >>> np.random.seed(0)
        >>> snowy = corrupt(image, corruption_name="snow", severity=2)

    Args:
        image: (H, W, 3) uint8, or gray: (H, W) or (H, W, 1), which becomes three equal channels; at least 32 pixels a
            side.
        severity: 1 to 5.
        corruption_name: one of `get_corruption_names("all")`.
        corruption_number: or its position in that list, from 0.

    Returns:
        (H, W, 3) uint8.

    Raises:
        StudyError: neither a name nor a number, or an unknown one; another severity.
        DataError: an image of another type or shape, or no photographs of frost.
        MissingExtraError: OpenCV is not installed.
    """
    name = _name_of(corruption_name, corruption_number)
    if severity not in (1, 2, 3, 4, 5):
        raise StudyError(f"severity {severity!r}: expected 1, 2, 3, 4 or 5")
    if isinstance(image, np.ndarray) and (image.ndim == 2 or image.shape[2:] == (1,)):
        image = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    check_image(image, RECIPE)
    is_random = bool(corruption_info(name).samples)
    seed = int(np.random.randint(MAX_SEED)) if is_random else 0
    corrupted: NDArray[np.uint8] = corrupt_batch(image[None], name, int(severity), recipe=RECIPE, seed=seed)[0]
    return corrupted


def _name_of(name: str | None, number: int) -> str:
    """The corruption of a name or of a position in the list."""
    names = get_corruption_names("all")
    if name is not None:
        if name not in names:
            raise StudyError(f"unknown corruption {name!r}: {did_you_mean(str(name), names)}")
        return name
    if number not in range(len(names)):
        raise StudyError(
            f"corruption_number {number!r}: expected corruption_name, or a number from 0 to {len(names) - 1}"
        )
    return names[number]


def get_corruption_names(subset: str = "common") -> list[str]:
    """Names of corruptions in their published order.

    Args:
        subset: 'common' (the 15 of the headline metrics), 'validation' (the other 4), 'all', or of the common ones
            'noise', 'blur', 'weather' or 'digital'.

    Raises:
        StudyError: another subset.
    """
    subsets = {
        "common": [known for known in CORRUPTIONS.values() if known.headline],
        "validation": [known for known in CORRUPTIONS.values() if not known.headline],
        "all": [*CORRUPTIONS.values()],
    }
    subsets |= {group: [known for known in subsets["common"] if known.group == group] for group in GROUPS}
    if subset not in subsets:
        raise StudyError(f"subset {subset!r}: {did_you_mean(str(subset), subsets, 'expected ' + ', '.join(subsets))}")
    return [known.name for known in subsets[subset]]
