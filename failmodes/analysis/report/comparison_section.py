"""The part of a report that compares two models: sentences, chart, pictures of images that change sides, tables."""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np

from failmodes.analysis.charts.differences import draw
from failmodes.analysis.charts.model_colors import model_colors
from failmodes.analysis.charts.style.saving import image_url
from failmodes.analysis.comparison.tables import (
    ANOTHER_CLASS,
    Sides,
    cell_name,
    comparison_tables,
    corruption_names,
    side_names,
)
from failmodes.analysis.images.changed_pictures import changed_pictures
from failmodes.analysis.judging.comparison_sentences import (
    changed_sentence,
    comparison_sentences,
    crossover_sentences,
    no_images_sentence,
)
from failmodes.analysis.report.gallery import small_picture
from failmodes.analysis.report.report_charts import ReportChart, report_chart
from failmodes.analysis.report.topics import IN_COMPARISON
from failmodes.analysis.selection import Selection, selection_of
from failmodes.analysis.statistics.comparing import compare_models
from failmodes.analysis.statistics.model_comparison import ChangedImages, Comparison
from failmodes.analysis.statistics.opened_models import OpenedModel, find_model
from failmodes.analysis.text_tables import TextTable
from failmodes.analysis.trained_models import trained_models
from failmodes.warehouse.errors import StudyError

MOST_PICTURES = 8  # of newly wrong images, and of newly right ones
LONGEST_HEADING = 28  # letters of a model's name in a table
Pair = tuple[OpenedModel, OpenedModel]


class ChangedPicture(NamedTuple):
    """An image that one model gets right and the other wrong: where, what each answers, and its picture as a URL."""

    image_id: int
    true_class: str
    cell: str
    cell_count: int
    correct_prediction: str
    incorrect_prediction: str
    url: str


class PictureGroup(NamedTuple):
    """Images that change sides one way: its title, how many there are, who is right and who is wrong, and pictures.

    `missing` says why pictures are missing, if any are.
    """

    title: str
    text: str
    correct: str
    incorrect: str
    pictures: list[ChangedPicture]
    missing: str


class ReportComparison(NamedTuple):
    """One pair: answer and other sentences, chart, pictures, tables, and the evaluations that are compared."""

    title: str
    headline: str
    sentences: list[str]
    chart: ReportChart
    groups: list[PictureGroup]
    no_images: str
    sides: Sides | None
    tables: list[TextTable]
    evaluation_ids: frozenset[str]


def named_pairs(con: duckdb.DuckDBPyConnection, path: Path, pairs: Iterable[Sequence[str]]) -> list[Pair]:
    """The models that a user named.

    Raises:
        StudyError: a name means no model of this warehouse, or several; or a pair is not two names.
    """
    found = []
    for names in pairs:
        if isinstance(names, str) or len(names) != 2:
            raise StudyError(f"a pair is two names of models, not {names!r}")
        found.append((find_model(con, path, names[0]), find_model(con, path, names[1])))
    return found


def only_pair(con: duckdb.DuckDBPyConnection, path: Path, selection: Selection) -> list[Pair]:
    """The two models of a selection; none where there are more or fewer, or where they share no corruption."""
    models = trained_models(selection.evaluations)
    if len(models) != 2:
        return []
    a, b = (  # not by name: other evaluations of the warehouse may be called the same
        OpenedModel(con, path, model, selection_of(con, [run.facts for run in model.runs])) for model in models
    )
    return [(a, b)] if set(a.selection.corruptions) & set(b.selection.corruptions) else []


def report_comparison(con: duckdb.DuckDBPyConnection, selection: Selection, pair: Pair) -> ReportComparison:
    """Everything about one pair.

    Args:
        con: the warehouse.
        selection: the part of the report that it stands in, whose colors are taken.
        pair: the two models.

    Raises:
        StudyError: they cannot be compared; the message says why.
    """
    comparison = compare_models(*pair)
    sides = side_names(comparison, LONGEST_HEADING)
    headline, *rest = comparison_sentences(comparison)
    colors = model_colors(con, selection).colors
    chart = report_chart(IN_COMPARISON, partial(draw, comparison, pair[1].selection.images, colors=colors))
    groups = [
        group
        for changed, is_incorrect in ((comparison.newly_incorrect, True), (comparison.newly_correct, False))
        if changed is not None
        and ((group := _group(con, comparison, changed, is_incorrect=is_incorrect)).pictures or group.missing)
    ]
    return ReportComparison(
        title=f"{comparison.b.label} compared with {comparison.a.label}",
        headline=headline,
        sentences=[*rest, *crossover_sentences(comparison)],
        chart=chart,
        groups=groups,
        no_images="" if comparison.newly_incorrect is not None else no_images_sentence(comparison),
        sides=Sides(comparison.a.label, comparison.b.label) if sides.a != comparison.a.label else None,
        tables=comparison_tables(comparison, sides),
        evaluation_ids=frozenset((*comparison.a.evaluation_ids, *comparison.b.evaluation_ids)),
    )


def _group(
    con: duckdb.DuckDBPyConnection, comparison: Comparison, changed: ChangedImages, *, is_incorrect: bool
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
        predictions = [predicted or ANOTHER_CLASS for predicted in (image.predicted_a, image.predicted_b)]
        correct, incorrect = predictions if is_incorrect else predictions[::-1]
        url = image_url(np.asarray(small_picture(pixels[image.image_id])))
        pictures.append(
            ChangedPicture(image.image_id, image.label_name, cell_name(names, image.corruption, image.severity),
                           image.cell_count, correct, incorrect, url)
        )  # fmt: skip
    labels = (comparison.a.label, comparison.b.label)
    correct_label, incorrect_label = labels if is_incorrect else labels[::-1]
    title = "Newly wrong" if is_incorrect else "Newly right"
    return PictureGroup(title, changed_sentence(changed), correct_label, incorrect_label, pictures, missing)
