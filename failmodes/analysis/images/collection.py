"""Pictures with all that is told of them: one sheet of those that match, or one image along its curve."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import duckdb

from failmodes.analysis.images.attention import missing_map_reason, stored_attention
from failmodes.analysis.images.clean_images import GIVE_THE_STUDY, OpenStudy, no_study
from failmodes.analysis.images.regeneration import Picture, describe_differences, make_pictures
from failmodes.analysis.images.rows import PictureRow, curve_rows, matching_rows, rows_to_cells
from failmodes.analysis.render.formatting import format_count, format_severity, join_names, lower_label
from failmodes.analysis.selection import select_one
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.errors import FailmodesError, StudyError, WarehouseError

# What is read once the rows are found; other views are not made
_RELATIONS = (
    "attention", "classes", "corruptions", "evaluation_labels", "evaluations", "exemplars", "images", "outcomes",
    "shards", "sources", "thumbnails",
)  # fmt: skip
MOST_HEADLINE, MOST_WORD = 400, 30  # letters
_KEEP = "evaluate again with thumbnails, which are kept unless the study says `thumbnails = false`"


class Pictures(NamedTuple):
    """Pictures and the text around them.

    Attributes:
        rows: rows of pictures: one of all that match, or one a curve, from clean to the last severity.
        is_curves: whether each row is a curve.
        headline: what is shown.
        details: what is drawn of each picture, and what differs from the evaluation.
        source: data set, subset, corruptions and seed.
        notes: what a reader must not miss, a line each: pictures left out, cut off, or made otherwise than evaluated.
    """

    rows: list[list[Picture]]
    is_curves: bool
    headline: str
    details: str
    source: str
    notes: list[str]

    @property
    def all(self) -> list[Picture]:
        """All pictures, row by row."""
        return [picture for row in self.rows for picture in row]


def find_pictures(
    path: Path, condition: str, *, open_study: OpenStudy | None = None, timeout_s: float | None = 60
) -> Pictures:
    """The pictures that fit a condition in SQL.

    Args:
        path: the warehouse.
        condition: as `matching_rows` takes it.
        open_study: opens the study that is at hand.
        timeout_s: seconds after which the question is stopped.

    Raises:
        QueryError: it is no condition.
        LimitError: time or memory ran out.
        StudyError: nothing matches, or a study is needed.
        WarehouseError: the warehouse cannot be read, or no clean image is to be had.
        DataError: images are damaged or missing.
    """
    found = matching_rows(path, condition, timeout_s=timeout_s)
    if not found.rows:
        raise StudyError(f"no evaluated image fits the filter: {condition.strip()}")
    cut = [f"{_matching(found.matching)}, {found.cut}"] if found.cut else []
    headline = f"{_matching(found.matching)}: {condition}"
    with open_warehouse(path, _RELATIONS) as con:
        return pictures_of_rows(con, found.rows, headline, notes=cut, open_study=open_study)


def pictures_of_rows(
    con: duckdb.DuckDBPyConnection,
    rows: Sequence[PictureRow],
    headline: str,
    *,
    notes: Sequence[str] = (),
    open_study: OpenStudy | None = None,
) -> Pictures:
    """The pictures of rows that were read already, made again.

    Args:
        con: the warehouse.
        rows: which ones, in the order shown, at least one.
        headline: what is shown.
        notes: what a reader must not miss of how the rows were chosen, a line each.
        open_study: opens the study that is at hand.

    Raises:
        StudyError: a study is needed.
        WarehouseError: no clean image is to be had.
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
    """Images along their curves: for each image, corruption and model a row from clean to the last severity.

    Args:
        path: the warehouse.
        image_ids: which images.
        corruptions: which corruptions, at least one.
        models: only these models, by label.
        evaluations: only these evaluations, by identity or its first letters.
        open_study: opens the study that is at hand.

    Raises:
        StudyError: no corruption is named, an image was not evaluated, or a study is needed.
        WarehouseError, DataError: as `find_pictures`.
    """
    if not corruptions:
        raise StudyError("one image is shown along the severities of a corruption: name it, such as fog")
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
                _attention_sentence(con, pictures, "; the line is its path from clean"),
                *notes,
            ),
            source=selection.source_line,
            notes=notes,
        )


def changed_pictures(
    con: duckdb.DuckDBPyConnection, evaluation_id: str, cells: Mapping[int, tuple[str, float]]
) -> tuple[dict[int, list[Picture]], str]:
    """The pictures of images along severity, with what one model predicts.

    Args:
        con: the warehouse.
        evaluation_id: of that model.
        cells: corruption and severity by image_id: those to that corruption's last severity are shown.

    Returns:
        The pictures of each image that could be regenerated, by image_id; and why there are none, if so.
    """
    try:
        made = make_pictures(con, rows_to_cells(con, evaluation_id, cells), no_study)
    except FailmodesError as error:  # a published set, code of a study, no OpenCV
        return {}, str(error)
    strips: dict[int, list[Picture]] = {}
    for picture in made:
        if picture is not None:
            strips.setdefault(picture.row.image_id, []).append(picture)
    return strips, ""


def _pictures(
    con: duckdb.DuckDBPyConnection, rows: Sequence[PictureRow], open_study: OpenStudy | None
) -> tuple[list[Picture], list[str]]:
    """The pictures that can be made, and remarks on those that cannot, or are others.

    Raises:
        WarehouseError: none can be made.
    """
    made = make_pictures(con, rows, cache(open_study or no_study))
    if missing := [row for row, one in zip(rows, made, strict=True) if one is None]:
        images = len({(row.dataset_id, row.image_id) for row in missing})
        lack = f"the warehouse has no clean picture of {format_count(images, 'image')}, such as {missing[0].image_name}"
        if len(missing) == len(rows):
            raise WarehouseError(f"{lack}: {_KEEP}; or {GIVE_THE_STUDY}")
    known = [one for one in made if one is not None]
    attention = stored_attention(con, [one.row for one in known])
    pictures = [
        one._replace(attention=map_of, center=center) for one, (map_of, center) in zip(known, attention, strict=True)
    ]
    notes = [f"{format_count(len(missing), 'picture')} left out: {lack}"] if missing else []
    return pictures, [*notes, *filter(None, [describe_differences(con, known)])]


def _headline(text: str) -> str:
    """Text of a user or a warehouse as a headline: its length bounded, and no word so long that a chart grows by it."""
    kept = text if len(text) <= MOST_HEADLINE else f"{text[:MOST_HEADLINE]}\N{HORIZONTAL ELLIPSIS}"
    words = (word[start : start + MOST_WORD] for word in kept.split(" ") for start in range(0, len(word), MOST_WORD))
    return " ".join(" ".join(words).split("\n"))


def _matching(count: int | None) -> str:
    if count is None:
        return "Some pictures match"
    return f"{format_count(count, 'picture')} {'matches' if count == 1 else 'match'}"


def _attention_sentence(con: duckdb.DuckDBPyConnection, pictures: Sequence[Picture], line: str = "") -> str:
    """What is drawn of attention, of how many pictures, and why not of all; `line` says what a line is, if any."""
    without = [picture.row for picture in pictures if picture.attention is None]
    maps, dots = len(pictures) - len(without), sum(picture.center is not None for picture in pictures)
    why = f" ({missing_map_reason(con, without)})" if without else ""
    empty = sum(picture.has_empty_map for picture in pictures)
    maps_text = f"stored for {maps} of {len(pictures)}{why}" + (f", {empty} of them empty" if empty else "")
    drawn = [f"orange is its map, {maps_text}"] if maps else []
    drawn += [f"the dot is its center, stored for {dots} of {len(pictures)}{line}"] if dots else []
    if not drawn:
        return f"No attention is stored for them{why}"
    return f"Attention for the class predicted on the clean image: {'; '.join(drawn)}{'' if maps else f'; no map{why}'}"


def _curve_headline(rows: Sequence[Sequence[Picture]]) -> str:
    """Which image of which class under what, and which model misclassifies it where."""
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
    incorrect = [picture.row for picture in curve if not picture.row.correct]
    label = curve[0].row.model_label
    if not incorrect:
        return f"{label} classifies it correctly throughout"
    severity = format_severity(float(incorrect[0].severity))
    return f"{label} first misclassifies it {'when clean' if not incorrect[0].severity else f'at severity {severity}'}"


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
