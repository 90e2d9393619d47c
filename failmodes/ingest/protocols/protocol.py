"""What makes two numbers comparable: a protocol, the registry of published ones, and deviations from them.

A protocol is a file of this folder, named `<protocol>.toml`, with the attributes of `Protocol` as keys. Model, weights,
preprocessing and precision are not part of it: they are what is compared.
"""

import hashlib
import tomllib
from collections.abc import Collection, Iterable, Iterator, Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from failmodes.ingest.study_types import PRINTABLE, Count, Flag, Name, StrictModel
from failmodes.runtime.errors import DataError, StorageError, StudyError, listed, shown
from failmodes.runtime.storage.files import read_text

Pixels = Literal["published", "generated", "none"]
Averaging = Literal["mean accuracy", "mCE, published AlexNet", "mCE, AlexNet on the same images"]
CellOfImages = tuple[str, Decimal]  # corruption and severity, above clean
IMAGENET = "imagenet"  # the validation images of ImageNet, whatever the layout of their files
MAX_LIST_BYTES = 50_000_000  # of the 1.28 million training images of ImageNet: 40 MB
SHOWN = 3  # names in a deviation

PIXEL_WORDS = {
    "published": "the published files",
    "generated": "generated in memory",
    "rewritten": "generated and stored by Failmodes",
    "none": "clean images only",
}


def _exact(value: object) -> object:
    return Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value


Severities = list[Annotated[Decimal, Field(gt=0, le=999, decimal_places=3), BeforeValidator(_exact)]]
Text = Annotated[str, Field(max_length=300), PRINTABLE]
Line = Annotated[str, Field(min_length=1, max_length=300), PRINTABLE]


class ImageList(StrictModel):
    """A published list of the images to evaluate.

    Attributes:
        url: where it is published.
        sha256: hash of its lines `class/file`, sorted and joined by line feeds.
    """

    url: Line
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Protocol(StrictModel):
    """How a published number is measured.

    Attributes:
        name: its name, in lower case with hyphens.
        title: its name in sentences.
        dataset: kind of the images, as in `[dataset]`, or imagenet for ImageNet's validation images in any layout.
        version: which published version of them, if there are several, such as v6.
        images: number of images.
        classes: number of their classes.
        image_list: the list that names the images, if they are a part of the dataset.
        corruptions: names of the corruptions that are averaged; empty for clean images.
        severities: those that are averaged.
        pixels: published: the stored arrays or files; generated: corrupted in memory; none: clean images.
        stored_as: format of published pixels.
        recipe: recipe of generated pixels.
        restricted: whether predictions are among the classes of the images only.
        averaging: the number that is published.
        compared_with: of a natural shift, the dataset that it is compared with.
        source: paper or code that defines it.
        note: anything else that readers must know.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{0,59}$")]
    title: Line
    dataset: Name
    version: Text = ""
    images: Count
    classes: Count
    image_list: ImageList | None = None
    corruptions: list[Line] = []
    severities: Severities = []
    pixels: Pixels = "none"
    stored_as: Text = ""
    recipe: Literal["cifar-c", "imagenet-c"] | None = None
    restricted: Flag = False
    averaging: Averaging = "mean accuracy"
    compared_with: Text = ""
    source: Line
    note: Text = ""

    @model_validator(mode="after")
    def _is_complete(self) -> "Protocol":
        if bool(self.corruptions) != bool(self.severities) or bool(self.corruptions) != (self.pixels != "none"):
            raise ValueError("`corruptions`, `severities` and `pixels` go together: give all three, or none of them")
        if (self.recipe is not None) != (self.pixels == "generated"):
            raise ValueError('`recipe` goes with `pixels = "generated"`')
        return self


class Conditions(NamedTuple):
    """The conditions of an evaluation, as far as protocols state them.

    Attributes:
        dataset: kind of the images, see `Protocol.dataset`.
        version: published version, or the name of the folder.
        images: number of evaluated images.
        classes: number of classes of the dataset.
        list_sha256: hash of the names of the images as in `ImageList`; None if images are not files.
        altered: how the images differ from the published ones, such as a JPEG copy; may be empty.
        cells: evaluated corruptions and severities.
        pixels: one of PIXEL_WORDS.
        recipe: recipe of generated pixels.
        restricted: whether predictions are among the classes of the images only; None if there are no other outputs.
    """

    dataset: str
    version: str
    images: int
    classes: int
    list_sha256: str | None
    altered: str
    cells: frozenset[CellOfImages]
    pixels: str
    recipe: str | None
    restricted: bool | None


@cache
def published_protocols() -> dict[str, Protocol]:
    """The registered protocols by name: each file of this folder."""
    files = sorted(Path(__file__).parent.glob("*.toml"))
    named = ({"name": file.stem} | tomllib.loads(file.read_text("utf-8")) for file in files)
    return {content["name"]: Protocol.model_validate(content) for content in named}


def protocol_of_shift(kind: str) -> Protocol | None:
    """The protocol of a kind of natural shift; of several versions, the first."""
    shifts = (known for known in published_protocols().values() if known.compared_with)
    return next((known for known in shifts if known.dataset == kind), None)


def is_restricted(kind: str) -> bool:
    """Whether the published protocol of a kind of dataset restricts predictions to the classes of the dataset."""
    protocol = protocol_of_shift(kind)
    return protocol is not None and protocol.restricted


def nearest_protocol(conditions: Conditions, more: Sequence[Protocol] = ()) -> tuple[Protocol, list[str]] | None:
    """The protocol of the dataset with the fewest deviations, and these; None if no protocol is of this dataset.

    Args:
        conditions: of an evaluation.
        more: protocols of a study, which precede registered ones.
    """
    known = [protocol for protocol in protocols_by_name(more).values() if protocol.dataset == conditions.dataset]
    names = {name for name, _ in conditions.cells}
    alike = [
        protocol
        for protocol in known
        if names.intersection(protocol.corruptions) or not (names or protocol.corruptions)
    ]
    rated = [(protocol, deviations(protocol, conditions)) for protocol in alike or known]
    return min(rated, key=lambda item: len(item[1]), default=None)


def protocols_by_name(more: Sequence[Protocol]) -> dict[str, Protocol]:
    """The protocols of a study, then the registered ones.

    Raises:
        StudyError: two have the same name.
    """
    known = {protocol.name: protocol for protocol in more}
    if len(known) < len(more) or not known.keys().isdisjoint(published_protocols()):
        names = [protocol.name for protocol in more]
        twice = next(name for name in names if names.count(name) > 1 or name in published_protocols())
        raise StudyError(f"protocols: {twice!r} is the name of another protocol: choose another name")
    return known | published_protocols()


def deviations(protocol: Protocol, conditions: Conditions) -> list[str]:
    """The deviations of an evaluation from a protocol, each as `respect: this instead of that`."""
    return [*_of_images(protocol, conditions), *_of_pixels(protocol, conditions)]


def _of_images(protocol: Protocol, conditions: Conditions) -> Iterator[str]:
    if protocol.version and conditions.version != protocol.version:
        yield f"images: version {conditions.version or 'not stated'} instead of {protocol.version}"
    if conditions.altered:
        yield f"images: {conditions.altered}"
    if conditions.images != protocol.images:
        yield f"images: {conditions.images:,} instead of {protocol.images:,}"
    elif protocol.image_list is not None and conditions.list_sha256 != protocol.image_list.sha256:
        yield f"images: not those of {protocol.image_list.url.rpartition('/')[2]}"
    if conditions.classes != protocol.classes:
        yield f"labels: {conditions.classes:,} classes instead of {protocol.classes:,}"
    if conditions.restricted is not None and conditions.restricted != protocol.restricted:
        among = ("all outputs", "the classes of the images only")
        yield f"class restriction: among {among[conditions.restricted]} instead of {among[protocol.restricted]}"


def _of_pixels(protocol: Protocol, conditions: Conditions) -> Iterator[str]:
    if not protocol.corruptions:
        return
    names = {name for name, _ in conditions.cells}
    if lacking := [name for name in protocol.corruptions if name not in names]:
        held = len(protocol.corruptions) - len(lacking)
        yield f"corruptions: {held} of {len(protocol.corruptions)}, without {listed(lacking, SHOWN)}"
    wanted = {(name, severity) for name in protocol.corruptions if name in names for severity in protocol.severities}
    if missing := sorted({severity for _, severity in wanted - conditions.cells}):
        yield f"severities: without {_numbers(missing)} of {_numbers(protocol.severities)}"
    if names and (conditions.pixels, conditions.recipe) != (protocol.pixels, protocol.recipe):
        here, there = _pixel_words(conditions.pixels, conditions.recipe), _pixel_words(protocol.pixels, protocol.recipe)
        yield f"source of pixels: {here} instead of {there}"


def differences(a: Protocol, b: Protocol) -> list[str]:
    """The respects in which two protocols differ, each as `respect: one, the other`; empty if they are comparable."""
    files = [protocol.image_list and protocol.image_list.sha256 for protocol in (a, b)]
    respects = (
        ("images", [(p.dataset, p.version, p.images, file) for p, file in zip((a, b), files, strict=True)],
         [f"{p.images:,} of {p.title}" for p in (a, b)]),
        ("labels", [p.classes for p in (a, b)], [f"{p.classes:,} classes" for p in (a, b)]),
        ("class restriction", [p.restricted for p in (a, b)],
         ["restricted" if p.restricted else "not restricted" for p in (a, b)]),
        ("source of pixels", [(p.pixels, p.recipe) for p in (a, b)],
         [_pixel_words(p.pixels, p.recipe) for p in (a, b)]),
        ("averaging", [p.averaging for p in (a, b)], [p.averaging for p in (a, b)]),
        ("severities", [(set(p.corruptions), set(p.severities)) for p in (a, b)],
         [f"{len(p.corruptions)} corruptions at {_numbers(p.severities) or 'none'}" for p in (a, b)]),
    )  # fmt: skip
    return [f"{respect}: {' / '.join(words)}" for respect, (one, other), words in respects if one != other]


def list_sha256(files: Iterable[str]) -> str:
    """Hash of the names of images as `ImageList` has it."""
    return hashlib.sha256("\n".join(sorted(map(name_in_list, files))).encode()).hexdigest()


def name_in_list(file: str) -> str:
    """`class/file`: the last two parts of an image's path."""
    return "/".join(file.replace("\\", "/").split("/")[-2:])


def listed_images(files: Sequence[str] | None, path: Path) -> list[int]:
    """The positions of the images that a file lists, one path a line.

    Args:
        files: path of each image of the dataset; None if images are not files.
        path: of the list.

    Raises:
        StudyError: the list does not exist or names no image, or images are not files.
        DataError: it cannot be read, names an image twice, or one that the dataset lacks.
    """
    if files is None:
        raise StudyError(f"image_list {path}: these images have no file names: remove the key, or set `images`")
    try:
        lines = [line.strip() for line in read_text(path, MAX_LIST_BYTES).splitlines() if line.strip()]
    except FileNotFoundError as error:
        raise StudyError(f"no file at {path}: `image_list` names a text file with one image a line") from error
    except StorageError as error:
        raise DataError(f"{error}: name a text file with one image a line") from error
    names = list(map(name_in_list, lines))
    places = {name_in_list(file): place for place, file in enumerate(files)}
    if not names:
        raise StudyError(f"{path} lists no image: expected one a line, such as {next(iter(places), 'cat/1.png')}")
    if lacking := [name for name in names if name not in places]:
        raise DataError(
            f"{path}: the dataset has no image {listed([shown(name) for name in lacking], SHOWN)} (its first is "
            f"{next(iter(places))}): remove the lines, or name the dataset of this list"
        )
    if len(set(names)) < len(names):
        raise DataError(f"{path} lists {len(names):,} images, {len(set(names)):,} of them distinct: remove the copies")
    return sorted(places[name] for name in names)


def _pixel_words(pixels: str, recipe: str | None) -> str:
    return PIXEL_WORDS[pixels] + (f" by the recipe {recipe}" if recipe else "")


def _numbers(severities: Collection[Decimal]) -> str:
    return ", ".join(f"{severity.normalize():f}" for severity in sorted(severities))
