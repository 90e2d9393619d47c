"""Reproduced images with their text: a contact sheet of those that match a filter, or images along their curves."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import duckdb

from failmodes.analysis.evaluations.selection import select_one
from failmodes.analysis.images.attention import missing_map_reason, stored_attention
from failmodes.analysis.images.clean_images import GIVE_THE_STUDY, OpenStudy, no_study
from failmodes.analysis.images.regeneration import Picture, describe_differences, make_pictures
from failmodes.analysis.images.rows import PictureRow, curve_rows, matching_rows, rows_to_cells
from failmodes.analysis.render.formatting import format_count, format_severity, join_names, lower_label
from failmodes.runtime.errors import FailmodesError, StudyError, WarehouseError
from failmodes.warehouse.database.connection import open_warehouse

# Relations that are read once the rows are found; other views are not created
_RELATIONS = (
    "attention", "classes", "corruptions", "evaluation_labels", "evaluations", "exemplars", "images", "outcomes",
    "shards", "sources", "thumbnails",
)  # fmt: skip
MAX_HEADLINE, MAX_WORD = 400, 30  # letters
_KEEP = "evaluate again with thumbnails (stored unless the study has `thumbnails = false`)"


class Pictures(NamedTuple):
    """Images and their text.

    Attributes:
        rows: rows of pictures: one with all matches, or one per curve, from clean to the last severity.
        is_curves: whether each row is a curve.
        headline: what is shown.
        details: what is drawn of each image, and differences from the evaluation.
        source: dataset, subset, corruptions and seed.
        notes: warnings, one per line: images not shown, or different from the evaluated ones.
    """

    rows: list[list[Picture]]
    is_curves: bool
    headline: str
    details: str
    source: str
    notes: list[str]

    @property
    def all(self) -> list[Picture]:
        """All images, row by row."""
        return [picture for row in self.rows for picture in row]


def find_pictures(
    path: Path, condition: str, *, open_study: OpenStudy | None = None, timeout_s: float | None = 60
) -> Pictures:
    """The images that match an SQL condition.

    Args:
        path: the warehouse.
        condition: as for `matching_rows`.
        open_study: opens the study.
        timeout_s: time limit in seconds.

    Raises:
        QueryError: it is not a condition.
        LimitError: out of time or memory.
        StudyError: nothing matches, or a study is needed.
        WarehouseError: the warehouse cannot be read, or no clean image is available.
        DataError: images are damaged or missing.
    """
    found = matching_rows(path, condition, timeout_s=timeout_s)
    if not found.rows:
        raise StudyError(f"no evaluated image matches the filter: {condition.strip()}")
    matching = f"{format_count(found.matching, 'image')} {'matches' if found.matching == 1 else 'match'}"
    cut = [f"{matching}, {found.cut}"] if found.cut else []
    with open_warehouse(path, _RELATIONS) as con:
        return pictures_of_rows(con, found.rows, f"{matching}: {condition}", notes=cut, open_study=open_study)


def pictures_of_rows(
    con: duckdb.DuckDBPyConnection,
    rows: Sequence[PictureRow],
    headline: str,
    *,
    notes: Sequence[str] = (),
    open_study: OpenStudy | None = None,
) -> Pictures:
    """The images of given rows, reproduced.

    Args:
        con: the warehouse.
        rows: the rows in the order shown, at least one.
        headline: what is shown.
        notes: warnings about the choice of rows.
        open_study: opens the study.

    Raises:
        StudyError: a study is needed.
        WarehouseError: no clean image is available.
        DataError: images are damaged or missing.
    """
    pictures, lacking = _pictures(con, rows, open_study)
    all_notes = [*notes, *lacking]
    return Pictures(
        [pictures],
        is_curves=False,
        headline=_headline(headline),
        details=_sentences(
            f"{len(pictures)} shown, reproduced from the clean image. Below: predicted class, correct (tick) or "
            "incorrect (cross), confidence, true class, corruption and severity, model",
            _attention_sentence(con, pictures),
            *all_notes,
        ),
        source=_source_line(con, pictures),
        notes=all_notes,
    )


def find_curves(
    path: Path,
    image_ids: Sequence[int],
    *,
    corruptions: Sequence[str] = (),
    models: Sequence[str] = (),
    evaluations: Sequence[str] = (),
    open_study: OpenStudy | None = None,
) -> Pictures:
    """Images along their curves: one row per image, corruption and model, from clean to the last severity.

    Args:
        path: the warehouse.
        image_ids: the images.
        corruptions: the corruptions, at least one.
        models: only these models, by label.
        evaluations: only these evaluations, by ID or its start.
        open_study: opens the study.

    Raises:
        StudyError: no corruption is given, an image was not evaluated, or a study is needed.
        WarehouseError, DataError: as `find_pictures`.
    """
    if not corruptions:
        raise StudyError("an image is shown along the severities of a corruption: name the corruption, such as fog")
    with open_warehouse(path, _RELATIONS) as con:
        selection = select_one(con, models=models, evaluations=evaluations, corruptions=corruptions)
        curves = curve_rows(con, selection, list(dict.fromkeys(image_ids)))
        labels = selection.labels
        named = [[row._replace(model_label=labels[row.evaluation_id]) for row in curve] for curve in curves]
        pictures, notes = _pictures(con, [row for curve in named for row in curve], open_study)
        by_row = {picture.row: picture for picture in pictures}
        rows = [kept for curve in named if (kept := [by_row[row] for row in curve if row in by_row])]
        return Pictures(
            rows,
            is_curves=True,
            headline=_headline(_curve_headline(rows)),
            details=_sentences(
                "From clean to the last severity, reproduced from the clean image. Below: predicted class, "
                "correct (tick) or incorrect (cross), and confidence",
                _attention_sentence(con, pictures, "; line: path of the centroid from clean"),
                *notes,
            ),
            source=selection.source_line,
            notes=notes,
        )


def changed_pictures(
    con: duckdb.DuckDBPyConnection, evaluation_id: str, cells: Mapping[int, tuple[str, float]]
) -> tuple[dict[int, list[Picture]], str]:
    """Images along severity, with the predictions of one model.

    Args:
        con: the warehouse.
        evaluation_id: of that model.
        cells: corruption and severity by image_id; shown from clean to the last severity of that corruption.

    Returns:
        The corrupted images of each image by image_id, and the reason if there are none.
    """
    try:
        made = make_pictures(con, rows_to_cells(con, evaluation_id, cells), no_study)
    except FailmodesError as error:  # a published dataset, code of a study, no OpenCV
        return {}, str(error)
    strips = {image_id: [one for one in made if one and one.row.image_id == image_id] for image_id in cells}
    return {image_id: strip for image_id, strip in strips.items() if strip}, ""


def _pictures(
    con: duckdb.DuckDBPyConnection, rows: Sequence[PictureRow], open_study: OpenStudy | None
) -> tuple[list[Picture], list[str]]:
    """The images that can be reproduced, and notes on those that cannot or differ.

    Raises:
        WarehouseError: none can be reproduced.
    """
    made = make_pictures(con, rows, cache(open_study or no_study))
    if missing := [row for row, one in zip(rows, made, strict=True) if one is None]:
        images = len({(row.dataset_id, row.image_id) for row in missing})
        lack = f"the warehouse has no clean pixels of {format_count(images, 'image')}, such as {missing[0].image_name}"
        if len(missing) == len(rows):
            raise WarehouseError(f"{lack}: {_KEEP}; or {GIVE_THE_STUDY}")
    known = [one for one in made if one is not None]
    attention = stored_attention(con, [one.row for one in known])
    pictures = [
        one._replace(attention=map_of, center=center) for one, (map_of, center) in zip(known, attention, strict=True)
    ]
    notes = [f"{format_count(len(missing), 'image')} not shown: {lack}"] if missing else []
    return pictures, [*notes, *filter(None, [describe_differences(con, known)])]


def _headline(text: str) -> str:
    """Text from a user or a warehouse as a headline, with limited length and limited word length."""
    kept = text if len(text) <= MAX_HEADLINE else f"{text[:MAX_HEADLINE]}\N{HORIZONTAL ELLIPSIS}"
    words = (word[start : start + MAX_WORD] for word in kept.split(" ") for start in range(0, len(word), MAX_WORD))
    return " ".join(" ".join(words).split("\n"))


def _attention_sentence(con: duckdb.DuckDBPyConnection, pictures: Sequence[Picture], line: str = "") -> str:
    """The attention that is drawn, the number of images with it, and why others lack it; `line` explains a line."""
    without = [picture.row for picture in pictures if picture.attention is None]
    maps, dots = len(pictures) - len(without), sum(picture.center is not None for picture in pictures)
    why = f" ({missing_map_reason(con, without)})" if without else ""
    empty = sum(picture.has_empty_map for picture in pictures)
    maps_text = f"stored for {maps} of {len(pictures)}{why}" + (f", {empty} of them empty" if empty else "")
    drawn = [f"orange: its map, {maps_text}"] if maps else []
    drawn += [f"dot: its centroid, stored for {dots} of {len(pictures)}{line}"] if dots else []
    if not drawn:
        return f"No attention is stored{why}"
    return f"Attention for the class predicted on the clean image: {'; '.join(drawn)}{'' if maps else f'; no map{why}'}"


def _curve_headline(rows: Sequence[Sequence[Picture]]) -> str:
    """Image, corruption, true class, and where each model first misclassifies it."""
    first = rows[0][0].row
    images = list(dict.fromkeys(row[0].row.image_id for row in rows))
    corruptions = list(dict.fromkeys(lower_label(row[-1].row.corruption_label) for row in rows))
    noun = "Image" if len(images) == 1 else "Images"
    subject = f"{noun} {join_names(map(str, images))} under {join_names(corruptions)}"
    if len(images) > 1 or len(corruptions) > 1:
        return subject
    falls = [_first_error(row) for row in rows]
    return f"{subject} (true class: {first.label_name}): {'; '.join(falls)}"


def _first_error(curve: Sequence[Picture]) -> str:
    label, incorrect = curve[0].row.model_label, [picture.row.severity for picture in curve if not picture.row.correct]
    if not incorrect:
        return f"{label} classifies it correctly at every severity"
    where = f"at severity {format_severity(float(incorrect[0]))}" if incorrect[0] else "when clean"
    return f"{label} first misclassifies it {where}"


def _source_line(con: duckdb.DuckDBPyConnection, pictures: Sequence[Picture]) -> str:
    rows = con.execute(
        "select distinct dataset_label, subset, source_label from evaluation_labels where evaluation_id = any($1) "
        "order by all",
        [list({picture.row.evaluation_id for picture in pictures})],
    ).fetchall()
    parts = [f"{dataset}; subset: {subset}; corruptions: {source}" for dataset, subset, source in rows]
    return f"Data: {' | '.join(parts)}."


def _sentences(*parts: str) -> str:
    return " ".join(f"{part[:1].upper()}{part[1:]}." for part in parts if part)
