"""The part of a report that compares two networks: sentences, chart, pictures of images that change sides, tables."""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np

from failmodes.analysis.charts.differences import draw
from failmodes.analysis.charts.network_colours import network_colours
from failmodes.analysis.charts.style.saving import image_url
from failmodes.analysis.comparison.tables import (
    ANOTHER_CLASS,
    Sides,
    cell_name,
    comparison_tables,
    corruption_names,
    side_names,
)
from failmodes.analysis.findings.network_comparison import (
    changed_sentence,
    comparison_sentences,
    crossover_sentences,
    no_images_sentence,
)
from failmodes.analysis.images.changed_pictures import changed_pictures
from failmodes.analysis.networks import trained_networks
from failmodes.analysis.report.gallery import small_picture
from failmodes.analysis.report.report_charts import ReportChart, report_chart
from failmodes.analysis.report.topics import IN_COMPARISON
from failmodes.analysis.selection import Selection, selection_of
from failmodes.analysis.statistics.comparing import compare_networks
from failmodes.analysis.statistics.network_comparison import ChangedImages, Comparison
from failmodes.analysis.statistics.opened_networks import OpenedNetwork, find_network
from failmodes.analysis.text_tables import TextTable
from failmodes.warehouse.errors import StudyError

MOST_PICTURES = 8  # of newly wrong images, and of newly right ones
LONGEST_HEADING = 28  # letters of a network's name in a table
Pair = tuple[OpenedNetwork, OpenedNetwork]


class ChangedPicture(NamedTuple):
    """An image that one network gets right and the other wrong: where, what each answers, and its picture as a URL."""

    image_id: int
    true_class: str
    cell: str
    cell_count: int
    right_answer: str
    wrong_answer: str
    url: str


class PictureGroup(NamedTuple):
    """Images that change sides one way: its title, how many there are, who is right and who is wrong, and pictures.

    `missing` says why pictures are missing, if any are.
    """

    title: str
    told: str
    right: str
    wrong: str
    pictures: list[ChangedPicture]
    missing: str


class ReportComparison(NamedTuple):
    """One pair: answer and other sentences, chart, pictures, tables, and the evaluations that are compared."""

    title: str
    answer: str
    sentences: list[str]
    chart: ReportChart
    groups: list[PictureGroup]
    no_images: str
    sides: Sides | None
    tables: list[TextTable]
    evaluation_ids: frozenset[str]


def named_pairs(con: duckdb.DuckDBPyConnection, path: Path, pairs: Iterable[Sequence[str]]) -> list[Pair]:
    """The networks that a user named.

    Raises:
        StudyError: a name means no network of this warehouse, or several; or a pair is not two names.
    """
    found = []
    for names in pairs:
        if isinstance(names, str) or len(names) != 2:
            raise StudyError(f"a pair is two names of networks, not {names!r}")
        found.append((find_network(con, path, names[0]), find_network(con, path, names[1])))
    return found


def only_pair(con: duckdb.DuckDBPyConnection, path: Path, selection: Selection) -> list[Pair]:
    """The two networks of a selection; none where there are more or fewer, or where they share no corruption."""
    networks = trained_networks(selection.evaluations)
    if len(networks) != 2:
        return []
    a, b = (  # not by name: other evaluations of the warehouse may be called the same
        OpenedNetwork(con, path, network, selection_of(con, [run.facts for run in network.runs]))
        for network in networks
    )
    return [(a, b)] if set(a.selection.corruptions) & set(b.selection.corruptions) else []


def report_comparison(con: duckdb.DuckDBPyConnection, selection: Selection, pair: Pair) -> ReportComparison:
    """Everything about one pair.

    Args:
        con: the warehouse.
        selection: the part of the report that it stands in, whose colours are taken.
        pair: the two networks.

    Raises:
        StudyError: they cannot be compared; the message says why.
    """
    comparison = compare_networks(*pair)
    sides = side_names(comparison, LONGEST_HEADING)
    answer, *rest = comparison_sentences(comparison)
    colours = network_colours(con, selection).colours
    chart = report_chart(IN_COMPARISON, partial(draw, comparison, pair[1].selection.images, colours=colours))
    groups = [
        group
        for changed, is_wrong in ((comparison.newly_wrong, True), (comparison.newly_right, False))
        if changed is not None
        and ((group := _group(con, comparison, changed, is_wrong=is_wrong)).pictures or group.missing)
    ]
    return ReportComparison(
        title=f"{comparison.b.label} compared with {comparison.a.label}",
        answer=answer,
        sentences=[*rest, *crossover_sentences(comparison)],
        chart=chart,
        groups=groups,
        no_images="" if comparison.newly_wrong is not None else no_images_sentence(comparison),
        sides=Sides(comparison.a.label, comparison.b.label) if sides.a != comparison.a.label else None,
        tables=comparison_tables(comparison, sides),
        evaluation_ids=frozenset((*comparison.a.evaluation_ids, *comparison.b.evaluation_ids)),
    )


def _group(
    con: duckdb.DuckDBPyConnection, comparison: Comparison, changed: ChangedImages, *, is_wrong: bool
) -> PictureGroup:
    """Pictures of the images that change sides in most cells, as far as the warehouse has them."""
    images = changed.images[:MOST_PICTURES]
    cells = {image.image_id: (image.corruption, image.severity) for image in images}
    pixels, missing = changed_pictures(con, [comparison.a.evaluation_ids[0], comparison.b.evaluation_ids[0]], cells)
    names = corruption_names(comparison)
    pictures = []
    for image in images:
        if image.image_id not in pixels:
            continue
        answers = [answer or ANOTHER_CLASS for answer in (image.predicted_a, image.predicted_b)]
        right, wrong = answers if is_wrong else answers[::-1]
        url = image_url(np.asarray(small_picture(pixels[image.image_id])))
        pictures.append(
            ChangedPicture(image.image_id, image.label_name, cell_name(names, image.corruption, image.severity),
                           image.cell_count, right, wrong, url)
        )  # fmt: skip
    labels = (comparison.a.label, comparison.b.label)
    right_label, wrong_label = labels if is_wrong else labels[::-1]
    title = "Newly wrong" if is_wrong else "Newly right"
    return PictureGroup(title, changed_sentence(changed), right_label, wrong_label, pictures, missing)
