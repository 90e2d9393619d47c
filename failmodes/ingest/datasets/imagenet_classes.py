"""The 1,000 classes of ImageNet-1k: WordNet ids and names, in the order of a model's outputs."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

IMAGENET_1K = "ImageNet-1k"  # the name of both its classes and its images
CLASSES_FILE = Path(__file__).with_suffix(".tsv")  # names as torchvision has them (ResNet50_Weights' categories)

# WordNet calls these two "crane" and "maillot", as it calls 517 and 638; torchvision distinguishes them.
SHARED_NAMES = {134: "crane", 639: "maillot"}


class ImageNetClass(NamedTuple):
    """One class: the index of its output, WordNet id and name."""

    output: int
    wordnet_id: str
    name: str


@cache
def by_wordnet_id() -> dict[str, ImageNetClass]:
    """The classes by WordNet id; their order is that of the sorted ids."""
    lines = [line.split("\t") for line in CLASSES_FILE.read_text(encoding="ascii").splitlines()]
    return {wordnet_id: ImageNetClass(index, wordnet_id, name) for index, (wordnet_id, name) in enumerate(lines)}


@cache
def imagenet_names() -> tuple[str, ...]:
    """(1000,) the names, each another."""
    return tuple(imagenet_class.name for imagenet_class in by_wordnet_id().values())
