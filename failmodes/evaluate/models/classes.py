"""Which outputs of a model are the classes of a data set: matched by name or WordNet id, or given in the study.

Labels that are silently wrong are the worst failure: where names are known they decide, not the order, and a class that
matches nothing or several outputs is an error.
"""

import difflib
from collections.abc import Mapping

from failmodes.ingest.datasets.folder_listing import class_name_of
from failmodes.ingest.datasets.imagenet_classes import SHARED_NAMES, by_wordnet_id, imagenet_names
from failmodes.warehouse.errors import StudyError

ClassMap = Mapping[str, int | str]  # class of the data set → output, by index, name or WordNet id
SHOWN = 3  # classes named in an error


def map_classes(
    subject: str,
    class_names: tuple[str, ...],
    class_map: ClassMap,
    *,
    output_count: int | None,
    output_names: tuple[str, ...] | None,
) -> list[int] | None:
    """The output of each class of the data set, in the data set's order; None where they are all outputs in order.

    Args:
        subject: the model or its file, for errors.
        class_names: (C,) classes of the data set.
        class_map: outputs that the study gives for some or all classes.
        output_count: how many outputs there are; None where only a forward pass tells.
        output_names: their names in order, where known.

    Raises:
        StudyError: a class matches no output or several, two share one, or nothing says which outputs to use.
    """
    _check_keys(class_map, class_names)
    if output_names is None and not class_map:
        _check_count(subject, output_count, len(class_names))
        return None
    if output_names is None:
        _check_complete(subject, class_map, class_names)
    elif output_count not in (None, len(output_names)):
        raise StudyError(
            f"{subject} has {output_count} outputs, but {len(output_names)} class names are given for them"
        )
    elif output_names == class_names and not class_map:
        return None
    else:
        output_count = len(output_names)
    index = ClassIndex(output_names or ())
    matches: dict[str, list[int]] = {}
    for name in class_names:
        given = class_map.get(name, name)
        matches[name] = index.find(given) if isinstance(given, str) else [given]
        if isinstance(given, int) and output_count is not None and given >= output_count:
            raise StudyError(
                f"{subject}: class_map gives {name!r} the output {given}, but outputs go from 0 to {output_count - 1}"
            )
    _check_matches(subject, matches, class_map, index)
    outputs = [found[0] for found in matches.values()]
    _check_distinct(subject, outputs, class_names)
    return None if outputs == list(range(output_count or -1)) else outputs


class ClassIndex:
    """Outputs by exact name, else by WordNet id, else by name regardless of case, underscores and further names."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.exact: dict[str, list[int]] = {}
        self.plain: dict[str, list[int]] = {}
        ids = list(by_wordnet_id()) if names == imagenet_names() else names
        for index, (name, wordnet_id) in enumerate(zip(names, ids, strict=True)):
            _add(self.exact, name, index)
            _add(self.plain, normalize_class_name(name), index)
            if class_name_of(name) != name:  # n01440764_tench, as folders are named
                _add(self.exact, class_name_of(name), index)
            known = by_wordnet_id().get(wordnet_id)
            if known is not None:
                _add(self.exact, known.wordnet_id, index)
                _add(self.plain, normalize_class_name(known.name), index)
                _add(self.exact, SHARED_NAMES.get(known.output, name), index)

    def find(self, name: str) -> list[int]:
        """Indices of the outputs of that name."""
        return self.exact.get(name) or self.plain.get(normalize_class_name(name), [])

    def nearest(self, name: str) -> list[str]:
        """Names of outputs similar to it; the first ones where none is."""
        near = difflib.get_close_matches(normalize_class_name(name), list(self.plain), n=2)
        return [self.names[self.plain[key][0]] for key in near] or list(self.names[:SHOWN])


def normalize_class_name(name: str) -> str:
    """The first of several names, in lower case, with single spaces: `Golden_Retriever, x` → `golden retriever`."""
    return " ".join(name.split(",")[0].replace("_", " ").lower().split())


def _add(index: dict[str, list[int]], key: str, output: int) -> None:
    outputs = index.setdefault(key, [])
    if output not in outputs:
        outputs.append(output)


def _check_keys(class_map: ClassMap, class_names: tuple[str, ...]) -> None:
    for name in class_map:
        if name not in class_names:
            near = difflib.get_close_matches(name, class_names, n=2) or class_names[:SHOWN]
            raise StudyError(f"class_map names {name!r}, which is no class of the data set: it has {', '.join(near)} …")


def _check_count(subject: str, output_count: int | None, class_count: int) -> None:
    if output_count in (None, class_count):
        return
    hint = (
        'say `class_names = "imagenet-1k"` if these are its classes'
        if output_count == 1000
        else "use a checkpoint that was trained on these classes, or say `class_names` or `class_map`"
    )
    raise StudyError(f"{subject} has {output_count} outputs, but the data set has {class_count} classes: {hint}")


def _check_complete(subject: str, class_map: ClassMap, class_names: tuple[str, ...]) -> None:
    """Refuse a class without an index, where outputs have no names."""
    left = [name for name in class_names if name not in class_map]
    if left:
        raise StudyError(
            f"{subject}: class_map leaves out {_listed(left)}, and the names of the outputs are unknown: give an "
            "output for each class, or `class_names`"
        )
    for name in class_names:
        if isinstance(class_map[name], str):
            raise StudyError(
                f"{subject}: class_map gives {name!r} the output {class_map[name]!r}, but the names of the outputs are "
                "unknown: give its index, or `class_names`"
            )


def _check_matches(subject: str, matches: dict[str, list[int]], class_map: ClassMap, index: ClassIndex) -> None:
    """Refuse a class that matches several outputs or none."""
    for name, found in matches.items():
        if len(found) > 1:
            which = " and ".join(f"{output} ({index.names[output]})" for output in found[:SHOWN])
            raise StudyError(
                f"{subject}: class {str(class_map.get(name, name))!r} matches outputs {which}: say which with "
                f"`class_map = {{ {_toml_key(name)} = … }}`"
            )
    missing = [name for name, found in matches.items() if not found]
    if missing:
        names = [str(class_map.get(name, name)) for name in missing]
        raise StudyError(
            f"{subject} has no output for {_listed(names)} (of {len(matches)} classes; the nearest to the first: "
            f"{', '.join(index.nearest(names[0]))}): say which with `class_map = {{ {_toml_key(missing[0])} = … }}`, "
            "or give `class_names`"
        )


def _check_distinct(subject: str, outputs: list[int], class_names: tuple[str, ...]) -> None:
    first: dict[int, str] = {}
    for output, name in zip(outputs, class_names, strict=True):
        if output in first:
            raise StudyError(
                f"{subject}: classes {first[output]!r} and {name!r} would share output {output}: each needs its own; "
                "say which with `class_map`"
            )
        first[output] = name


def _toml_key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else f'"{name}"'


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(repr(name) for name in names[:SHOWN]) + more
