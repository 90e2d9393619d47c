"""What the page shows of a warehouse besides its own queries: the study, strips of images, comparisons; as JSON."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from failmodes import __version__
from failmodes.analysis.charts.style.series import model_colors
from failmodes.analysis.charts.style.theme import DARK_COLORS, GRAY
from failmodes.analysis.evaluations.selection import Selection, corruption_names, particulars, select
from failmodes.analysis.images.collection import pictures_of_rows
from failmodes.analysis.images.rows import curve_rows
from failmodes.analysis.images.stored_images import OpenStudy, missing_map_reason
from failmodes.analysis.images.strips import picture_strip
from failmodes.analysis.judging.compare import compare_named
from failmodes.analysis.render.blocks import Block, Section, Sentence, Table
from failmodes.analysis.results.comparison import ComparisonResult
from failmodes.analysis.statistics.attributes import KEYS
from failmodes.runtime.errors import StudyError, shown
from failmodes.warehouse.database.checks import refuse_broken_relations
from failmodes.warehouse.database.saved_queries import saved_queries

Answer = dict[str, Any]
STRIP_PX = 320  # longer side of an image in a strip


def study_facts(con: duckdb.DuckDBPyConnection, selections: Sequence[Selection], location: str) -> Answer:
    """The study as the page needs it before its first query.

    Args:
        con: the warehouse.
        selections: the groups of evaluations that may be compared.
        location: how commands name the warehouse.

    Returns:
        version; path; title; groups of comparable evaluations, each with ids, labels, colors by ID, corruptions,
        dataset_id, chance (0-1 or null) and lines on the data; corruptions by name; classes by dataset; metadata: names
        and types of the columns of `images` that describe them; queries: the saved ones.
    """
    corruptions = con.execute(
        "select corruption, corruption_label, corruption_group from corruptions order by corruption_order, corruption"
    ).fetchall()
    classes: dict[str, list[str]] = {}
    for dataset_id, name in con.execute(
        "select dataset_id, class_name from classes order by dataset_id, class_index"
    ).fetchall():
        classes.setdefault(dataset_id, []).append(name)
    columns = con.execute("select column_name, column_type from (describe images)").fetchall()
    return {
        "version": __version__,
        "path": location,
        "title": selections[0].images,
        "groups": [_group(con, selection) for selection in selections],
        "corruptions": {name: {"label": label, "group": group} for name, label, group in corruptions},
        "classes": classes,
        "metadata": [{"name": name, "type": kind} for name, kind in columns if name not in KEYS],
        "queries": [
            {"name": query.name, "description": query.purpose, "sql": query.sql, "parameters": query.parameters}
            for query in saved_queries().values()
        ],
    }


def _group(con: duckdb.DuckDBPyConnection, selection: Selection) -> Answer:
    colors = model_colors(con, selection)
    of_runs = {e.evaluation_id: colors.colors.get(colors.of_runs[e.label], GRAY) for e in selection.evaluations}
    return {
        "images": selection.images,
        "particulars": particulars(selection),
        "dataset_id": selection.shared["dataset_id"],
        "chance": selection.chance,
        "ids": selection.ids,
        "labels": selection.labels,
        "baselines": [e.evaluation_id for e in selection.evaluations if e.facts["is_baseline"]],
        "colors": of_runs,
        "dark_colors": {key: DARK_COLORS.get(color, color) for key, color in of_runs.items()},
        "corruptions": list(selection.corruptions),
        "names": corruption_names(con, selection),
        "source_line": selection.source_line,
        "exclusions": selection.exclusions,
    }


def strip_answer(
    con: duckdb.DuckDBPyConnection,
    selections: Iterable[Selection],
    open_study: OpenStudy,
    evaluation_id: str,
    corruption: str,
    image_id: int,
) -> Answer:
    """One image from clean to the last severity of a corruption, with the predictions of a model.

    Args:
        con: the warehouse.
        selections: the groups of its evaluations.
        open_study: opens the study, for images that the warehouse does not store.
        evaluation_id: of the model.
        corruption: its name.
        image_id: of the image.

    Returns:
        The fields of its `ImageStrip` (src: data URL of all images side by side; size; frames: severity, prediction,
        confidence, whether it is correct), and severities as numbers.

    Raises:
        StudyError: there is no such evaluation, corruption or image, or only a study has its images.
        WarehouseError, DataError: a clean image is missing or damaged.
    """
    selection = narrowed(selections, evaluation_id, corruption)
    (rows,) = curve_rows(con, selection, [image_id]) or [[]]
    if not rows:
        raise StudyError(f"image {image_id} was not evaluated under {corruption}")
    made = pictures_of_rows(con, rows, "", open_study=cache(open_study))
    without = [picture.row for picture in made.all if picture.attention is None]
    notes = made.notes + ([f"No attention map: {missing_map_reason(con, without)}"] if without else [])
    label = selection.labels[evaluation_id]
    strip = picture_strip(made.all, label, " ".join(f"{note}." for note in notes), max_px=STRIP_PX)
    return {
        "title": strip.title,
        "note": strip.note,
        "file": strip.file,
        "src": strip.url,
        "size": [strip.width, strip.height],
        "frames": strip.frames,
        "maps": strip.maps,
        "map_size": strip.map_size,
        "severities": [float(picture.row.severity) for picture in made.all],
    }


def narrowed(selections: Iterable[Selection], evaluation_id: str, corruption: str) -> Selection:
    """The selection of one evaluation and one corruption.

    Raises:
        StudyError: there is no such evaluation or corruption.
    """
    for selection in selections:
        for evaluation in selection.evaluations:
            if evaluation.evaluation_id == evaluation_id and corruption in selection.corruptions:
                return replace(selection.only(evaluation), corruptions=(corruption,))
    raise StudyError(f"no evaluation {shown(evaluation_id)} under {shown(corruption)}")


def comparison_answer(path: Path, selections: Iterable[Selection], a: str, b: str) -> Answer:
    """A comparison of two evaluations, as `failmodes compare` prints it; differences are candidate − baseline.

    Args:
        path: the warehouse.
        selections: the groups of its evaluations.
        a: evaluation of the baseline.
        b: evaluation of the candidate.

    Returns:
        title, and blocks of kind heading, sentence (text, role) or table (caption, note, columns, rows of texts).

    Raises:
        StudyError: there is no such evaluation, or they share no cell.
        WarehouseError: the warehouse cannot be read.
    """
    known = {key for selection in selections for key in selection.ids if key.isalnum()}
    if not {a, b} <= known:  # another name could be that of another file
        raise StudyError("expected the IDs of two evaluations of this warehouse")
    document = ComparisonResult(compare_named(a, b, path)).document
    return {"title": document.title, "blocks": [block for made in document.blocks for block in _blocks(made)]}


def _blocks(block: Block) -> list[Answer]:
    match block:
        case Sentence(text, role):
            return [{"kind": "sentence", "text": text, "role": role}]
        case Table(caption, note, columns, rows):
            texts = [[cell.on_one_line for cell in row] for row in rows]
            return [{"kind": "table", "text": caption, "note": note, "columns": columns, "rows": texts}]
        case Section(title, blocks):
            return [{"kind": "heading", "text": title}, *(made for inner in blocks for made in _blocks(inner))]
    return []


def opened_selections(con: duckdb.DuckDBPyConnection) -> list[Selection]:
    """The groups of evaluations of a warehouse whose relations are whole.

    Raises:
        WarehouseError: it has no evaluations, or rows that name no evaluation.
    """
    refuse_broken_relations(con)
    return select(con)
