"""Layouts of data sets: how one is opened, by the `kind` that a study names, and which of its keys it takes."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from failmodes.ingest.datasets.dataset import Dataset
from failmodes.warehouse.plugins import import_modules

if TYPE_CHECKING:
    from failmodes.ingest.specification import DatasetSpec

LAYOUTS_PACKAGE = "failmodes.ingest.datasets.layouts"


class Request(NamedTuple):
    """What is opened of a data set.

    Attributes:
        spec: what the study says of it.
        path: the folder, which is there; the current one of a layout that needs none.
        split: "train" or "test".
        cache: folder for images that must be decoded.
        masks: where object masks of the split are; None without.
    """

    spec: "DatasetSpec"
    path: Path
    split: str
    cache: Path
    masks: Path | None


@dataclass(frozen=True)
class Layout:
    """A layout.

    Attributes:
        kind: its name in a study.
        open: opens a split.
        takes: optional keys of the study's `[dataset]` that it takes: image_size, resize, background, gray, masks.
        expected: what `path` is, for errors, with {path} and its {parent}; None of a layout that comes without.
    """

    kind: str
    open: Callable[[Request], Dataset]
    takes: frozenset[str]
    expected: str | None


_LAYOUTS: dict[str, Layout] = {}


def layout(
    *kinds: str, takes: Collection[str] = (), expected: str | None
) -> Callable[[Callable[[Request], Dataset]], Callable[[Request], Dataset]]:
    """Make a function that opens a data set known by its kinds; see `Layout`."""

    def define(function: Callable[[Request], Dataset]) -> Callable[[Request], Dataset]:
        for kind in kinds:
            _LAYOUTS[kind] = Layout(kind, function, frozenset(takes), expected)
        return function

    return define


@cache
def layouts() -> Mapping[str, Layout]:
    """Every layout by the kind that a study names."""
    import_modules(LAYOUTS_PACKAGE)
    return dict(sorted(_LAYOUTS.items()))
