"""Which reader opens a published set."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from ingest.layouts import FETCH_AGAIN, LABELS_FILE
from ingest.published.arrays import open_arrays
from ingest.published.base import PublishedSet
from ingest.published.tree import corruption_folders, open_tree
from warehouse.errors import DataError


def open_published(
    folder: Path,
    needed: Sequence[str],
    cache: Path | None = None,
    *,
    severities: Sequence[int | float | Decimal] = (),
) -> PublishedSet:
    """Open a set; its layout follows from what the folder holds.

    Args:
        folder: of `<corruption>.npy` files (as CIFAR-10-C) or of `<corruption>/<severity>/<class>/<image>` trees (as
            ImageNet-C; the tars' folders `noise`, `blur` … may stand between).
        needed: corruptions that it must hold.
        cache: folder that remembers hashes.
        severities: severities that it must hold each of them at; whatever it has, if none are given.

    Raises:
        DataError: it is missing, lacks what is needed, or is damaged.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: expected one of <corruption>.npy and {LABELS_FILE}; {FETCH_AGAIN}")
    if any(folder.glob("*.npy")):
        return open_arrays(folder, needed, cache, severities=severities)
    if corruption_folders(folder):
        return open_tree(folder, needed, cache, severities=severities)
    raise DataError(
        f"{folder} holds no corrupted set: expected <corruption>.npy and {LABELS_FILE} (as CIFAR-10-C), or folders"
        " <corruption>/<severity>/<class>/<image> (as ImageNet-C)"
    )
