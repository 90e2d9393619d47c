"""MedMNIST (Yang et al. 2023): one `.npz` of a dataset with `train_images`, `test_images` and their labels.

Images are uint8 (n, H, W), gray, or (n, H, W, 3); labels are (n, 1): see MedMNIST/MedMNIST, `medmnist/dataset.py`.
Class names are those of `medmnist/info.py`, found by the name of the file, such as bloodmnist_224.npz.
"""

import re

from failmodes.ingest.datasets.archives import in_color, map_images, read_array
from failmodes.ingest.datasets.dataset import KEPT_GRAY, Dataset, class_indices
from failmodes.ingest.datasets.layout import Request, layout
from failmodes.runtime.errors import DataError, printable

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
MAX_CLASSES = 1000


@layout("medmnist", path_is="file", expected="an .npz archive of MedMNIST, such as {parent}/bloodmnist_224.npz")
def open_medmnist(request: Request) -> Dataset:
    """Open a split; gray images stay gray when corrupted.

    Raises:
        DataError: the archive is damaged, lacks the split, or has several labels per image.
    """
    path = request.path
    split = request.split
    labels = class_indices(read_array(path, f"{split}_labels"), str(path))
    if not len(labels) or labels.min() < 0 or labels.max() >= MAX_CLASSES:
        raise DataError(f"{path}: labels are out of range: expected 0 to {MAX_CLASSES - 1}")
    known = re.sub(r"_(28|64|128|224)$", "", path.stem.lower())
    names = CLASSES.get(known, ())
    if labels.max() >= len(names):
        names = tuple(f"class {number}" for number in range(labels.max() + 1))
    images = map_images(path, f"{split}_images", request.cache)
    is_gray = images.ndim == 3
    return Dataset(
        name="medmnist",
        label=printable(path.stem, 100),
        split=split,
        images=in_color(images),
        labels=labels,
        class_names=names,
        note=KEPT_GRAY if is_gray else None,
        gray=is_gray,
    )
