"""Images with their text: a contact sheet of those that match a filter, images along their curves, stored exemplars."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import polars as pl

from failmodes.analysis.evaluations.selection import select_one
from failmodes.analysis.images.regeneration import Picture, describe_differences, make_pictures
from failmodes.analysis.images.rows import (
    NO_PREDICTION,
    OTHER_CLASS,
    PictureRow,
    curve_rows,
    matching_rows,
    rows_to_cells,
)
from failmodes.analysis.images.stored_images import (
    GIVE_THE_STUDY,
    AttentionOf,
    OpenStudy,
    centroid,
    decode_stored,
    missing_map_reason,
    no_study,
    stored_attention,
    stored_map,
)
from failmodes.analysis.render.formatting import REASON_NAMES, format_count, format_severity, join_names, lower_label
from failmodes.runtime.errors import FailmodesError, StudyError, WarehouseError
from failmodes.warehouse.database.connection import REBUILD_HINT, open_warehouse
from failmodes.warehouse.database.query import unknown_values
from failmodes.warehouse.schema import EXEMPLAR_REASONS

# Relations that are read once the rows are found; other views are not created
RELATIONS = (
    "attention", "classes", "corruptions", "evaluation_labels", "evaluations", "exemplars", "images", "predictions",
    "shards", "sources", "stated_models", "thumbnails",
)  # fmt: skip
MAX_HEADLINE, MAX_WORD = 400, 30  # letters
_KEEP = "evaluate again with thumbnails (stored unless the study has `thumbnails = false`)"
SERIES = ("evaluation_id", "corruption", "image_id")  # key of the rows from clean to the last severity
MAX_SERIES_PIXELS = 2**27  # decoded at once: 400 MB
_ROWS = f"""
select
    e.*, datasets.dataset_id, datasets.height_px, datasets.width_px, labels.model_label, labels.source_id,
    corruptions.corruption_label, coalesce(a.class_name, e.label::varchar) as label_name,
    coalesce(b.class_name, if(e.confidence is null, '{NO_PREDICTION}', '{OTHER_CLASS}')) as predicted_name,
    e.predicted is not distinct from e.label as correct, null as rmse, images.file
from exemplars as e
inner join datasets on datasets.dataset_id = $3
inner join evaluation_labels as labels using (evaluation_id)
inner join corruptions using (corruption)
left join classes as a on a.dataset_id = $3 and a.class_index = e.label
left join classes as b on b.dataset_id = $3 and b.class_index = e.predicted
left join images on images.dataset_id = $3 and images.image_id = e.image_id
where e.evaluation_id = any($1) and e.corruption = any($2)
order by list_position($4, e.reason), e.reason_rank, e.image_id, e.severity
"""


class Pictures(NamedTuple):
    """Images and their text.

    Attributes:
        rows: rows of pictures: one with all matches, or one per curve, from clean to the last severity.
        is_curves: whether each row is a curve.
        headline: what is shown.
        details: what is drawn of each image, and differences from the evaluation.
        source: dataset, subset, corruptions and seed.
        notes: warnings, one per line: images not shown, or different from the evaluated ones.
        titles: of the rows; empty for the model of each.
    """

    rows: list[list[Picture]]
    is_curves: bool
    headline: str
    details: str
    source: str
    notes: list[str]
    titles: tuple[str, ...] = ()

    @property
    def all(self) -> list[Picture]:
        """All images, row by row."""
        return [picture for row in self.rows for picture in row]

    @property
    def files(self) -> list[str]:
        """The files of the images, each once, in the order shown; those of arrays have none."""
        return list(dict.fromkeys(picture.row.file for picture in self.all if picture.row.file))


def find_pictures(
    path: Path,
    condition: str,
    *,
    open_study: OpenStudy | None = None,
    attention_of: AttentionOf | None = None,
    timeout_s: float | None = 60,
) -> Pictures:
    """The images that match an SQL condition.

    Args:
        path: the warehouse.
        condition: as for `matching_rows`.
        open_study: opens the study.
        attention_of: computes attention maps that are not stored.
        timeout_s: time limit in seconds.

    Raises:
        QueryError: it is not a condition.
        LimitError: out of time or memory.
        StudyError: nothing matches, or a study is needed.
        WarehouseError: the warehouse cannot be read, or no clean image is available.
        DataError: images are damaged or missing.
    """
    matching = matching_rows(path, condition, timeout_s=timeout_s)
    if not matching.rows:
        hints = unknown_values(path, f"from predictions where {condition}")
        raise StudyError("; ".join([f"no evaluated image matches the filter: {condition.strip()}", *hints]))
    count = f"{format_count(matching.matching, 'image')} {'matches' if matching.matching == 1 else 'match'}"
    cut = [f"{count}, {matching.cut}"] if matching.cut else []
    with open_warehouse(path, RELATIONS) as con:
        return pictures_of_rows(
            con, matching.rows, f"{count}: {condition}", notes=cut, open_study=open_study, attention_of=attention_of
        )


def pictures_of_rows(
    con: duckdb.DuckDBPyConnection,
    rows: Sequence[PictureRow],
    headline: str,
    *,
    notes: Sequence[str] = (),
    open_study: OpenStudy | None = None,
    attention_of: AttentionOf | None = None,
) -> Pictures:
    """The images of given rows, reproduced.

    Args:
        con: the warehouse.
        rows: the rows in the order shown, at least one.
        headline: what is shown.
        notes: warnings about the choice of rows.
        open_study: opens the study.
        attention_of: computes attention maps that are not stored.

    Raises:
        StudyError: a study is needed.
        WarehouseError: no clean image is available.
        DataError: images are damaged or missing.
    """
    pictures, lacking = _pictures(con, rows, open_study, attention_of)
    all_notes = [*notes, *lacking]
    return Pictures(
        [pictures],
        is_curves=False,
        headline=_headline(headline),
        details=_sentences(
            f"{len(pictures)} shown, reproduced from the clean image. Below: predicted class, correct (tick) or "
            "incorrect (cross), confidence, true class, corruption and severity, model",
            _attention_sentence(con, pictures, is_computed=attention_of is not None),
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
    attention_of: AttentionOf | None = None,
) -> Pictures:
    """Images along their curves: one row per image, corruption and model, from clean to the last severity.

    Args:
        path: the warehouse.
        image_ids: the images.
        corruptions: the corruptions, at least one.
        models: only these models, by label.
        evaluations: only these evaluations, by ID or its start.
        open_study: opens the study.
        attention_of: computes attention maps that are not stored.

    Raises:
        StudyError: no corruption is given, an image was not evaluated, or a study is needed.
        WarehouseError, DataError: as `find_pictures`.
    """
    if not corruptions:
        raise StudyError("an image is shown along the severities of a corruption: name the corruption, such as fog")
    with open_warehouse(path, RELATIONS) as con:
        selection = select_one(con, models=models, evaluations=evaluations, corruptions=corruptions)
        curves = curve_rows(con, selection, list(dict.fromkeys(image_ids)))
        labels = selection.labels
        named = [[row._replace(model_label=labels[row.evaluation_id]) for row in curve] for curve in curves]
        pictures, notes = _pictures(con, [row for curve in named for row in curve], open_study, attention_of)
        by_row = {picture.row: picture for picture in pictures}
        rows = [kept for curve in named if (kept := [by_row[row] for row in curve if row in by_row])]
        return Pictures(
            rows,
            is_curves=True,
            headline=_headline(_curve_headline(rows)),
            details=_sentences(
                "From clean to the last severity, reproduced from the clean image. Below: predicted class, "
                "correct (tick) or incorrect (cross), and confidence",
                _attention_sentence(
                    con, pictures, is_computed=attention_of is not None, line="; line: path of the centroid from clean"
                ),
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
    strips = {
        image_id: [picture for picture in made if picture and picture.row.image_id == image_id] for image_id in cells
    }
    return {image_id: strip for image_id, strip in strips.items() if strip}, ""


def _pictures(
    con: duckdb.DuckDBPyConnection,
    rows: Sequence[PictureRow],
    open_study: OpenStudy | None,
    attention_of: AttentionOf | None,
) -> tuple[list[Picture], list[str]]:
    """The images that can be reproduced, and notes on those that cannot or differ.

    Raises:
        WarehouseError: none can be reproduced.
    """
    made = make_pictures(con, rows, cache(open_study or no_study))
    if missing := [row for row, picture in zip(rows, made, strict=True) if picture is None]:
        images = len({(row.dataset_id, row.image_id) for row in missing})
        lack = f"the warehouse has no clean pixels of {format_count(images, 'image')}, such as {missing[0].image_name}"
        if len(missing) == len(rows):
            raise WarehouseError(f"{lack}: {_KEEP}; or {GIVE_THE_STUDY}")
    known = [picture for picture in made if picture is not None]
    attention = stored_attention(con, [picture.row for picture in known])
    pictures = [
        picture._replace(attention=map_of, center=center)
        for picture, (map_of, center) in zip(known, attention, strict=True)
    ]
    if attention_of is not None:
        pictures = _with_computed_attention(pictures, attention_of)
    notes = [f"{format_count(len(missing), 'image')} not shown: {lack}"] if missing else []
    return pictures, [*notes, *filter(None, [describe_differences(con, known)])]


def _with_computed_attention(pictures: Sequence[Picture], attention_of: AttentionOf) -> list[Picture]:
    """The images with attention maps and centroids computed where none are stored, by evaluation."""
    found = list(pictures)
    for evaluation_id in dict.fromkeys(picture.row.evaluation_id for picture in pictures):
        lacking = [
            (place, picture.pixels, picture.clean)
            for place, picture in enumerate(pictures)
            if picture.row.evaluation_id == evaluation_id and picture.attention is None and picture.clean is not None
        ]
        if not lacking:
            continue
        places, pixels, clean = zip(*lacking, strict=True)
        maps = attention_of(evaluation_id, np.stack(pixels), np.stack(clean))
        for place, map_of in zip(places, maps if maps is not None else (), strict=False):
            center = found[place].center or centroid(map_of.astype(np.float64))
            found[place] = found[place]._replace(attention=map_of.astype(np.float64), center=center)
    return found


def _headline(text: str) -> str:
    """Text from a user or a warehouse as a headline, with limited length and limited word length."""
    kept = text if len(text) <= MAX_HEADLINE else f"{text[:MAX_HEADLINE]}\N{HORIZONTAL ELLIPSIS}"
    words = (word[start : start + MAX_WORD] for word in kept.split(" ") for start in range(0, len(word), MAX_WORD))
    return " ".join(" ".join(words).split("\n"))


def _attention_sentence(
    con: duckdb.DuckDBPyConnection, pictures: Sequence[Picture], *, is_computed: bool, line: str = ""
) -> str:
    """The attention that is drawn, the number of images with it, and why others lack it; `line` explains a line."""
    known = "known" if is_computed else "stored"
    without = [picture.row for picture in pictures if picture.attention is None]
    maps = len(pictures) - len(without)
    dots = sum(picture.center is not None for picture in pictures)
    why = f" ({missing_map_reason(con, without)})" if without else ""
    empty = sum(picture.has_empty_map for picture in pictures)
    maps_text = f"{known} for {maps} of {len(pictures)}{why}" + (f", {empty} of them empty" if empty else "")
    drawn = [f"orange: its map, {maps_text}"] if maps else []
    drawn += [f"dot: its centroid, {known} for {dots} of {len(pictures)}{line}"] if dots else []
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
    label = curve[0].row.model_label
    incorrect = [picture.row.severity for picture in curve if not picture.row.correct]
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


def exemplar_rows(
    con: duckdb.DuckDBPyConnection, evaluation_ids: Sequence[str], corruptions: Sequence[str], dataset_id: str
) -> pl.DataFrame:
    """Rows of `exemplars` with the columns of `PictureRow` and `reason_name`; first choices first, then by severity."""
    values = [list(evaluation_ids), list(corruptions), dataset_id, list(EXEMPLAR_REASONS)]
    rows: pl.DataFrame = con.sql(_ROWS, params=values).pl()
    return rows.with_columns(reason_name=pl.col("reason").replace(REASON_NAMES))


def exemplar_images(rows: pl.DataFrame) -> list[Picture]:
    """Rows of `exemplar_rows` of one image with pixels and maps decoded.

    Raises:
        WarehouseError: an image or map is invalid or has another size, or images are too large together.
    """
    first = rows.row(0, named=True)
    if rows.height * first["height_px"] * first["width_px"] > MAX_SERIES_PIXELS:
        raise WarehouseError(
            f"image {first['image_id']} under {first['corruption']}: {rows.height:,} images of "
            f"{first['width_px']:,}\u00d7{first['height_px']:,} pixels are too large to show, expected at most "
            f"{MAX_SERIES_PIXELS:,} pixels in all; {REBUILD_HINT}, of smaller images"
        )
    pictures = []
    for row in rows.rows(named=True):
        attention = None if row["map_f16"] is None else stored_map(row["map_f16"], row["map_height"], row["map_width"])
        pixels = decode_stored(row["png"], (row["height_px"], row["width_px"]), row["image_id"])
        picture_row = PictureRow(**{name: row[name] for name in PictureRow._fields})
        pictures.append(Picture(picture_row, pixels, None, None, attention, centroid(attention)))
    return pictures
