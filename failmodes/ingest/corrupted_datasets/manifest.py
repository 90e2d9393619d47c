"""`manifest.json` of a generated dataset: source images, settings, and finished corruptions and severities."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.data_files import read_json
from failmodes.runtime.errors import DataError, StudyError, printable
from failmodes.runtime.storage.files import atomic_write_bytes

MANIFEST_FILE = "manifest.json"
MADE_BY = "failmodes corrupt"
Manifest = dict[str, Any]
OTHER_SET_HINT = "choose another folder with --to, or use the options it was written with"
MAX_ORIGIN_LETTERS = 200  # of the description of an origin


class SetProvenance(NamedTuple):
    """The origin of a generated dataset: the dataset_id of its clean images, and a description of the recipe."""

    dataset_id: str
    description: str


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest in a folder; None if there is no file.

    Raises:
        StudyError: it was not written by this program, or is damaged.
    """
    path = folder / MANIFEST_FILE
    if not path.exists():
        return None
    manifest = _parsed(path)
    if manifest is None:
        raise StudyError(f"{path} was not written by `{MADE_BY}`, or is damaged: choose another folder with --to")
    return manifest


def publish_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest completely or not at all."""
    atomic_write_bytes(folder / MANIFEST_FILE, (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode())


def check_same_set(folder: Path, there: Manifest, new: Manifest) -> None:
    """Refuse to mix datasets.

    A version that only one of the two has is fine: own corruptions and photographs of frost are listed when used.

    Raises:
        StudyError: the folder was written with other options; the message has the first difference.
    """
    before, now = _compared(there), _compared(new)
    for name in now:
        if before.get(name, now[name]) != now[name]:
            raise StudyError(f"{folder} has {name} {before[name]}, not {now[name]}: {OTHER_SET_HINT}")


def format_id_ranges(image_ids: NDArray[np.int64], total: int) -> str | None:
    """Ascending image_ids as ranges, such as "0-99 120"; None if they are all of 0 … total-1."""
    if len(image_ids) == total:
        return None
    breaks = np.flatnonzero(np.diff(image_ids) != 1) + 1
    runs = [(int(run[0]), int(run[-1])) for run in np.split(image_ids, breaks)]
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def recorded_ids(folder: Path, count: int) -> NDArray[np.int64] | None:
    """Which images of the full dataset a folder of arrays holds, (count,), ascending, where its own manifest says so.

    Raises:
        DataError: they are invalid, not ascending, or not `count`.
    """
    manifest = _parsed(folder / MANIFEST_FILE)
    ranges = manifest and manifest.get("image_ids")
    if not isinstance(ranges, str):
        return None
    try:
        bounds = [(int(run.split("-")[0]), int(run.split("-")[-1])) for run in ranges.split()]
    except ValueError:
        bounds = []
    fits = sum(max(0, last - first + 1) for first, last in bounds) == count
    runs = [np.arange(first, last + 1, dtype=np.int64) for first, last in bounds] if fits else []
    image_ids = np.concatenate([np.empty(0, np.int64), *runs])
    if len(image_ids) != count or (np.diff(image_ids) <= 0).any():
        raise DataError(
            f"{folder / MANIFEST_FILE} is damaged: expected the image_ids of its {count:,} images, ascending, as ranges"
            " such as 0-99"
        )
    return image_ids


def recorded_count(folder: Path) -> int | None:
    """Number of images at each severity, where a dataset's own manifest says so."""
    count = (_parsed(folder / MANIFEST_FILE) or {}).get("images")
    return count if isinstance(count, int) and count > 0 else None


def recorded_origin(folder: Path) -> SetProvenance | None:
    """The origin of a dataset, if its own manifest names it."""
    manifest = _parsed(folder / MANIFEST_FILE)
    if manifest is None:
        return None
    independent = ", independent noise" if manifest["noise"] == "independent" else ""
    description = f"by {MADE_BY}, {manifest['recipe']} recipe, seed {manifest['seed']}{independent}"
    return SetProvenance(str(manifest["dataset"]["dataset_id"]), printable(description, MAX_ORIGIN_LETTERS))


def _parsed(path: Path) -> Manifest | None:
    """The manifest, if this program wrote it and it is complete."""
    try:
        manifest = read_json(path)
        _compared(manifest)
        whole = manifest["made_by"] == MADE_BY and all(
            isinstance(entry, dict) for entry in manifest["corruptions"].values()
        )
    except (FileNotFoundError, DataError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return manifest if whole else None


def _compared(manifest: Manifest) -> dict[str, str]:
    """The values that must not differ within one dataset, by their name in errors."""
    dataset = manifest["dataset"]
    return {
        "layout": manifest["layout"],
        "format": manifest["format"],
        "recipe": manifest["recipe"],
        "seed": str(manifest["seed"]),
        "noise": manifest["noise"],
        "images kept gray": "true" if manifest.get("gray") else "false",
        "dataset": f"{dataset['label']}, {dataset['split']}, dataset_id {dataset['dataset_id']}",
        "images": f"{manifest['images']} ({manifest['subset']})",
        **{f"{name} version": str(version) for name, version in sorted(manifest["versions"].items())},
    }
