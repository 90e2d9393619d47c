"""The registry of dataset layouts: opened by the `kind` of a study, with the optional keys that each takes."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from failmodes.ingest.datasets.dataset import Dataset
from failmodes.runtime.errors import DataError
from failmodes.runtime.plugins import import_modules

if TYPE_CHECKING:
    from failmodes.ingest.specification import DatasetSpec

LAYOUTS_PACKAGE = "failmodes.ingest.datasets.layouts"


class Request(NamedTuple):
    """A request to open a split of a dataset.

    Attributes:
        spec: the dataset's part of the study.
        path: the existing folder; the current one for a layout that needs none.
        split: "train" or "test".
        cache: folder for images that must be decoded.
        masks: path of the object masks of the split; None without masks.
    """

    spec: "DatasetSpec"
    path: Path
    split: str
    cache: Path
    masks: Path | None


class Protocol(NamedTuple):
    """How a published shifted dataset is evaluated.

    Attributes:
        clean: the dataset that it is compared with, such as "the CIFAR-10 test set".
        restricted: whether predictions are among its own classes only, with the clean accuracy on the same classes
            under the same restriction.
        source: paper or loader that defines it.
        note: anything else that readers of results must know.
    """

    clean: str
    restricted: bool
    source: str
    note: str = ""


@dataclass(frozen=True)
class Layout:
    """A layout.

    Attributes:
        kind: its name in a study.
        open: opens a split.
        takes: optional keys of the study's `[dataset]` that it takes: image_size, resize, background, gray, masks.
        expected: description of `path`, for errors, with {path} and its {parent}; None for a layout without a path.
        protocol: how a published shifted dataset is evaluated; None for other datasets.
        is_file: whether `path` is a file, not a folder.
    """

    kind: str
    open: Callable[[Request], Dataset]
    takes: frozenset[str]
    expected: str | None
    protocol: Protocol | None = None
    is_file: bool = False


_LAYOUTS: dict[str, Layout] = {}


def layout(
    *kinds: str,
    takes: Collection[str] = (),
    expected: str | None,
    protocol: Protocol | None = None,
    is_file: bool = False,
) -> Callable[[Callable[[Request], Dataset]], Callable[[Request], Dataset]]:
    """Register a function that opens datasets of these kinds; see `Layout`."""

    def define(function: Callable[[Request], Dataset]) -> Callable[[Request], Dataset]:
        for kind in kinds:
            _LAYOUTS[kind] = Layout(kind, function, frozenset(takes), expected, protocol, is_file)
        return function

    return define


def refuse_other_split(request: Request) -> None:
    """Refuse to open another split of a dataset that has only the one that the study names.

    Raises:
        DataError: another split is requested, such as the train split of a test set.
    """
    if request.split != request.spec.split:
        raise DataError(f"{request.path} is the {request.spec.split} split: it has no {request.split} images")


@cache
def layouts() -> Mapping[str, Layout]:
    """Every layout by the kind that a study names."""
    import_modules(LAYOUTS_PACKAGE)
    return dict(sorted(_LAYOUTS.items()))


def is_restricted(kind: str) -> bool:
    """Whether the published protocol of a kind of dataset restricts predictions to the classes of the dataset."""
    known = layouts().get(kind)
    return known is not None and known.protocol is not None and known.protocol.restricted
