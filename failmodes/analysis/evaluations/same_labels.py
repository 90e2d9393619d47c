"""Differences of evaluations with the same label: in parentheses after the label, and in a sentence."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from failmodes.analysis.render.formatting import join_names
from failmodes.warehouse.evaluation_facts import (
    NONE,
    NOT_STATED,
    OF_LABELS,
    OWN,
    SHORT_ID_CHARACTERS,
    Fact,
    Facts,
    channels,
    is_normalized,
)
from failmodes.warehouse.schema import IMPORTED_FAMILY

Row = dict[str, Any]  # of `evaluation_labels`, with `evaluated_at`
MAX_WITH_VALUES = 3  # up to so many topics, a sentence also gives values


class _Facet(NamedTuple):
    """One property in which evaluations of a label may differ.

    Attributes:
        topic: its name in a sentence.
        texts: for each row its text in a sentence, and in the parentheses after a label.
    """

    topic: str
    texts: Callable[[Sequence[Facts]], list[tuple[str, str]]]


def distinct_labels(rows: Sequence[Facts]) -> list[str]:
    """Labels of evaluations; labels that several share state the difference: ResNet (no normalization).

    Args:
        rows: evaluations of the same images and corruptions.
    """
    added: list[list[str]] = [[] for _ in rows]
    for facet in _FACETS:
        for places in _shared([(str(row["model_label"]), *words) for row, words in zip(rows, added, strict=True)]):
            words = [word for _, word in facet.texts([rows[place] for place in places])]
            if len(set(words)) > 1:
                for place, word in zip(places, words, strict=True):
                    added[place].append(word)
    return [
        f"{row['model_label']} ({', '.join(words)})" if words else str(row["model_label"])
        for row, words in zip(rows, added, strict=True)
    ]


def comparable_groups(rows: Iterable[Row]) -> list[list[Row]]:
    """Rows grouped by `comparable_id`, in their order."""
    groups: dict[str | None, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["comparable_id"], []).append(row)
    return list(groups.values())


def labels_by_evaluation(rows: Iterable[Row]) -> dict[str, str]:
    """Full label by evaluation ID, distinct among comparable evaluations; rows are newest first."""
    return {
        row["evaluation_id"]: label
        for group in comparable_groups(rows)
        for row, label in zip(group, distinct_labels(group), strict=True)
    }


def newest_first(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows by label, then training seed, then newest first."""

    def order(row: Facts) -> tuple[Any, ...]:
        seed = row["training_seed"]
        made = row["evaluated_at"]
        return (
            str(row["model_label"]),
            seed is not None,
            seed or 0,
            -made.timestamp() if made else 0,
            row["evaluation_id"],
        )

    return sorted(rows, key=order)


def differences(rows: Sequence[Facts]) -> str:
    """Differences of evaluations of one label: normalization (none / mean 0.5) and date (2026-03-02 / 2026-03-01).

    Args:
        rows: at least two.
    """
    texts = {facet.topic: [text for text, _ in facet.texts(rows)] for facet in _FACETS}
    topics = {topic: values for topic, values in texts.items() if len(set(values)) > 1}
    if len(topics) > 1:
        topics.pop(_IDENTITY.topic, None)
    names = [topic if len(topics) > MAX_WITH_VALUES else f"{topic} ({' / '.join(v)})" for topic, v in topics.items()]
    if len({row["model_id"] for row in rows}) > 1 and not _OF_MODEL & topics.keys():
        names.insert(0, "weights")
    return join_names(names)


def _shared(labels: Sequence[tuple[str, ...]]) -> list[list[int]]:
    """Positions of each label that occurs more than once."""
    counts = Counter(labels)
    return [[p for p, other in enumerate(labels) if other == label] for label in counts if counts[label] > 1]


def _normalization(rows: Sequence[Facts]) -> list[tuple[str, str]]:
    """Channel means, or standard deviations if only these differ: mean 0.485, 0.456, 0.406; none.

    In parentheses: normalized or no normalization, with the values if several normalizations differ.
    """
    scales = [(row["input_mean"] or [], row["input_std"] or []) for row in rows]
    stated = [(mean, std) for mean, std in scales if is_normalized(mean, std)]
    means, deviations = ({tuple(scale[place]) for scale in stated} for place in (0, 1))
    name, place = ("std", 1) if len(means) == 1 and len(deviations) > 1 else ("mean", 0)
    values = [
        NOT_STATED
        if row["family"] == IMPORTED_FAMILY
        else OWN
        if row["preprocessing"] is not None
        else f"{name} {channels(scale[place])}"
        if is_normalized(*scale)
        else NONE
        for row, scale in zip(rows, scales, strict=True)
    ]
    others = {NONE: "no normalization", NOT_STATED: "normalization not stated", OWN: OWN}
    is_one = len(set(values) - others.keys()) == 1
    return [(value, others.get(value, "normalized" if is_one else value)) for value in values]


def _dates(rows: Sequence[Facts]) -> list[tuple[str, str]]:
    """Dates; with minutes if dates are equal, with seconds if minutes are too."""
    made: list[datetime | None] = [row["evaluated_at"] for row in rows]
    for form in ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"):
        dates = [format(day, form) if day else "no date" for day in made]
        if len(set(dates)) == len(dates):
            break
    return [(date, date) for date in dates]


def _identities(rows: Sequence[Facts]) -> list[tuple[str, str]]:
    """Evaluation IDs; in parentheses the ID that differs, abbreviated: model 1c9e04ba; evaluation 20d4f1aa."""
    full = [str(row["evaluation_id"]) for row in rows]
    is_model = len({row["model_id"] for row in rows}) == len(rows)
    kind, name = ("model", "model_id") if is_model else ("evaluation", "evaluation_id")
    short = [str(row[name])[:SHORT_ID_CHARACTERS] for row in rows]
    words = short if len(set(short)) == len(rows) else full
    return [(text, f"{kind} {word}") for text, word in zip(full, words, strict=True)]


def _facet(fact: Fact) -> _Facet:
    """The facet of a fact whose texts do not depend on those of other rows."""
    return _Facet(fact.topic, lambda rows: [(fact.words(row), fact.label(row)) for row in rows])


_IDENTITY = _Facet("evaluation_id", _identities)
_RELATIVE = {"normalization": _normalization}  # texts that depend on those of other rows
_FACETS = (
    *(_Facet(f.topic, _RELATIVE[f.topic]) if f.topic in _RELATIVE else _facet(f) for f in OF_LABELS),
    _Facet("date", _dates),
    _IDENTITY,
)
_OF_MODEL = {
    "training seed", "preprocessing", "normalization", "input size", "resize", "crop", "interpolation", "architecture",
    "variant", "checkpoint", "classes", "class outputs",
}  # fmt: skip
