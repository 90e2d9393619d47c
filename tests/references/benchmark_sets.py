"""Miniatures of published benchmark datasets: names, shapes, orders and class lists of the real ones, few small images.

Sources: CIFAR-10-C (Zenodo 2535967), CIFAR-10-C-bar and ImageNet-C-bar (facebookresearch/augmentation-corruption,
`imagenet_c_bar/cifar10_c_bar.csv` and README), MedMNIST-C (francescodisalvo05/medmnistc-api, `dataset_manager.py` and
`registry.py`), ImageNet-3DCC (EPFL-VILAB/3DCommonCorruptions), ObjectNet (the archive's `mappings/`).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from failmodes.ingest.datasets.imagenet_classes import by_wordnet_id

CIFAR_10_C_BAR = (
    "blue_noise_sample", "checkerboard_cutout", "inverse_sparkles", "pinch_and_twirl", "ripple", "brownish_noise",
    "circular_motion_blur", "lines", "sparkles", "transverse_chromatic_abberation",
)  # fmt: skip
IMAGENET_C_BAR = (
    "blue_noise_sample", "brownish_noise", "caustic_refraction", "checkerboard_cutout", "cocentric_sine_waves",
    "inverse_sparkles", "perlin_noise", "plasma_noise", "single_frequency_greyscale", "sparkles",
)  # fmt: skip
IMAGENET_C_BAR_PARAMETERS = {  # folders of severities as `make_imagenet_c_bar.py` names them
    name: [f"{float(level):.2f}" for level in levels.split(",")]
    for name, levels in {
        "caustic_refraction": "2.35,3.2,4.9,6.6,9.15", "inverse_sparkles": "1.0,2.0,4.0,9.0,10.0",
        "sparkles": "1.0,2.0,3.0,5.0,6.0", "perlin_noise": "4.6,5.2,5.8,7.6,8.8",
        "blue_noise_sample": "0.8,1.6,2.4,4.0,5.6", "plasma_noise": "4.75,7.0,8.5,9.25,10.0",
        "checkerboard_cutout": "2.0,3.0,4.0,5.0,6.0", "cocentric_sine_waves": "3.0,5.0,8.0,9.0,10.0",
        "single_frequency_greyscale": "1.0,1.5,2.0,4.5,5.0", "brownish_noise": "1.0,2.0,3.0,4.0,5.0",
    }.items()
}  # fmt: skip
IMAGENET_3DCC = ("near_focus", "far_focus", "fog_3d", "flash", "xy_motion_blur", "z_motion_blur")
BLOODMNIST_C = (
    "pixelate", "jpeg_compression", "defocus_blur", "motion_blur", "brightness_up", "brightness_down", "contrast_up",
    "contrast_down", "saturate", "stain_deposit", "bubble",
)  # fmt: skip
SEVERITIES = (1, 2, 3, 4, 5)
SHADES = "sunglasses, dark glasses, shades"


def darkened(images: np.ndarray, name: str, severity: int) -> np.ndarray:
    """Images (N, H, W, 3), a little darker at each severity, and another shade for each name."""
    factor = 1 - 0.1 * severity - 0.01 * (sum(map(ord, name)) % 10)
    return (images * factor).astype(np.uint8)


def write_arrays(folder: Path, images: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> Path:
    """`<corruption>.npy` and `labels.npy`, as CIFAR-10-C and CIFAR-10-C-bar."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        np.save(folder / f"{name}.npy", np.concatenate([darkened(images, name, s) for s in SEVERITIES]))
    np.save(folder / "labels.npy", np.tile(labels, len(SEVERITIES)).astype(np.uint8))
    return folder


def write_tree(
    folder: Path,
    images: np.ndarray,
    files: Sequence[str],
    names: Sequence[str] | Mapping[str, Sequence[str]],
) -> Path:
    """`<corruption>/<severity>/<class>/<image>`, as ImageNet-C, Tiny-ImageNet-C, ImageNet-C-bar and ImageNet-3DCC.

    `names` may give the folders of severities of each corruption, in order.
    """
    levels = names if isinstance(names, Mapping) else dict.fromkeys(names, list(map(str, SEVERITIES)))
    for name in names:
        for severity, level in enumerate(levels[name], start=1):
            for pixels, file in zip(darkened(images, name, severity), files, strict=True):
                path = folder / name / level / file
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path, "PNG")
    return folder


def write_medmnist_c(folder: Path, images: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> Path:
    """`<corruption>.npz` as `medmnistc.dataset_manager` writes it; images (N, H, W) are gray."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        stacked = np.concatenate([darkened(images, name, severity) for severity in SEVERITIES])
        tiled = np.tile(labels.astype(np.uint8)[:, None], (len(SEVERITIES), 1))
        np.savez_compressed(folder / f"{name}.npz", test_images=list(stacked), test_labels=list(tiled))
    return folder


def write_medmnist(path: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    """One `.npz` with the splits train, val and test, as medmnist.com distributes it."""
    column = labels.astype(np.uint8)[:, None]
    parts = {
        f"{split}_{key}": array
        for split in ("train", "val", "test")
        for key, array in (("images", images), ("labels", column))
    }
    np.savez_compressed(path, **parts)
    return path


def write_cifar10_1(folder: Path, images: np.ndarray, labels: np.ndarray, version: str = "v6") -> Path:
    """`cifar10.1_v6_data.npy` and `cifar10.1_v6_labels.npy`, as modestyachts/CIFAR-10.1 has them (int32 labels)."""
    folder.mkdir(exist_ok=True)
    np.save(folder / f"cifar10.1_{version}_data.npy", images)
    np.save(folder / f"cifar10.1_{version}_labels.npy", labels.astype(np.int32))
    return folder


def write_cifar10_2(folder: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    """`cifar102_test.npz` with the keys of modestyachts/cifar-10.2, two of which hold Python objects."""
    folder.mkdir(exist_ok=True)
    names = np.array(["airplane", "automobile"], dtype=object)
    np.savez(
        folder / "cifar102_test.npz", images=images, labels=labels.astype(np.int64), label_names=names, keywords=names,
        ti_indices=np.arange(len(images)),
    )  # fmt: skip
    return folder


def write_class_folders(root: Path, images: np.ndarray, folders: Sequence[str], suffix: str = "jpg") -> Path:
    """One image per folder: `0/…` to `999/…` of ImageNet-V2, `n01440764/…` of ImageNet-A, -R and -Sketch."""
    for number, (folder, pixels) in enumerate(zip(folders, images, strict=True)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / folder / f"{number:03d}.{suffix}", "PNG")
    return root


def write_objectnet(root: Path, images: np.ndarray) -> Path:
    """Folders, mappings and red border as in objectnet-1.0; two classes are several of ImageNet's, or none."""
    folders = {
        "sunglasses": "Sunglasses",
        "mouse": "Computer mouse",
        "chair": "Chair",
        "air_freshener": "Air freshener",
    }
    classes = {"Sunglasses": SHADES, "Computer mouse": "mouse, computer mouse", "Chair": "barber chair; folding chair"}
    order = np.random.default_rng(0).permutation(1000)  # lines of labels are in an order of their own
    labels = {837: SHADES, 673: "mouse, computer mouse"}
    lines = [labels.get(output, known.name) for output, known in enumerate(by_wordnet_id().values())]
    framed = images.copy()
    for edge in (np.s_[:, :2], np.s_[:, -2:], np.s_[:, :, :2], np.s_[:, :, -2:]):
        framed[edge] = (255, 0, 0)
    write_class_folders(root / "images", framed[:4], list(folders), "png")
    (root / "mappings").mkdir()
    (root / "mappings" / "folder_to_objectnet_label.json").write_text(json.dumps(folders))
    (root / "mappings" / "objectnet_to_imagenet_1k.json").write_text(json.dumps(classes))
    (root / "mappings" / "imagenet_to_label_2012_v2").write_text("".join(f"{lines[output]}\n" for output in order))
    places = {str(output): place for place, output in enumerate(order.tolist())}
    (root / "mappings" / "pytorch_to_imagenet_2012_id.json").write_text(json.dumps(places))
    return root
