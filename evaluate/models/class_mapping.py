"""Which outputs of a network are the classes of a data set: matched by name or WordNet id, or said in the study.

Labels that are silently wrong are the worst failure: where names are known they decide, not the order, and a class that
matches nothing or several outputs is an error.

ImageNet-1k: the names and WordNet ids of its classes, in the order of a network's 1,000 outputs.
"""

import difflib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from torchvision.models._meta import _IMAGENET_CATEGORIES

from failmodes.warehouse.errors import ModelError

SHOWN = 3  # classes named in an error

IDS_FILE = Path(__file__).parent / "imagenet_wordnet_ids.txt"

# WordNet calls these two "crane" and "maillot", as it calls 517 and 638; torchvision tells them apart.
SHARED_NAMES = {134: "crane", 639: "maillot"}


class OutputClasses(NamedTuple):
    """What is known of a network's outputs.

    Attributes:
        what: the network or its file, for errors.
        total: how many there are; None where only a forward pass tells.
        names: their names in order, or None.
    """

    what: str
    total: int | None
    names: tuple[str, ...] | None


def map_classes(
    outputs: OutputClasses, class_names: tuple[str, ...], class_map: Mapping[str, int | str] | None = None
) -> list[int] | None:
    """The output of each class of the data set, in the data set's order; None where they are all outputs in order.

    Args:
        outputs: what is known of the outputs.
        class_names: (C,) classes of the data set.
        class_map: outputs by index, name or WordNet id, said in the study for some or all classes.

    Raises:
        ModelError: a class matches no output or several, two share one, or nothing says which outputs to use.
    """
    class_map = class_map or {}
    if outputs.total is None and outputs.names is not None:
        outputs = outputs._replace(total=len(outputs.names))
    _check_keys(class_map, class_names)
    if outputs.names is None:
        found = _said(outputs, class_names, class_map)
    else:
        found = _matched(outputs, outputs.names, class_names, class_map)
    if found is None:
        return None
    _check_distinct(outputs, found, class_names)
    return None if found == list(range(outputs.total or -1)) else found


def _said(outputs: OutputClasses, class_names: tuple[str, ...], class_map: Mapping[str, int | str]) -> list[int] | None:
    """Outputs whose names are unknown: all in order, or the indices that the study gives."""
    if not class_map:
        if outputs.total in (None, len(class_names)):
            return None
        mend = (
            'say `class_names = "imagenet-1k"` if these are its classes'
            if outputs.total == 1000
            else "use a checkpoint that was trained on these classes, or say `class_names` or `class_map`"
        )
        raise ModelError(
            f"{outputs.what} has {outputs.total} outputs, but the data set has {len(class_names)} classes: {mend}"
        )
    left = [name for name in class_names if name not in class_map]
    if left:
        raise ModelError(
            f"{outputs.what}: class_map leaves out {_listed(left)}, and the names of the outputs are unknown: give an "
            "output for each class, or `class_names`"
        )
    return [_place(class_map[name], name, outputs) for name in class_names]


def _matched(
    outputs: OutputClasses, names: tuple[str, ...], class_names: tuple[str, ...], class_map: Mapping[str, int | str]
) -> list[int]:
    if outputs.total is not None and outputs.total != len(names):
        raise ModelError(f"{outputs.what} has {outputs.total} outputs, but {len(names)} class names are given for them")
    if names == class_names and not class_map:
        return list(range(len(names)))
    finder = ClassIndex(names)
    found: dict[str, list[int]] = {}
    for name in class_names:
        said = class_map.get(name, name)
        found[name] = [_place(said, name, outputs)] if isinstance(said, int) else finder(said)
    _check_found(outputs, found, class_map, finder)
    return [places[0] for places in found.values()]


class ClassIndex:
    """Outputs by exact name, else by WordNet id, else by name regardless of case, underscores and further names."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.exact: dict[str, list[int]] = {}
        self.plain: dict[str, list[int]] = {}
        is_imagenet = names == imagenet_names()
        ids = list(by_wordnet_id())
        for place, name in enumerate(names):
            known = by_wordnet_id().get(ids[place] if is_imagenet else name)
            _add(self.exact, name, place)
            _add(self.plain, normalize_class_name(name), place)
            if known is not None:
                _add(self.exact, known.wordnet_id, place)
                _add(self.plain, normalize_class_name(known.name), place)
                _add(self.exact, SHARED_NAMES.get(known.place, name), place)

    def __call__(self, name: str) -> list[int]:
        """Places of the outputs of that name."""
        return self.exact.get(name) or self.plain.get(normalize_class_name(name), [])

    def nearest(self, name: str) -> list[str]:
        """Names of outputs that look like it."""
        near = difflib.get_close_matches(normalize_class_name(name), list(self.plain), n=2)
        return [self.names[self.plain[key][0]] for key in near]


def normalize_class_name(name: str) -> str:
    """The first of several names, in lower case, with single spaces: `Golden_Retriever, x` → `golden retriever`."""
    return " ".join(name.split(",")[0].replace("_", " ").lower().split())


def _add(index: dict[str, list[int]], key: str, place: int) -> None:
    places = index.setdefault(key, [])
    if place not in places:
        places.append(place)


def _place(said: int | str, class_name: str, outputs: OutputClasses) -> int:
    if isinstance(said, str):
        raise ModelError(
            f"{outputs.what}: class_map gives {class_name!r} the output {said!r}, but the names of the outputs are "
            "unknown: give its index, or `class_names`"
        )
    if outputs.total is not None and said >= outputs.total:
        raise ModelError(
            f"{outputs.what}: class_map gives {class_name!r} the output {said}, but outputs go from 0 to "
            f"{outputs.total - 1}"
        )
    return said


def _check_keys(class_map: Mapping[str, int | str], class_names: tuple[str, ...]) -> None:
    for name in class_map:
        if name not in class_names:
            near = difflib.get_close_matches(name, class_names, n=2) or class_names[:SHOWN]
            raise ModelError(f"class_map names {name!r}, which is no class of the data set: it has {', '.join(near)} …")


def _check_found(
    outputs: OutputClasses, found: dict[str, list[int]], class_map: Mapping[str, int | str], finder: ClassIndex
) -> None:
    def told(name: str) -> str:
        return str(class_map.get(name, name))

    several = [name for name, places in found.items() if len(places) > 1]
    if several:
        name = several[0]
        which = " and ".join(f"{place} ({finder.names[place]})" for place in found[name][:SHOWN])
        raise ModelError(
            f"{outputs.what}: class {told(name)!r} matches outputs {which}: say which with "
            f"`class_map = {{ {_key(name)} = … }}`"
        )
    missing = [name for name, places in found.items() if not places]
    if missing:
        near = finder.nearest(told(missing[0])) or list(finder.names[:SHOWN])
        raise ModelError(
            f"{outputs.what} has no output for {_listed([told(name) for name in missing])} (of {len(found)} classes; "
            f"the nearest to the first: {', '.join(near)}): say which with `class_map = {{ {_key(missing[0])} = … }}`, "
            "or give `class_names`"
        )


def _check_distinct(outputs: OutputClasses, found: list[int], class_names: tuple[str, ...]) -> None:
    first: dict[int, str] = {}
    for place, name in zip(found, class_names, strict=True):
        if place in first:
            raise ModelError(
                f"{outputs.what}: classes {first[place]!r} and {name!r} would share output {place}: each needs its "
                "own; say which with `class_map`"
            )
        first[place] = name


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else f'"{name}"'


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(repr(name) for name in names[:SHOWN]) + more


class ImageNetClass(NamedTuple):
    """One class: its place among the outputs, WordNet id and name."""

    place: int
    wordnet_id: str
    name: str


@cache
def imagenet_classes() -> tuple[ImageNetClass, ...]:
    """The 1,000 classes; the order is that of the sorted WordNet ids."""
    ids = IDS_FILE.read_text(encoding="ascii").split()
    return tuple(
        ImageNetClass(place, wordnet_id, name)
        for place, (wordnet_id, name) in enumerate(zip(ids, _IMAGENET_CATEGORIES, strict=True))
    )


def imagenet_names() -> tuple[str, ...]:
    """The names of the 1,000 outputs, as torchvision writes them."""
    return tuple(_IMAGENET_CATEGORIES)


@cache
def by_wordnet_id() -> dict[str, ImageNetClass]:
    """The classes by WordNet id."""
    return {c.wordnet_id: c for c in imagenet_classes()}
