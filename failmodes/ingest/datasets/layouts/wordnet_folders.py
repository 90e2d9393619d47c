"""Test images of ImageNet's classes in one folder per class, named by its WordNet id: ImageNet-A, -R and -Sketch.

ImageNet-A (Hendrycks et al. 2021) and ImageNet-R (Hendrycks et al. 2021, 30,000 renditions) have 200 classes, and
accuracy is among the outputs of these (hendrycks/natural-adv-examples and hendrycks/imagenet-r, `eval.py`).
ImageNet-Sketch has 1,000 classes, 50 sketches each (HaohanWang/ImageNet-Sketch).
"""

from collections.abc import Callable
from pathlib import Path

from failmodes.ingest.data_files import list_entries
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.folder_listing import class_name_of, list_images
from failmodes.ingest.datasets.imagenet_classes import by_wordnet_id
from failmodes.ingest.datasets.labeled_images import LabeledImages, open_labeled_images
from failmodes.ingest.datasets.layout import OF_ENCODED, Request, layout, refuse_other_split
from failmodes.runtime.errors import DataError, printable

TAKES = OF_ENCODED - {"gray"}
EXPECTED = "a folder of class folders named by WordNet id, such as {path}/n01440764"
NAMED = {  # labels, and numbers of published classes
    "imagenet-a": ("ImageNet-A", 200),
    "imagenet-r": ("ImageNet-R", 200),
    "imagenet-sketch": ("ImageNet-Sketch", 1000),
}


@layout(*NAMED, takes=TAKES, expected=EXPECTED)
def open_wordnet_folders(request: Request) -> Dataset:
    """Open the test images; the classes are those that the folders name.

    Raises:
        DataError: a class folder is not named by the WordNet id of an ImageNet class, or as `open_labeled_images`.
    """
    refuse_other_split(request)
    root = inner_folder(request.path, lambda name: class_name_of(name) in by_wordnet_id())
    listing = list_images(root)
    for name in listing.class_names:
        if name not in by_wordnet_id():
            raise DataError(f"{root} has a folder {printable(name, 60)!r}: expected WordNet ids of ImageNet's classes")
    label, count = NAMED[request.spec.kind]
    absent = count - len(listing.class_names)
    notes = listing.notes()
    notes += [f"{absent:,} of {count:,} classes have no folder"] if absent > 0 else []
    images = LabeledImages.of_folder(root, listing.files, listing.labels, listing.class_names, notes, listing.unread)
    return open_labeled_images(request, images, label)


def inner_folder(path: Path, is_class: Callable[[str], bool]) -> Path:
    """The folder that holds the class folders: `path`, or the only folder in it, which an archive unpacks to."""
    folders = list_entries(path).folders
    return path / folders[0] if len(folders) == 1 and not is_class(folders[0]) else path
