"""Pictures of a warehouse in the hand: they show themselves in notebooks, are saved, and give their rows and pixels."""

import os
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from failmodes.analysis.images.clean_images import OpenStudy
from failmodes.analysis.images.collection import Pictures, find_curves, find_pictures
from failmodes.analysis.render.formatting import join_names
from failmodes.ingest.study_types import MAX_INT32
from failmodes.warehouse.errors import StudyError, shown

if TYPE_CHECKING:
    import altair as alt
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray


class ImageRequest(NamedTuple):
    """Which pictures: those that fit a filter, or images along the curves of corruptions; empty means not given."""

    condition: str | None = None
    images: Sequence[int] = ()
    corruptions: Sequence[str] = ()
    models: Sequence[str] = ()
    evaluations: Sequence[str] = ()


def find_images(
    path: Path, request: ImageRequest, *, open_study: OpenStudy | None = None, timeout_s: float | None = 60
) -> "ImageSheet":
    """The pictures that were asked for.

    Args:
        path: the warehouse.
        request: which ones.
        open_study: opens the study that is at hand.
        timeout_s: seconds after which a filter is stopped.

    Raises:
        StudyError: neither a filter nor an image is given, or both.
        QueryError, WarehouseError, DataError: as `find_pictures` and `find_curves`.
    """
    if (request.condition is None) == (not request.images):
        raise StudyError("which images? Give either a filter, or the number of an image and a corruption")
    if not isinstance(request.condition, str | None):
        raise StudyError(f"a filter is a text, such as 'not correct limit 12' (given: {shown(request.condition)})")
    if request.condition is None:
        pictures = find_curves(
            path, _checked_numbers(request.images), corruptions=request.corruptions, models=request.models,
            evaluations=request.evaluations, open_study=open_study,
        )  # fmt: skip
        return ImageSheet(pictures)
    names = [name for name in ("corruptions", "models", "evaluations") if getattr(request, name)]
    if names:
        raise StudyError(
            f"{join_names(names)} go with the number of an image: say it in the filter, as in \"corruption = 'fog' and "
            "model_label = 'ResNet-18'\""
        )
    return ImageSheet(find_pictures(path, request.condition, open_study=open_study, timeout_s=timeout_s))


def _checked_numbers(images: Sequence[int]) -> list[int]:
    """Numbers of images as Python's.

    Raises:
        StudyError: one is no whole number that an image may have.
    """
    for number in images:
        if not isinstance(number, Integral) or isinstance(number, bool) or not 0 <= number <= MAX_INT32:
            raise StudyError(f"image {shown(number)}: expected the number of an image, from 0 to {MAX_INT32:,}")
    return [int(number) for number in images]


class ImageSheet:
    """Pictures that were made again from their clean image: what `Warehouse.images` returns.

    Examples:
        >>> sheet = w.images("corruption = 'fog' and not correct order by confidence desc")
        >>> sheet                                                # shows itself in a notebook
        >>> sheet.save("fog.png")
        >>> sheet.rows["predicted_name"].value_counts()
        >>> sheet.pixels[0].shape                                # (32, 32, 3)
    """

    def __init__(self, pictures: Pictures) -> None:
        """Hold pictures; `Warehouse.images` finds them."""
        self._pictures = pictures

    @property
    def rows(self) -> "pl.DataFrame":
        """A row a picture, in the order shown: evaluation, model, corruption, severity, image, classes, confidence.

        `correct` says whether the answer is right, `differs` whether the picture is another than was evaluated (null:
        nothing on record could tell), `attention_x` and `attention_y` are the center of attention, 0-1, or null.
        """
        import polars as pl

        columns = {"severity": pl.Float64, "confidence": pl.Float64, "rmse": pl.Float64, "file": pl.String}
        found = [
            picture.row._asdict()
            | {"severity": float(picture.row.severity), "differs": picture.made.differs}
            | dict(zip(("attention_x", "attention_y"), picture.center or (None, None), strict=True))
            for picture in self._pictures.all
        ]
        columns |= {"differs": pl.Boolean, "attention_x": pl.Float64, "attention_y": pl.Float64}
        return pl.DataFrame(found, schema_overrides=columns)

    @property
    def pixels(self) -> "list[NDArray[np.uint8]]":
        """The pictures, (H, W, 3) uint8 RGB each, in the order of `rows`: what the model was given to prepare."""
        return [picture.made.pixels for picture in self._pictures.all]

    @property
    def clean(self) -> "list[NDArray[np.uint8] | None]":
        """The same images before corruption; None where a published set does not pair with clean images."""
        return [picture.made.clean for picture in self._pictures.all]

    @property
    def notes(self) -> list[str]:
        """What must not be missed, a line each: pictures cut off, left out, or other than those evaluated."""
        return list(self._pictures.notes)

    def chart(
        self, *, layout: Literal["page", "paper"] = "page", theme: Literal["light", "dark"] = "light"
    ) -> "alt.VConcatChart":
        """The pictures as an Altair chart.

        Raises:
            StudyError: an unknown layout or theme.
        """
        from failmodes.analysis.charts.style.saving import with_theme

        return with_theme(self._drawn(layout), theme)

    def save(
        self,
        path: "str | os.PathLike[str]",
        *,
        layout: Literal["page", "paper"] = "page",
        width: str | None = None,
        theme: Literal["light", "dark"] | None = None,
        force: bool = False,
    ) -> Path:
        """Write the pictures as .png, .svg, .pdf, .json, or .html that needs no network.

        Args:
            path: the file.
            layout: 'page' (180 mm wide) or 'paper' (85 mm); a page of HTML is as wide as its window.
            width: width on paper, such as "85mm" (or cm, in, pt, px), in place of the layout.
            theme: 'light' or 'dark'; if not given light, and in HTML as the reader's system asks.
            force: replace even a warehouse, study or results shard that has one of these suffixes.

        Raises:
            StudyError: another suffix, layout, width or theme, or a file that must not be replaced.
            StorageError: the file could not be written.
        """
        from failmodes.analysis.charts.style.fitting import figure_width_mm
        from failmodes.analysis.charts.style.saving import FORMATS, save_chart
        from failmodes.warehouse.output_files import check_output, write_output

        file, width_mm = Path(path), figure_width_mm(layout, width)
        check_output(file, FORMATS, force=force)
        if file.suffix.lower() != ".html":
            is_figure = width is not None or layout == "paper"
            drawn = self._drawn(layout, width_mm if is_figure else None)
            return save_chart(drawn, file, theme=theme or "light", width_mm=width_mm, force=force)
        from failmodes.analysis.image_page import image_page

        write_output(file, image_page(self._pictures, theme=theme).encode(), FORMATS, force=force)
        return file

    def _drawn(self, layout: str, width_mm: float | None = None) -> "alt.VConcatChart":
        """The chart of a layout, or fitted to a width on paper."""
        from altair.utils.schemapi import debug_mode

        from failmodes.analysis.charts.image_sheet import chart
        from failmodes.analysis.charts.style.fitting import fitted
        from failmodes.analysis.charts.style.theme import CHART_SIZES

        if layout not in CHART_SIZES:
            raise StudyError(f"no layout {layout!r}: choose {' or '.join(CHART_SIZES)}")
        with debug_mode(False):
            if width_mm is None:
                return chart(self._pictures, size=CHART_SIZES[layout])
            return fitted(lambda size: chart(self._pictures, size=size), width_mm)

    def __len__(self) -> int:
        return len(self._pictures.all)

    def __repr__(self) -> str:
        return "\n".join([f"ImageSheet of {len(self)} pictures", *(f"  {line}" for line in self._lines())])

    def to_html(self, heading: str = "h1") -> str:
        """The pictures as a part of a page, headed by such an element; all text in it is escaped."""
        from failmodes.analysis.image_page import image_page

        return image_page(self._pictures, is_page=False, heading=heading)

    def _repr_html_(self) -> str:
        return self.to_html()

    def _lines(self) -> list[str]:
        return [self._pictures.headline, self._pictures.source, *self._pictures.notes]
