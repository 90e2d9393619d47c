"""Which of many networks stand out in colour: those with the largest and the smallest mean accuracy."""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from analysis.theme import MODEL_COLOURS, MOST_COLOURED
from analysis.words import percent

BEHIND = "#A0A4AB"  # networks that stand behind the coloured ones


class Emphasis(NamedTuple):
    """All networks in order with their colours; those in colour, and what a key calls them."""

    labels: list[str]
    colours: list[str]
    coloured: list[str]
    names: list[str]

    @property
    def is_partial(self) -> bool:
        """Whether some networks stand behind in grey."""
        return len(self.coloured) < len(self.labels)


def emphasis(labels: list[str], points: pl.DataFrame, averaged: Sequence[str]) -> Emphasis:
    """Up to four networks in colour; of more, the one with the largest and the one with the smallest mean accuracy.

    Args:
        labels: the networks.
        points: accuracy (0-1) by label, corruption and severity.
        averaged: corruptions that the mean is over.
    """
    if len(labels) <= MOST_COLOURED:
        return Emphasis(labels, list(MODEL_COLOURS[: len(labels)]), labels, labels)
    means = mean_corrupted_accuracy(points, averaged)
    known = [label for label in labels if label in means]
    most, least = max(known, key=means.__getitem__), min(reversed(known), key=means.__getitem__)
    named = {least: f"{least}, lowest mean accuracy ({percent(means[least])})",
             most: f"{most}, highest mean accuracy ({percent(means[most])})"}  # fmt: skip
    coloured = list(dict.fromkeys((most, least)))
    colours = [MODEL_COLOURS[coloured.index(label)] if label in coloured else BEHIND for label in labels]
    return Emphasis(labels, colours, coloured, [named[label] for label in coloured])


def mean_corrupted_accuracy(points: pl.DataFrame, averaged: Sequence[str]) -> dict[str, float]:
    """Mean accuracy by network over corruptions of their means over whole severities, or over all if none is whole."""
    cells = points.filter(pl.col("corruption").is_in(list(averaged)), pl.col("severity") > 0)
    whole = cells.filter(pl.col("severity") % 1 == 0)
    curves = (whole if len(whole) else cells).group_by("label", "corruption").agg(pl.col("accuracy").mean())
    means = curves.group_by("label").agg(pl.col("accuracy").mean())
    return dict(means.select("label", "accuracy").rows())
