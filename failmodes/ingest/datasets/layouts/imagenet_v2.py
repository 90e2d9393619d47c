"""ImageNet-V2 (Recht et al. 2019): folders `0` to `999`, numbered as the outputs of ImageNet models.

The number of a folder is the class index (tensorflow/datasets, `imagenet_v2_dataset_builder.py`). Sorted as text, as
torchvision's ImageFolder does, 10 would come before 2.
"""

import re
from dataclasses import replace

import numpy as np

from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.folder_listing import list_images
from failmodes.ingest.datasets.imagenet_classes import by_wordnet_id
from failmodes.ingest.datasets.labeled_images import LabeledImages, open_labeled_images
from failmodes.ingest.datasets.layout import Request, layout, refuse_other_split
from failmodes.ingest.datasets.layouts.wordnet_folders import TAKES, inner_folder
from failmodes.runtime.errors import DataError, printable


@layout(
    "imagenet-v2",
    takes=TAKES,
    expected="a folder of the class folders 0 to 999, such as imagenetv2-matched-frequency-format-val",
)
def open_imagenet_v2(request: Request) -> Dataset:
    """Open the test images; classes are named by WordNet id, in the order of their numbers.

    Raises:
        DataError: a class folder is not named by a number from 0 to 999, or as `open_labeled_images`.
    """
    refuse_other_split(request)
    root = inner_folder(request.path, lambda name: name.isdigit())
    listing = list_images(root)
    ids = list(by_wordnet_id())
    for name in listing.folder_names:
        if not re.fullmatch(r"0|[1-9][0-9]{0,2}", name):
            raise DataError(f"{root} has a folder {printable(name, 60)!r}: expected class folders 0 to 999")
    numbers = np.array([int(name) for name in listing.folder_names])
    order = np.argsort(numbers)
    labels = np.argsort(order)[listing.labels]
    places = np.argsort(labels, kind="stable")
    missing = len(ids) - len(numbers)
    notes = [*listing.notes(), *([f"{missing:,} of {len(ids):,} classes have no folder"] if missing else [])]
    images = LabeledImages.of_folder(
        root,
        [listing.files[place] for place in places],
        labels[places].astype(np.int64),
        tuple(ids[number] for number in numbers[order]),
        notes,
        listing.unread,
    )
    dataset = open_labeled_images(request, images, f"ImageNet-V2 ({printable(root.name, 60)})")
    return replace(dataset, version=root.name.removesuffix("-format-val"))
