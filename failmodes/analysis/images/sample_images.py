"""Images for charts that corrupt images themselves: the user's files, or scikit-learn's two sample photographs."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from failmodes.analysis.render.formatting import format_count
from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.corruptions.catalog import CORRUPTIONS, as_severity, corruption_info, recipe_of
from failmodes.ingest.datasets.decoding import decode, resize_and_crop
from failmodes.ingest.datasets.folder_listing import IMAGE_SUFFIXES
from failmodes.runtime.errors import StudyError
from failmodes.runtime.packages import require

PHOTOGRAPHS = {"china.jpg": "danielbuechele", "flower.jpg": "vultilion"}  # 640×427 pixels; photographer by file
SHIPPED = "shipped with scikit-learn, CC BY 2.0"
MAX_ROWS = 4  # of tiles per photograph, so that tiles of 32 pixels remain recognizable
Images = NDArray[np.uint8]


class CorruptionRequest(NamedTuple):
    """The images that a chart corrupts, and the corruptions; empty fields mean the chart's default.

    Attributes:
        recipe: "cifar-c" or "imagenet-c"; images are resized to the side length of the recipe.
        seed: random seed.
        severities: above 0, up to 5; clean is always included.
        corruptions: names of corruptions.
        files: image files, or folders of them.
    """

    recipe: str = "cifar-c"
    seed: int = 0
    severities: Sequence[float | Decimal] = ()
    corruptions: Sequence[str] = ()
    files: Sequence[Path] = ()

    def names(self) -> list[str]:
        """Names of the corruptions, in published order. Default: all 19.

        Raises:
            StudyError: an unknown corruption.
        """
        requested = {corruption_info(name).name for name in self.corruptions}
        return [name for name in CORRUPTIONS if not requested or name in requested]

    def levels(self) -> list[Decimal]:
        """Severities above 0, ascending; empty by default.

        Raises:
            StudyError: a severity is out of range, or 0 is the only one.
        """
        levels = sorted({as_severity(severity) for severity in self.severities} - {Decimal(0)})
        if self.severities and not levels:
            raise StudyError("severity 0 is the clean image, which is always shown: name severities above 0, up to 5")
        return levels

    def images_at(self, name: str, severity: Decimal, clean: Images) -> Images:
        """`clean` (N, S, S, 3) under a corruption; all severities share their noise.

        Raises:
            FailmodesError: the corruption cannot be applied; the message says why.
        """
        return corrupt(clean, name, severity, recipe=self.recipe, seed=self.seed)

    @property
    def side_px(self) -> int:
        """Side length of the images of the recipe."""
        return recipe_of(self.recipe).side_px

    @property
    def description(self) -> str:
        """Recipe and seed, for the source line of a chart."""
        return f"corruptions: {self.recipe} recipe, seed {self.seed}"


class SampleImages(NamedTuple):
    """Clean images (N, S, S, 3) uint8, their label, and their credit."""

    images: Images
    label: str
    credit: str


def one_image(files: Sequence[Path], side_px: int) -> SampleImages:
    """One image, center-cropped to a square and resized: the given file, or the first photograph.

    Raises:
        StudyError: several files, a folder, or a missing file.
        DataError: the file is not an image.
    """
    if len(files) > 1 or any(file.is_dir() for file in files):
        raise StudyError("a contact sheet shows one image: name one file with --image")
    if files:
        return SampleImages(_read(files, side_px), f"image {files[0].name}", files[0].name)
    name, photographer = next(iter(PHOTOGRAPHS.items()))
    pixels = np.asarray(resize_and_crop(_photograph(name), side_px))[None]
    return SampleImages(pixels, f"photograph {name}", f"{name} by {photographer} ({SHIPPED})")


def many_images(files: Sequence[Path], side_px: int) -> SampleImages:
    """Images of one size: the given files and images in the given folders, or tiles of both photographs.

    Raises:
        StudyError: a file is missing, or a folder has no images.
        DataError: a file is not an image.
    """
    if files:
        images = [image for file in files for image in _images_of(file)]
        label = f"{format_count(len(images), 'image')} from {', '.join(file.name or str(file) for file in files)}"
        return SampleImages(_read(images, side_px), label, label)
    tiles = np.concatenate([_tiles(_photograph(name), side_px) for name in PHOTOGRAPHS])
    credit = " and ".join(f"{name} by {photographer}" for name, photographer in PHOTOGRAPHS.items())
    return SampleImages(tiles, f"{format_count(len(tiles), 'tile')} of two photographs", f"{credit} ({SHIPPED})")


def _tiles(photograph: Image.Image, side_px: int) -> Images:
    """Square tiles that cover a 3:2 photograph without overlap."""
    rows = min(MAX_ROWS, max(1, round(photograph.height / side_px)))
    columns = rows * 3 // 2
    resized = photograph.resize((columns * side_px, rows * side_px), Image.Resampling.BILINEAR)
    grid = np.asarray(resized).reshape(rows, side_px, columns, side_px, 3)
    return grid.swapaxes(1, 2).reshape(-1, side_px, side_px, 3)


def _photograph(name: str) -> Image.Image:
    require("images", f"the photograph {name}", ["sklearn"])
    from sklearn.datasets import load_sample_image

    return Image.fromarray(load_sample_image(name))


def _images_of(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    images = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise StudyError(f"{path} has no images: expected files that end in {', '.join(sorted(IMAGE_SUFFIXES))}")
    return images


def _read(files: Sequence[Path], side_px: int) -> Images:
    for file in files:
        if not file.is_file():
            raise StudyError(f"no image at {file}: name an image file with --image")
    return np.stack([np.asarray(resize_and_crop(decode(file, str(file)), side_px)) for file in files])
