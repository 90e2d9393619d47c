"""Classes found by name or WordNet id: the outputs of a model, or the classes of another dataset."""

import difflib

from failmodes.ingest.datasets.folder_listing import class_name_of
from failmodes.ingest.datasets.imagenet_classes import SHARED_NAMES, by_wordnet_id, imagenet_names

SHOWN = 3  # names listed if none is near


class ClassIndex:
    """Indices by exact name, else by WordNet id, else by name ignoring case, underscores and synonyms."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.exact: dict[str, list[int]] = {}
        self.plain: dict[str, list[int]] = {}
        ids = list(by_wordnet_id()) if names == imagenet_names() else names
        for index, (name, wordnet_id) in enumerate(zip(names, ids, strict=True)):
            _add(self.exact, name, index)
            _add(self.plain, normalize_class_name(name), index)
            if class_name_of(name) != name:  # folder names such as n01440764_tench
                _add(self.exact, class_name_of(name), index)
            known = by_wordnet_id().get(wordnet_id)
            if known is not None:
                _add(self.exact, known.wordnet_id, index)
                _add(self.plain, normalize_class_name(known.name), index)
                _add(self.exact, SHARED_NAMES.get(known.output, name), index)

    def find(self, name: str) -> list[int]:
        """Indices of this name; of a WordNet id, those of its ImageNet name if none has the id."""
        indices = self.exact.get(name) or self.plain.get(normalize_class_name(name), [])
        known = by_wordnet_id().get(name)
        if indices or known is None:
            return indices
        names = known.name, SHARED_NAMES.get(known.output, known.name)
        indices = next(filter(None, (self.plain.get(normalize_class_name(synonym)) for synonym in names)), [])
        return [known.output] if known.output in indices else indices  # two classes are called "crane"

    def nearest(self, name: str) -> list[str]:
        """Names similar to it, otherwise the first ones."""
        near = difflib.get_close_matches(normalize_class_name(name), list(self.plain), n=2)
        return [self.names[self.plain[key][0]] for key in near] or list(self.names[:SHOWN])


def normalize_class_name(name: str) -> str:
    """The first of several synonyms, in lower case, with single spaces: `Golden_Retriever, x` → `golden retriever`."""
    return " ".join(name.split(",")[0].replace("_", " ").lower().split())


def _add(index: dict[str, list[int]], key: str, output: int) -> None:
    outputs = index.setdefault(key, [])
    if output not in outputs:
        outputs.append(output)
