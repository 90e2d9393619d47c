"""ObjectNet (Barbu et al. 2019): `images/` with a folder per class, and `mappings/` to the classes of ImageNet.

The dataset's own mappings are read, as its users do (mlfoundations/wise-ft, `src/datasets/objectnet.py`):

folder_to_objectnet_label.json     folder: label
objectnet_to_imagenet_1k.json      label: ImageNet labels, separated by "; "
imagenet_to_label_2012_v2          an ImageNet label a line
pytorch_to_imagenet_2012_id.json   output of a model: number of the line, from 0

The publisher's loader removes two pixels at each edge, which hold a red border (abarbu/objectnet-template-pytorch,
`objectnet_pytorch_dataloader.py`).
"""

from pathlib import Path
from typing import TypeVar

import numpy as np

from failmodes.ingest.data_files import read_json
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.folder_listing import list_images
from failmodes.ingest.datasets.imagenet_classes import by_wordnet_id
from failmodes.ingest.datasets.labeled_images import LabeledImages, open_labeled_images
from failmodes.ingest.datasets.layout import Request, layout, refuse_other_split
from failmodes.ingest.datasets.layouts.wordnet_folders import TAKES
from failmodes.runtime.errors import DataError, StorageError, counted, printable
from failmodes.runtime.storage.files import read_text

BORDER_PX = 2
FOLDERS_FILE, CLASSES_FILE = "folder_to_objectnet_label.json", "objectnet_to_imagenet_1k.json"
LABELS_FILE, OUTPUTS_FILE = "imagenet_to_label_2012_v2", "pytorch_to_imagenet_2012_id.json"
MAX_BYTES = 1 << 20  # of the labels

Value = TypeVar("Value", str, int)


@layout(
    "objectnet",
    takes=TAKES,
    expected="the folder objectnet-1.0, which holds images/ and mappings/",
)
def open_objectnet(request: Request) -> Dataset:
    """Open the images of the classes that ObjectNet shares with ImageNet, one to one.

    A class that is several classes of ImageNet has no single output and is skipped; the note counts these, and those
    that ImageNet lacks.

    Raises:
        DataError: a mapping is missing, damaged or names an unknown class, no class is shared, or as
            `open_labeled_images`.
    """
    refuse_other_split(request)
    root = request.path / "images"
    if not root.is_dir():
        raise DataError(f"{request.path} has no folder images: expected the folder objectnet-1.0")
    shared = _shared_classes(request.path / "mappings")
    listing = list_images(root)
    several = sum(len(shared.get(folder, [])) > 1 for folder in listing.folder_names)
    ids = [shared[folder][0] if len(shared.get(folder, [])) == 1 else None for folder in listing.folder_names]
    names = tuple(sorted({wordnet_id for wordnet_id in ids if wordnet_id is not None}))
    if not names:
        raise DataError(f"{root} has no folder of a class that {CLASSES_FILE} maps to one class of ImageNet")
    index = {name: place for place, name in enumerate(names)}
    of_folder = np.array([-1 if wordnet_id is None else index[wordnet_id] for wordnet_id in ids])
    classes = of_folder[listing.labels]
    places = np.flatnonzero(classes >= 0)
    files = [listing.files[place] for place in places]
    lacking = sum(wordnet_id is None for wordnet_id in ids) - several
    classes_lacking = counted(lacking, "class", "classes")
    left_out = f"{classes_lacking} that ImageNet lacks and {several:,} that are several of its classes"
    notes = [f"skipped: {counted(len(classes) - len(files), 'image')} of {left_out}"]
    images = LabeledImages.of_folder(
        root,
        files,
        classes[places].astype(np.int64),
        names,
        [*notes, *listing.notes()],
        listing.unread,
        border_px=BORDER_PX,
    )
    return open_labeled_images(request, images, "ObjectNet")


def _shared_classes(mappings: Path) -> dict[str, list[str]]:
    """WordNet ids of the ImageNet classes that a folder's class is, by folder.

    Raises:
        DataError: a mapping is missing, damaged, or does not agree with the others.
    """
    folders, classes = (_mapping(mappings / name, str) for name in (FOLDERS_FILE, CLASSES_FILE))
    outputs = {line: int(output) for output, line in _mapping(mappings / OUTPUTS_FILE, int).items() if output.isdigit()}
    try:
        lines = read_text(mappings / LABELS_FILE, MAX_BYTES).splitlines()
    except (FileNotFoundError, StorageError) as error:
        raise DataError(f"{mappings / LABELS_FILE} is missing or damaged: download the dataset again") from error
    known = list(by_wordnet_id().values())
    of_label = {label.strip(): outputs.get(line, -1) for line, label in enumerate(lines)}
    shared: dict[str, list[str]] = {}
    agreeing: list[bool] = []
    for folder, name in folders.items():
        for label in filter(None, classes.get(name, "").split("; ")):
            output = of_label.get(label, -1)
            if not 0 <= output < len(known):
                raise DataError(
                    f"{mappings}: {printable(label, 60)!r} of {CLASSES_FILE} has no output of ImageNet's 1,000"
                )
            shared.setdefault(folder, []).append(known[output].wordnet_id)
            agreeing.append(label.split(",")[0].casefold() == known[output].name.casefold())
    if 2 * sum(agreeing) < len(agreeing):  # names may differ, but not most of them
        raise DataError(f"{mappings}: its labels and outputs do not agree: download the dataset again")
    return shared


def _mapping(path: Path, kind: type[Value]) -> dict[str, Value]:
    """A JSON object with values of one type.

    Raises:
        DataError: it is missing or damaged.
    """
    try:
        content = read_json(path)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: it comes with the dataset, download that again") from error
    if not isinstance(content, dict) or not all(type(value) is kind for value in content.values()):
        raise DataError(f"{path} must be a JSON object with values of type {kind.__name__}: download the dataset again")
    return content
