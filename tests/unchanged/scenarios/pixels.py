"""Corrupted pixels: every corruption, recipe and size; drop-ins for other libraries; written sets; charts of images."""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from image_files import encoded, scenes, write, write_arrays, write_class_folders
from PIL import Image
from pixel_hash import digest
from pixel_studies import run_study
from side import Side

COUNTED = {"rows": 2418, "values": 10017, "sentences": 99, "files": 73, "exits": 20}

NAMES = ("ant", "bee", "cat")
COLUMNS = ("case", "recipe", "noise", "px", "corruption", "severity", "image_id", "pixels", "mean", "every_97th")
SEVERITIES = (1, 2.5, 5)
CASES = {  # arguments of `failmodes.corrupt` beside name and severity, and sides of the images
    "both recipes": [({"recipe": recipe}, (32, 224)) for recipe in ("cifar-c", "imagenet-c")],
    "independent": [({"noise": "independent"}, (32, 224))],
    "another seed": [({"seed": 7}, (32, 224))],
    "gray": [({"gray": True}, (40,))],
    "image_ids": [({"image_ids": [41, 5], "threads": 2}, (32,))],
    "by size": [({}, (84, 85))],
}
DIGITS = ("corrupt", "digits", "--images", 10)
FOLDER = ("corrupt", "folder", "--resize", 36, "--image-size", 32)
SETS = {  # the words of `failmodes corrupt`; written to SET
    "cifar-c": (*DIGITS, "--corruption", "gaussian_noise", "--corruption", "frost", "--corruption", "glass_blur"),
    "cifar-c-independent": (*DIGITS, "--corruption", "shot_noise", "--noise", "independent", "--seed", 3),
    "cifar-c-own": (*DIGITS, "--corruption", "haze:haze", "--corruption", "haze:veil", "--split", "train"),
    "imagenet-c": (*FOLDER, "--corruption", "headline", "--severity", 3),
    "imagenet-c-list": (*FOLDER, "--corruption", "snow", "--list", "--recipe", "imagenet-c"),
    "imagenet-c-between": (*DIGITS, "--layout", "imagenet-c", "--format", "png", "--corruption", "fog", "--corruption",
                           "spatter", "--severity", 1, "--severity", 2.5, "--across-switches"),
    "medmnist-c": (*DIGITS, "--layout", "medmnist-c", "--corruption", "contrast", "--corruption", "pixelate"),
    "medmnist-c-gray": ("corrupt", "medmnist", "--corruption", "impulse_noise", "--layout", "medmnist-c"),
    "arrays": ("corrupt", "arrays", "--corruption", "motion_blur"),
}  # fmt: skip
PATHS = {
    "imagenet-c": "folder", "imagenet-c-list": "folder", "medmnist-c-gray": "pneumoniamnist.npz", "arrays": "arrays",
}  # fmt: skip
CHARTS = {
    "sheet": ("contact-sheet",),
    "sheet-imagenet-c": ("contact-sheet", "--recipe", "imagenet-c", "--severity", 2, "--corruption", "fog"),
    "distortion": ("distortion", "--image", "{inputs}/two.jpg"),
    "distortion-imagenet-c": ("distortion", "--recipe", "imagenet-c", "--corruption", "glass_blur", "--seed", 4),
}
HAZE = """import numpy as np
import failmodes

def haze(images, parameters):
    return np.clip(images * 0.7 + 12 * parameters[0], 0, 255).astype(np.uint8)

LEVELS = ((1,), (2,), (4,), (6,), (9,))
veil = failmodes.CustomCorruption("veil", haze, levels=LEVELS, label="Thick veil", group="weather")
"""


def inputs(folder: Path) -> None:
    write_class_folders(folder / "folder", scenes(6, 40, 48), [*NAMES, *NAMES])
    write_arrays(folder / "arrays", scenes(6, 32, 40), [0, 1, 2, 2, 1, 0], NAMES)
    gray, labels = scenes(6, 28, 28)[..., 0], np.array([[0], [1], [1], [0], [1], [0]], np.uint8)
    np.savez_compressed(folder / "pneumoniamnist.npz", test_images=gray, test_labels=labels)
    write(folder / "one.png", encoded(scenes(1, 224, 224)[0]))
    write(folder / "two.jpg", encoded(scenes(1, 180, 200, seed=1)[0], "JPEG"))


def run(side: Side) -> None:
    import failmodes

    (side.work / "haze.py").write_text(HAZE)
    side.python("corruptions", lambda: failmodes.corruptions().to_dicts())
    for case in CASES:
        side.rows(case.replace(" ", "-"), as_table(corrupted(case)))
    side.rows("drop-ins", as_table(dropped_in()))
    side.rows("transforms", as_table(transformed()))
    side.python("names", names)
    shown = failmodes.CorruptImage("fog", 2.5, seed=3), failmodes.CorruptTransform("fog", 2.5, gray=True)
    side.python("shown", lambda: [*map(repr, shown)])
    side.python("switch", lambda: failmodes.corrupt(scenes(1, 32, 32), "saturate", 2.5), raises="StudyError")
    write_sets(side)
    for name, words in CHARTS.items():
        words = [str(word).format(inputs=side.inputs) for word in words]
        image = ("--image", side.inputs / "one.png")
        side.command(f"chart.{name}", "chart", *words, *image, "--output", f"{name}.json", out=f"{name}.json")


def as_table(rows: Iterator[tuple[Any, ...]]) -> pa.Table:
    return pa.table(dict(zip(COLUMNS, zip(*rows, strict=True), strict=True)))


def measured(images: np.ndarray, *named: object) -> Iterator[tuple[Any, ...]]:
    """A row for each image: a hash of its pixels, their mean, and some of them, which tell how far a change goes."""
    for image_id, image in enumerate(np.asarray(images)):
        yield *map(str, named), image_id, digest(image), float(image.mean()), image.reshape(-1)[::97].tolist()


def corrupted(case: str) -> Iterator[tuple[Any, ...]]:
    import failmodes

    for arguments, sides in CASES[case]:
        for px in sides:
            images = scenes(2, px, px + 8 * (px == 40), seed=px)
            if arguments.get("gray"):
                images = np.repeat(images[..., :1], 3, axis=3)
            for name in failmodes.corruptions()["corruption"]:
                for severity in (0, 3) if case == "by size" else SEVERITIES:
                    found = failmodes.corrupt(images, name, severity, across_switches=True, **arguments)
                    recipe, noise = arguments.get("recipe"), arguments.get("noise")
                    yield from measured(found, case, recipe, noise, px, name, severity)


def dropped_in() -> Iterator[tuple[Any, ...]]:
    """`failmodes.imagecorruptions`, which follows NumPy's global state."""
    from failmodes.imagecorruptions import corrupt, get_corruption_names

    color = scenes(1, 48, 56)[0]
    for case, image in {"color": color, "gray": color[..., 0], "one channel": color[..., :1]}.items():
        np.random.seed(0)
        for name in get_corruption_names("all"):
            for severity in (1, 3, 5) if case == "color" else (2,):
                found = corrupt(image, severity=severity, corruption_name=name)
                yield from measured(found[None], case, None, None, 48, name, severity)
    yield from measured(corrupt(color, corruption_number=4)[None], "by number", None, None, 48, "glass_blur", 1)
    yield from measured(np.random.randint(0, 256, (1, 4, 4, 3)), "state afterwards", None, None, 4, "none", 0)


def names() -> dict[str, list[str]]:
    from failmodes.imagecorruptions import get_corruption_names

    subsets = ("common", "validation", "all", "noise", "blur", "weather", "digital")
    return {subset: get_corruption_names(subset) for subset in subsets}


def transformed() -> Iterator[tuple[Any, ...]]:
    """`CorruptImage`, `CorruptTransform` and `CustomCorruption` in the libraries that take them."""
    import albumentations
    import torch
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    import failmodes

    images = scenes(3, 40, 48, seed=30)
    pictures = [Image.fromarray(image) for image in images]
    tensors = torch.from_numpy(images).permute(0, 3, 1, 2)
    custom = failmodes.CustomCorruption("posterized", posterized, levels=((2,), (4,), (8,), (16,), (32,)))
    for name, severity, options in (
        ("gaussian_noise", 3, {}), ("gaussian_noise", 4, {"noise": "independent"}), ("frost", 2, {"seed": 5}),
        ("elastic_transform", 5, {"recipe": "imagenet-c"}), ("spatter", 3.5, {"across_switches": True}),
        ("fog", 2.5, {}), (custom, 3, {}),
    ):  # fmt: skip
        label = name if isinstance(name, str) else "posterized"
        image = failmodes.CorruptImage(name, severity, **options)
        transform = failmodes.CorruptTransform(name, severity, **options)
        pipeline = albumentations.Compose([albumentations.CenterCrop(33, 35), albumentations.Lambda(image=image, p=1)])
        sample = transform({"image": tv_tensors.Image(tensors[0]), "label": 3, "box": [1, 2]})
        found = {
            "array": [image(one) for one in images],
            "array of a sample": [image(image=one, mask=2)["image"] for one in images],
            "numbered": [image(one, image_id=7) for one in images],
            "pickled": [pickle.loads(pickle.dumps(image))(one) for one in images],
            "picture": [np.asarray(image(one)) for one in pictures],
            "albumentations": [pipeline(image=one)["image"] for one in images],
            "transform of a picture": [np.asarray(transform(one)) for one in pictures],
            "transform of a tensor": [transform(one).permute(1, 2, 0).numpy() for one in tensors],
            "transform of a batch": transform(tensors).permute(0, 2, 3, 1).numpy(),
            "transform of a video": transform(tv_tensors.Video(tensors)).permute(0, 2, 3, 1).numpy(),
            "transform of a sample": sample["image"].permute(1, 2, 0).numpy()[None],
            "composed": [v2.Compose([v2.CenterCrop(33), transform])(one).permute(1, 2, 0).numpy() for one in tensors],
            "function": failmodes.corrupt(images, name, severity, **options),
        }
        for case, pixels in found.items():
            named = case, options.get("recipe"), options.get("noise"), 40, label, severity
            yield from measured(np.stack(pixels), *named)
    gray = tv_tensors.Image(tensors[:, :1])
    found = failmodes.CorruptTransform("shot_noise", 3, gray=True)(gray).permute(0, 2, 3, 1).numpy()
    yield from measured(found, "gray", None, None, 40, "shot_noise", 3)


def posterized(images: np.ndarray, parameters: tuple[float, ...]) -> np.ndarray:
    step = max(1, round(parameters[0]))
    return images // step * step


def write_sets(side: Side) -> None:
    for name, words in SETS.items():
        path = ("--path", side.inputs / PATHS[name]) if name in PATHS else ()
        listed = [f"{name}/images.csv"] if "--list" in words else []
        side.command(f"set.{name}", *words, *path, "--to", name, out=listed)
        written(side, name)
    more = (*SETS["cifar-c"], "--corruption", "brightness", "--to", "cifar-c")
    side.command("set.more", *more)
    side.command("set.again", *more)
    written(side, "cifar-c", "set.more.files")
    run_study(
        side, "read-between", 'kind = "digits"\nimages = 10',
        corruptions=f'names = ["all"]\nseverities = [1, 2.5]\npublished = "{side.work}/imagenet-c-between"',
    )  # fmt: skip


def written(side: Side, folder: str, name: str = "") -> None:
    """The files of a set: those of text as they are, arrays and images by their bytes and pixels."""
    rows = []
    for path in sorted((side.work / folder).rglob("*")):
        if path.is_file():
            content = None if path.name == "manifest.json" else digest(np.fromfile(path, np.uint8))
            rows.append((path.relative_to(side.work / folder).as_posix(), content, *_arrays(path)))
    columns = ("file", "bytes", "pixels", "shape", "mean")
    side.rows(name or f"set.{folder}.files", pa.table(dict(zip(columns, zip(*rows, strict=True), strict=True))))
    manifest = json.loads((side.work / folder / "manifest.json").read_text())
    side.json(f"{name or f'set.{folder}'}.manifest", manifest)


def _arrays(path: Path) -> tuple[list[int] | None, str | None, float | None]:
    """Hashes and shapes of the arrays or the image of a file, and the mean of the first."""
    if path.suffix == ".npz":
        with np.load(path) as archive:
            parts = [archive[key] for key in sorted(archive)]
        return [*map(digest, parts)], " ".join(str(part.shape) for part in parts), float(parts[0].mean())
    if path.suffix in (".json", ".csv", ".txt"):
        return None, None, None
    pixels = np.load(path) if path.suffix == ".npy" else np.asarray(Image.open(path))
    return [digest(pixels)], str(pixels.shape), float(pixels.mean())
