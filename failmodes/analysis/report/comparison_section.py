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
from failmodes.analysis.images.changed_pictures import changed_pictures
from failmodes.analysis.judging.compare import ChangedImages, compare_models
from failmodes.analysis.judging.compare_text import ComparisonText, changed_text
from failmodes.analysis.render.blocks import Table
from failmodes.analysis.report.gallery import small_picture
from failmodes.analysis.report.report_charts import ReportChart, report_chart
from failmodes.analysis.report.topics import IN_COMPARISON
from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.opened_models import OpenedModel, find_model, opened_model
from failmodes.analysis.statistics.shares import BETTER_MODEL_ERROR
from failmodes.analysis.trained_models import trained_models
from failmodes.warehouse.errors import StudyError

MOST_PICTURES = 8  # of newly wrong images, and of newly right ones
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
    a: str
    b: str
    tables: list[Table]
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
    a, b = (opened_model(con, path, model) for model in models)  # not by name: others may be called the same
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
    comparison = compare_models(*pair, level=1 - BETTER_MODEL_ERROR)
    text = ComparisonText(comparison)
    headline, *sentences = text.sentences
    colors = model_colors(con, selection).colors
    groups = [
        _group(con, text, changed) for changed in (comparison.newly_incorrect, comparison.newly_correct) if changed
    ]
    return ReportComparison(
        title=f"{text.b} compared with {text.a}",
        headline=headline,
        sentences=sentences,
        chart=report_chart(IN_COMPARISON, partial(draw, comparison, pair[1].selection.images, colors=colors)),
        groups=[group for group in groups if group.pictures or group.missing],
        no_images=text.no_images,
        a=text.a,
        b=text.b,
        tables=text.tables(),
        evaluation_ids=frozenset((*comparison.a.evaluation_ids, *comparison.b.evaluation_ids)),
    )


def _group(con: duckdb.DuckDBPyConnection, text: ComparisonText, changed: ChangedImages) -> PictureGroup:
    """Pictures of the images that change sides in most cells, as far as the warehouse has them."""
    images, models = changed.images[:MOST_PICTURES], (text.comparison.a, text.comparison.b)
    cells = {image.image_id: (image.corruption, image.severity) for image in images}
    pixels, missing = changed_pictures(con, [model.evaluation_ids[0] for model in models], cells)
    is_incorrect = changed is text.comparison.newly_incorrect
    pictures = []
    for image in images:
        if image.image_id in pixels:
            where, predicted = text.cell(image.corruption, image.severity), text.predictions(image)
            correct, incorrect = predicted if is_incorrect else predicted[::-1]
            url = image_url(np.asarray(small_picture(pixels[image.image_id])))
            pictures.append(
                ChangedPicture(image.image_id, image.label_name, where, image.cell_count, correct, incorrect, url)
            )
    title = "Newly wrong" if is_incorrect else "Newly right"
    correct, incorrect = (text.a, text.b) if is_incorrect else (text.b, text.a)
    return PictureGroup(title, changed_text(changed), correct, incorrect, pictures, missing)
