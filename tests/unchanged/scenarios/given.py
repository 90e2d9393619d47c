"""Images given to `failmodes.benchmark` in every form that it takes: labels, names, metadata and the exact pixels."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from image_files import encoded, packed, scenes, write, write_arrays, write_class_folders, write_parquet, write_tar
from PIL import Image
from pixel_hash import three
from pixel_studies import answer
from side import Side
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

COUNTED = {"rows": 1323, "values": 32, "sentences": 384, "files": 320, "exits": 32}

NAMES = ("ant", "bee", "cat")
PIXELS = scenes(9, 20, 24, seed=20)
LABELS = np.array([0, 1, 2, 2, 1, 0, 0, 1, 2])
TENSORS = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)
PICTURES = [Image.fromarray(image) for image in PIXELS]
OTHERS = scenes(6, 20, 24, seed=21)
MODES = ("RGB", "L", "RGBA", "P", "CMYK", "LA", "1", "RGB", "L")


class Items(Dataset):
    """A dataset of what `make` makes of an image and its label."""

    def __init__(self, make: Callable[[Any, int], Any], images: Any = PICTURES) -> None:
        self.make, self.images = make, images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        return self.make(self.images[index], int(LABELS[index]))


class Named(Items):
    """As those of torchvision."""

    classes = ("dog", "emu", "fox")


class Stream(IterableDataset):
    def __iter__(self) -> Iterator[Any]:
        return iter(zip(PICTURES, LABELS.tolist(), strict=True))


def inputs(folder: Path) -> None:
    write_class_folders(folder / "folder", PIXELS, [NAMES[label] for label in LABELS])
    for number, label in enumerate(LABELS):
        mask = np.zeros((20, 24), np.uint8)
        mask[number:, 4:12] = 255
        write(folder / "masks" / NAMES[label] / f"{number:03d}.png", encoded(mask))
    files = [f"folder/{NAMES[label]}/{number:03d}.png" for number, label in enumerate(LABELS)]
    rows = pl.DataFrame({"path": files, "label": [NAMES[label] for label in LABELS], "site": ["x", "y", "z"] * 3})
    rows.write_csv(folder / "list.csv")
    rows.with_columns(pl.col("path").str.strip_prefix("folder/")).drop("label").write_csv(folder / "sites.csv")
    images = packed(PIXELS, LABELS)
    write_parquet(folder / "images.parquet", images, NAMES, camera=["a", "b", "c"] * 3)
    samples = [(name[:4], {name[5:]: content, "cls": NAMES[label].encode()}) for name, content, label in images]
    write_tar(folder / "shards/0.tar", samples)
    write_arrays(folder / "arrays", PIXELS, LABELS, NAMES)
    write_class_folders(folder / "path-shift", OTHERS[::-1], [NAMES[label] for label in LABELS[:6]])
    np.save(folder / "pixels.npy", PIXELS)
    hugging_face().save_to_disk(str(folder / "saved"))


def hugging_face(**more: Any) -> Any:
    """A dataset of Hugging Face."""
    import datasets

    label = datasets.ClassLabel(names=[*NAMES])
    kinds = {"image": datasets.Image(), "label": label} | {name: label for name in more}
    rows = [{"bytes": encoded(image), "path": None} for image in PIXELS]
    return datasets.Dataset.from_dict({"image": rows, "label": LABELS, **more}, features=datasets.Features(kinds))


def cases(folder: Path) -> dict[str, dict[str, Any]]:
    """Arguments of `failmodes.benchmark`; those of `Options` are under `options`."""
    masks = np.stack([np.eye(20, 24, k=number, dtype=bool) for number in range(9)])
    described = {"camera": ["a", "b", None] * 3, "iso": range(9)}
    broken = [encoded(image) for image in PIXELS[:8]] + [b"these are words"]
    return {
        "array": {"images": PIXELS, "labels": LABELS},
        "array-all": {
            "images": PIXELS, "labels": LABELS[:, None], "masks": masks, "metadata": described, "image_count": 7,
            "class_names": NAMES, "options": {"dataset_label": "Insects", "gray": False, "label_names": NAMES[::-1]},
        },
        "array-seeds": {"images": PIXELS, "labels": LABELS, "options": {"seeds": [1, 2], "noise": "independent"}},
        "array-imagenet-c": {"images": scenes(6, 40, 40), "labels": LABELS[:6], "options": {"recipe": "imagenet-c"}},
        "array-gray": {"images": np.repeat(PIXELS[..., :1], 3, axis=3), "labels": LABELS, "options": {"gray": True}},
        "memory-map": {"images": np.load(folder / "pixels.npy", mmap_mode="r"), "labels": LABELS.astype(np.uint8)},
        "tensor": {"images": TENSORS, "labels": torch.from_numpy(LABELS)},
        "list-of-arrays": {"images": [*PIXELS], "labels": LABELS.tolist()},
        "list-of-pictures": {"images": PICTURES, "labels": LABELS, "image_size": 16, "options": {"resize": 18}},
        "pairs": {"images": list(zip(PICTURES, LABELS.tolist(), strict=True))},
        "mappings": {
            "images": [{"img": i, "fine_label": int(k), "other": 1} for i, k in zip(PIXELS, LABELS, strict=True)]
        },
        "generator": {"images": ((image, int(label)) for image, label in zip(PICTURES, LABELS, strict=True))},
        "modes": {
            "images": [in_mode(image, mode) for image, mode in zip(PICTURES, MODES, strict=True)], "labels": LABELS,
            "options": {"background": [200, 10, 30]}, "image_size": 20,
        },
        "encoded": {"images": broken, "labels": LABELS, "options": {"skip_unreadable": True}},
        "dataset": {"images": Items(lambda image, label: (image, label))},
        "dataset-named": {"images": Named(lambda image, label: [image, label])},
        "dataset-of-tensors": {"images": TensorDataset(TENSORS, torch.from_numpy(LABELS))},
        "dataset-stream": {"images": Stream()},
        "subset": {"images": Subset(Named(lambda image, label: (image, label)), [8, 2, 3, 4, 0, 1])},
        "loader": {"images": DataLoader(TensorDataset(TENSORS, torch.from_numpy(LABELS)), batch_size=4)},
        "loader-of-mappings": {
            "images": DataLoader(Items(lambda image, label: {"image": image, "labels": label}, TENSORS), batch_size=5)
        },
        "loader-unbatched": {"images": DataLoader(Items(lambda image, label: (image, label), PIXELS), batch_size=None)},
        "hugging-face": {"images": hugging_face()},
        "hugging-face-column": {"images": hugging_face(other=LABELS[::-1]), "options": {"label_column": "other"}},
        "path-folder": {
            "images": folder / "folder", "masks": folder / "masks", "metadata": folder / "sites.csv", "image_size": 18,
        },
        "path-list": {"images": str(folder / "list.csv"), "image_count": 5},
        "path-parquet": {"images": folder / "images.parquet"},
        "path-shards": {"images": folder / "shards"},
        "path-arrays": {"images": folder / "arrays", "metadata": pl.DataFrame(described)},
        "path-saved": {"images": folder / "saved"},
        "shifts": {
            "images": PIXELS, "labels": LABELS, "class_names": NAMES,
            "shifts": {
                "Others": (OTHERS, LABELS[:6]), "Path": folder / "path-shift",
                "Items": Items(lambda image, label: (image, label), PICTURES[::-1]),
            },
        },
        "shift-tables": {
            "images": folder / "folder",
            "shifts": [{"label": "Tar", "kind": "webdataset", "path": str(folder / "shards"), "images": 3}],
        },
    }  # fmt: skip


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    """The image in a mode; half transparent if the mode allows it."""
    converted = image.convert(mode)
    if mode in ("RGBA", "LA"):
        converted.putalpha(Image.linear_gradient("L").resize(image.size))
    return converted


def run(side: Side) -> None:
    for name, arguments in cases(side.inputs).items():
        if side.python(f"{name}.run", lambda n=name, a=arguments: benchmark(n, a)):
            answer(side, name)


def benchmark(name: str, arguments: dict[str, Any]) -> str:
    import failmodes

    options = failmodes.Options(attention=False, **arguments.get("options", {}))
    given = {key: value for key, value in arguments.items() if key != "options"}
    noise = {"corruptions": "gaussian_noise", "severities": [3]}
    return failmodes.benchmark(three, to=name, label="Hash", options=options, **noise, **given).path.name
