"""ImageNet-1k: the names and WordNet ids of its classes, in the order of a network's 1,000 outputs."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

from torchvision.models._meta import _IMAGENET_CATEGORIES

IDS_FILE = Path(__file__).parent / "imagenet_wordnet_ids.txt"

# WordNet calls these two "crane" and "maillot", as it calls 517 and 638; torchvision tells them apart.
SHARED_NAMES = {134: "crane", 639: "maillot"}


class ImagenetClass(NamedTuple):
    """One class: its place among the outputs, WordNet id and name."""

    place: int
    wordnet_id: str
    name: str


@cache
def imagenet_classes() -> tuple[ImagenetClass, ...]:
    """The 1,000 classes; the order is that of the sorted WordNet ids."""
    ids = IDS_FILE.read_text(encoding="ascii").split()
    return tuple(
        ImagenetClass(place, wordnet_id, name)
        for place, (wordnet_id, name) in enumerate(zip(ids, _IMAGENET_CATEGORIES, strict=True))
    )


def imagenet_names() -> tuple[str, ...]:
    """The names of the 1,000 outputs, as torchvision writes them."""
    return tuple(_IMAGENET_CATEGORIES)


@cache
def by_wordnet_id() -> dict[str, ImagenetClass]:
    """The classes by WordNet id."""
    return {c.wordnet_id: c for c in imagenet_classes()}
