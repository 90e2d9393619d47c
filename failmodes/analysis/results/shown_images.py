"""Evaluated images: displayed in notebooks, saved as a figure or a page, with their rows and pixels."""

import os
from collections.abc import Sequence
from decimal import Decimal
from numbers import Integral
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from markupsafe import Markup
from numpy.typing import NDArray

from failmodes.analysis.charts.style.figure import FORMATS, Figure
from failmodes.analysis.charts.style.frame import Frame, evenly_spaced, frame_of
from failmodes.analysis.charts.style.image_grid import Row, curve_row, image_grid, picture_cell, picture_urls
from failmodes.analysis.charts.style.theme import DARK, LIGHT, named_theme
from failmodes.analysis.images.collection import Pictures, find_curves, find_pictures
from failmodes.analysis.images.regeneration import Picture
from failmodes.analysis.images.stored_images import AttentionOf, OpenStudy
from failmodes.analysis.render.formats.html import environment
from failmodes.analysis.render.formatting import format_severity, join_names
from failmodes.ingest.study_types import MAX_INT32
from failmodes.runtime.errors import StudyError, shown
from failmodes.warehouse.output_files import write_output

SHEET_COLUMNS, CURVE_COLUMNS = (5, 3), (9, 4)  # in a wide and in a narrow frame


def find_images(
    path: Path,
    condition: str | None = None,
    *,
    images: Sequence[int] = (),
    corruptions: Sequence[str] = (),
    models: Sequence[str] = (),
    evaluations: Sequence[str] = (),
    open_study: OpenStudy | None = None,
    attention_of: AttentionOf | None = None,
    timeout_s: float | None = 60,
) -> "ImageSheet":
    """Find the images that match a filter, or given images from clean to the last severity of corruptions.

    Args:
        path: the warehouse.
        condition: the filter, an SQL condition.
        images: image IDs, instead of a filter.
        corruptions: with `images`: under these corruptions.
        models: with `images`: only these models, by label.
        evaluations: with `images`: only these evaluations, by ID or its start.
        open_study: opens the study.
        attention_of: computes attention maps that are not stored.
        timeout_s: time limit of the filter in seconds.

    Raises:
        StudyError: expected either a filter or images.
        QueryError, WarehouseError, DataError: as `find_pictures` and `find_curves`.
    """
    if (condition is None) == (not images):
        raise StudyError("no images selected: give either a filter, or an image ID and a corruption")
    if not isinstance(condition, str | None):
        raise StudyError(f"expected a filter such as 'not correct limit 12' (given: {shown(condition)})")
    filters = {"corruptions": corruptions, "models": models, "evaluations": evaluations}
    if condition is None:
        for number in images:
            if not isinstance(number, Integral) or isinstance(number, bool) or not 0 <= number <= MAX_INT32:
                raise StudyError(f"image {shown(number)}: expected an image ID from 0 to {MAX_INT32:,}")
        return ImageSheet(
            find_curves(
                path, [int(number) for number in images], **filters, open_study=open_study, attention_of=attention_of
            )
        )
    if names := [name for name, values in filters.items() if values]:
        raise StudyError(
            f"{join_names(names)} cannot be combined with a filter: add a condition, as in \"corruption = 'fog' and "
            "model_label = 'ResNet-18'\""
        )
    return ImageSheet(
        find_pictures(path, condition, open_study=open_study, attention_of=attention_of, timeout_s=timeout_s)
    )


class ImageSheet:
    """Evaluated images, reproduced from their clean images: what `Warehouse.images` returns.

    Examples:
        >>> sheet = w.images("corruption = 'fog' and not correct order by confidence desc")
        >>> sheet                                                # a notebook displays it
        >>> sheet.save("fog.png")
        >>> sheet.rows["predicted_name"].value_counts()
        >>> sheet.pixels[0].shape                                # (32, 32, 3)
    """

    def __init__(self, pictures: Pictures) -> None:
        """Wrap images; `Warehouse.images` finds them."""
        self._pictures = pictures

    @property
    def rows(self) -> pl.DataFrame:
        """One row per image, in the order shown: evaluation, model, corruption, severity, image, classes, confidence.

        `correct` says whether the prediction is correct, `differs` whether the image differs from the evaluated one
        (null: unknown); `attention_x` and `attention_y` are the attention centroid, 0-1, or null.
        """
        numbers = ("severity", "confidence", "rmse", "attention_x", "attention_y")
        types = dict.fromkeys(numbers, pl.Float64) | {"file": pl.String, "differs": pl.Boolean}
        rows = [
            picture.row._asdict()
            | {"severity": float(picture.row.severity), "differs": picture.differs}
            | dict(zip(("attention_x", "attention_y"), picture.center or (None, None), strict=True))
            for picture in self._pictures.all
        ]
        return pl.DataFrame(rows, schema_overrides=types)

    @property
    def pixels(self) -> list[NDArray[np.uint8]]:
        """The images, (H, W, 3) uint8 RGB each, in the order of `rows`: the model's input before preprocessing."""
        return [picture.pixels for picture in self._pictures.all]

    @property
    def clean(self) -> list[NDArray[np.uint8] | None]:
        """The same images before corruption; None if a published corrupted dataset has no paired clean images."""
        return [picture.clean for picture in self._pictures.all]

    @property
    def notes(self) -> list[str]:
        """Warnings, one per line: images not shown, or different from the evaluated ones."""
        return list(self._pictures.notes)

    def chart(
        self,
        *,
        layout: Literal["page", "paper"] = "page",
        width: str | None = None,
        theme: Literal["light", "dark"] = "light",
    ) -> Figure:
        """Draw the images; curves show fewer severities in a narrow figure.

        Args:
            layout: 'page' (180 mm wide) or 'paper' (85 mm).
            width: width of the figure, such as "85mm" (or cm, in, pt, px); overrides the layout.
            theme: 'light' or 'dark'.

        Raises:
            StudyError: an unknown layout, width or theme.
        """
        return _figure(self._pictures, frame_of(layout, width)).with_theme(theme)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        layout: Literal["page", "paper"] = "page",
        width: str | None = None,
        theme: Literal["light", "dark"] | None = None,
        force: bool = False,
    ) -> Path:
        """Write the images as .png, .svg, .pdf, .json, or a self-contained .html.

        Args:
            path: the file.
            layout: as for `chart`; an HTML page adapts to its window.
            width: as for `chart`.
            theme: 'light' or 'dark'. Default: light; for HTML, the reader's system setting.
            force: replace even a warehouse, study or results file that has one of these suffixes.

        Raises:
            StudyError: an unknown suffix, layout, width or theme, or a file that must not be replaced.
            StorageError: the file could not be written.
        """
        frame_of(layout, width)  # for HTML too, refuses invalid ones
        file = Path(path)
        if file.suffix.lower() != ".html":
            return self.chart(layout=layout, width=width, theme=theme or "light").save(file, force=force)
        write_output(file, image_page(self._pictures, theme=theme).encode(), FORMATS, force=force)
        return file

    def __len__(self) -> int:
        return len(self._pictures.all)

    def __repr__(self) -> str:
        lines = (self._pictures.headline, self._pictures.source, *self._pictures.notes)
        return "\n".join([f"ImageSheet of {len(self)} images", *(f"  {line}" for line in lines)])

    def to_html(self, heading: str = "h1") -> str:
        """The images as a part of a page, with the headline in this element; all text is escaped."""
        return image_page(self._pictures, is_page=False, heading=heading)

    def _repr_html_(self) -> str:
        return self.to_html()


def _figure(pictures: Pictures, frame: Frame) -> Figure:
    """A contact sheet, or one row per curve with severities as columns."""
    details = pictures.details
    if pictures.is_curves:
        every = sorted({picture.row.severity for picture in pictures.all})
        levels = evenly_spaced(every, CURVE_COLUMNS[not frame.is_wide])
        if len(levels) < len(every):
            details += f" {len(levels)} of {len(every)} severities are shown, clean included."
        titles = pictures.titles or [row[0].row.model_label for row in pictures.rows]
        rows = [_curve(row, levels, title) for row, title in zip(pictures.rows, titles, strict=True)]
        columns = [format_severity(float(severity)) for severity in levels]
    else:
        columns = [str(place) for place in range(SHEET_COLUMNS[not frame.is_wide])]
        cells = [
            picture_cell(picture.row, picture_urls([picture.layers])[0], picture.row.notes)._replace(
                file=picture.row.file or ""
            )
            for picture in pictures.all
        ]
        starts = range(0, len(cells), len(columns))
        rows = [Row(dict(zip(columns, cells[start:], strict=False))) for start in starts]
    plot = image_grid(rows, columns, frame, has_names=pictures.is_curves)
    return Figure(plot, pictures.headline, details, pictures.source, frame)


def _curve(row: Sequence[Picture], levels: Sequence[Decimal], title: str) -> Row:
    first = row[0].row
    last = row[-1].row
    lines = (f"true: {first.label_name}", f"image {first.image_id}", last.corruption_label)
    return curve_row([picture for picture in row if picture.row.severity in levels], title, lines)


def image_page(pictures: Pictures, *, theme: str | None = None, is_page: bool = True, heading: str = "h1") -> str:
    """Images with their predictions as HTML; all text is escaped.

    Args:
        pictures: a contact sheet, or curves.
        theme: 'light' or 'dark'. Default: the reader's system setting.
        is_page: a whole page, else a part of one.
        heading: element of the headline, such as "h3".

    Raises:
        StudyError: unknown theme.
    """
    rows = [_page_row(row, is_curve=pictures.is_curves) for row in pictures.rows]
    colors = {"light": LIGHT, "dark": DARK, "colors": named_theme("light" if theme is None else theme)}
    template = environment().get_template("images.html.j2")
    return template.render(
        pictures=pictures, rows=rows, theme=theme, is_page=is_page, heading=heading, **colors
    ).strip()


def _page_row(row: Sequence[Picture], *, is_curve: bool) -> list[tuple[Picture, Markup]]:
    """Each image of a row with its URL; the images of a curve share one attention scale."""
    groups = [row] if is_curve else [[picture] for picture in row]
    urls = [Markup(url) for group in groups for url in picture_urls([picture.layers for picture in group])]
    return list(zip(row, urls, strict=True))
