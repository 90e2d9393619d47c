"""Report sections that compare two models: chart and sentences; in Details, tables and changed images."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import duckdb

from failmodes.analysis.charts.differences import draw
from failmodes.analysis.charts.style.series import model_colors
from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.evaluations.trained_models import trained_models
from failmodes.analysis.images.collection import changed_pictures
from failmodes.analysis.images.strips import picture_strip
from failmodes.analysis.judging.compare import ChangedImages, compare_models
from failmodes.analysis.judging.compare_text import ComparisonText
from failmodes.analysis.render.blocks import Block, Gallery, Section, Sentence
from failmodes.analysis.render.formatting import format_count
from failmodes.analysis.report.report_charts import IN_COMPARISON, report_chart
from failmodes.analysis.statistics.opened_models import OpenedModel, find_model, opened_model
from failmodes.analysis.statistics.shares import BETTER_MODEL_ERROR
from failmodes.runtime.errors import StudyError
from failmodes.warehouse.schema import CLEAN

MAX_PICTURES = 8  # newly incorrect images, and newly correct ones
Pair = tuple[OpenedModel, OpenedModel]


def pairs_by_selection(
    con: duckdb.DuckDBPyConnection, path: Path, selections: Sequence[Selection], names: Sequence[Sequence[str]] = ()
) -> list[list[Pair]]:
    """The pairs of each part of a report: those that the user named, else the only pair.

    Raises:
        StudyError: a name matches no model of this warehouse, or several; or a pair is not two names.
    """
    if not names:
        return [_only_pair(con, path, selection) for selection in selections]
    found: list[list[Pair]] = [[] for _ in selections]
    for pair in names:
        if isinstance(pair, str) or len(pair) != 2:
            raise StudyError(f"expected a pair of two model names, not {pair!r}")
        a, b = (find_model(con, path, name) for name in pair)
        places = (place for place, one in enumerate(selections) if set(a.selection.ids) <= set(one.ids))
        found[next(places, 0)].append((a, b))
    return found


def _only_pair(con: duckdb.DuckDBPyConnection, path: Path, selection: Selection) -> list[Pair]:
    """The two models of a selection; empty if there are more or fewer, or if they share no corruption."""
    models = trained_models(selection.evaluations)
    if len(models) != 2:
        return []
    a, b = (opened_model(con, path, model) for model in models)  # not by name, which other models may share
    return [(a, b)] if set(a.selection.corruptions) & set(b.selection.corruptions) else []


def comparison_sections(
    con: duckdb.DuckDBPyConnection, selection: Selection, pair: Pair, anchor: str = "", *, is_only: bool = True
) -> tuple[Section, Section]:
    """One pair: a section with its chart and strongest sentences, and one with all results for Details.

    Args:
        con: the warehouse.
        selection: the part of the report, which determines colors.
        pair: the two models.
        anchor: of the section.
        is_only: whether it is the only comparison, whose title needs no names.

    Raises:
        StudyError: they cannot be compared; the message says why.
    """
    comparison = compare_models(*pair, level=1 - BETTER_MODEL_ERROR)
    text = ComparisonText(comparison)
    colors = model_colors(con, selection).colors
    chart = report_chart(IN_COMPARISON, partial(draw, comparison, pair[1].selection.images, colors=colors))
    first, *others = text.sentences  # the title of the chart is the first without its images
    blocks: list[Block] = [Sentence(sentence, "item") for sentence in (first, *others, text.no_images) if sentence]
    changes = {"Newly incorrect": comparison.newly_incorrect, "Newly correct": comparison.newly_correct}
    for table in text.tables():
        changed = changes.get(table.caption)
        shown = _changed_images(con, text, changed) if changed else ()
        blocks.append(Section(table.caption, (table, *shown), is_folded=True))
    names = f"{text.b} with {text.a}"
    title = "Comparison" if is_only else f"Comparison: {names}"
    return (
        Section(title, (chart, *map(Sentence, others[:2])), anchor=anchor),
        Section(f"Comparison of {names}: tables and changed images", tuple(blocks), is_folded=True),
    )


def _changed_images(
    con: duckdb.DuckDBPyConnection, text: ComparisonText, changed: ChangedImages
) -> tuple[Gallery, ...]:
    """Images that change in most cells, as far as the warehouse has them."""
    images, is_incorrect = changed.images[:MAX_PICTURES], changed is text.comparison.newly_incorrect
    seen_by = text.comparison.b if is_incorrect else text.comparison.a  # the model whose predictions are incorrect
    # An image that changes when clean is shown under the corruption with the lowest accuracy of this model
    worst = min(text.comparison.corruptions, key=lambda row: (row.b if is_incorrect else row.a) or 0.0).corruption
    cells = {one.image_id: (one.corruption if one.severity else worst or CLEAN, one.severity) for one in images}
    pictures, missing = changed_pictures(con, seen_by.evaluation_ids[0], cells)
    strips = [
        picture_strip(
            pictures[image.image_id],
            seen_by.label,
            f"Changes in {format_count(image.cell_count, 'cell')}; mildest: "
            f"{text.cell(image.corruption, image.severity)}",
        )
        for image in images
        if image.image_id in pictures
    ]
    note = "Images that change in most cells." + (f" No images: {missing}." if missing else "")
    return (Gallery(tuple(strips), note),) if strips or missing else ()
