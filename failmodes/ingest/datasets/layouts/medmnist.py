"""MedMNIST (Yang et al. 2023): one `.npz` of a dataset with `train_images`, `test_images` and their labels.

Images are uint8 (n, H, W), gray, or (n, H, W, 3); labels are (n, 1): see MedMNIST/MedMNIST, `medmnist/dataset.py`.
Class names are those of `medmnist/info.py`, found by the name of the file, such as bloodmnist_224.npz.
"""

import re

import numpy as np

from failmodes.ingest.datasets.archives import images_header, in_color, map_images, read_array
from failmodes.ingest.datasets.dataset import KEPT_GRAY, Dataset
from failmodes.ingest.datasets.layout import Request, layout
from failmodes.warehouse.errors import DataError, printable

_ORGANS = (
    "bladder", "femur-left", "femur-right", "heart", "kidney-left", "kidney-right", "liver", "lung-left", "lung-right",
    "pancreas", "spleen",
)  # fmt: skip
CLASSES: dict[str, tuple[str, ...]] = {
    "pathmnist": (
        "adipose", "background", "debris", "lymphocytes", "mucus", "smooth muscle", "normal colon mucosa",
        "cancer-associated stroma", "colorectal adenocarcinoma epithelium",
    ),
    "dermamnist": (
        "actinic keratoses and intraepithelial carcinoma", "basal cell carcinoma", "benign keratosis-like lesions",
        "dermatofibroma", "melanoma", "melanocytic nevi", "vascular lesions",
    ),
    "octmnist": ("choroidal neovascularization", "diabetic macular edema", "drusen", "normal"),
    "pneumoniamnist": ("normal", "pneumonia"),
    "retinamnist": ("0", "1", "2", "3", "4"),
    "breastmnist": ("malignant", "normal, benign"),
    "bloodmnist": (
        "basophil", "eosinophil", "erythroblast",
        "immature granulocytes(myelocytes, metamyelocytes and promyelocytes)", "lymphocyte", "monocyte", "neutrophil",
        "platelet",
    ),
    "tissuemnist": (
        "Collecting Duct, Connecting Tubule", "Distal Convoluted Tubule", "Glomerular endothelial cells",
        "Interstitial endothelial cells", "Leukocytes", "Podocytes", "Proximal Tubule Segments", "Thick Ascending Limb",
    ),
    "organamnist": _ORGANS,
    "organcmnist": _ORGANS,
    "organsmnist": _ORGANS,
}  # fmt: skip
MOST_CLASSES = 1000


@layout("medmnist", is_file=True, expected="an .npz archive of MedMNIST, such as {parent}/bloodmnist_224.npz")
def open_medmnist(request: Request) -> Dataset:
    """Open a split; gray images stay gray when corrupted.

    Raises:
        DataError: the archive is damaged, lacks the split, or has several labels per image.
    """
    path, split = request.path, request.split
    shape = images_header(path, f"{split}_images").shape
    labels = read_array(path, f"{split}_labels")
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise DataError(f"{path} has {labels.shape[1]} labels per image: only datasets with one label can be evaluated")
    labels = labels.reshape(-1)
    if not np.issubdtype(labels.dtype, np.integer) or len(labels) != shape[0]:
        raise DataError(f"{path}: labels are {labels.dtype} ({len(labels):,}): expected {shape[0]:,} whole numbers")
    if not len(labels) or labels.min() < 0 or labels.max() >= MOST_CLASSES:
        raise DataError(f"{path}: labels are out of range: expected 0 to {MOST_CLASSES - 1}")
    known = re.sub(r"_(28|64|128|224)$", "", path.stem.lower())
    names = CLASSES.get(known, ())
    if labels.max() >= len(names):
        names = tuple(f"class {number}" for number in range(labels.max() + 1))
    is_gray = len(shape) == 3
    return Dataset(
        name="medmnist",
        label=printable(path.stem, 100),
        split=split,
        images=in_color(map_images(path, f"{split}_images", request.cache)),
        labels=labels.astype(np.int64),
        class_names=names,
        note=KEPT_GRAY if is_gray else None,
        gray=is_gray,
    )
