"""A folder of labeled images: `class/*.png|jpg|jpeg|…`, or `train/class/…` and `test/class/…`.

Files that end in .png, .jpg, .jpeg, .bmp, .gif, .tif, .tiff or .webp, in any case, are read; the dataset's note counts
the others.
"""

from dataclasses import replace
from pathlib import Path

from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.folder_listing import list_beside, list_images
from failmodes.ingest.datasets.labeled_images import LabeledImages, open_labeled_images
from failmodes.ingest.datasets.layout import OF_ENCODED, Request, layout
from failmodes.runtime.errors import DataError, printable


@layout(
    "folder",
    takes={*OF_ENCODED, "masks"},
    expected="a folder of class folders, such as {path}/cat/0001.png",
)
def open_folder(request: Request) -> Dataset:
    """Open a folder of labeled images; classes are in the order of the folders' names.

    A class is named after its folder, or by the WordNet id at the beginning of the folder's name. `path/<split>` is
    used if it holds class folders. Images are prepared by `open_labeled_images`.

    Raises:
        DataError: no class folders, no images, none in a class that has other files, or as `open_labeled_images`.
    """
    path = request.path
    root = _split_root(path, request.split, request.spec.split)
    listing, beside = list_images(root), [] if root == path else list_beside(path)
    images = LabeledImages.of_folder(
        root,
        listing.files,
        listing.labels,
        listing.class_names,
        listing.notes(beside),
        listing.unread,
        split_folder=None if root == path else request.split,
    )
    return replace(open_labeled_images(request, images, printable(path.name)), is_whole=root == path)


def _split_root(path: Path, split: str, declared_split: str) -> Path:
    inner = path / split
    if inner.is_dir() and any(entry.is_dir() for entry in inner.iterdir()):
        return inner
    if split != declared_split:
        raise DataError(f"{path} has no {split}/ folder of class folders: its images are its {declared_split} split")
    return path
