"""The elements of the explorer's page that are made of marimo's: charts, choices, buttons, a problem in its place."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import marimo as mo
import polars as pl

from failmodes.analysis.explorer.downloads import SUFFIXES, picture_figure
from failmodes.analysis.explorer.model_cell import ModelCell
from failmodes.analysis.explorer.page_parts import (
    Pair,
    cell_options,
    heading,
    known_pair,
    nearest_cell,
    paragraph,
    prediction_names,
    problem_html,
)
from failmodes.analysis.explorer.slices import CellImages
from failmodes.analysis.shown_images import ImageSheet


class Elements(NamedTuple):
    """Elements side by side. A cell keeps this under a name of its own: what nobody keeps, marimo forgets.

    Attributes:
        kept: the elements.
        shown: what stands on the page.
    """

    kept: list[Any]
    shown: Any


PICTURE_COUNTS = ("6", "12", "24")
DEFAULT_PICTURES = "12"
ADDRESS = re.compile("(https?|data):", re.IGNORECASE)


def titled(title: str, *texts: str, level: int = 2) -> Any:
    """A heading with paragraphs under it; nothing in them is markup."""
    return mo.Html("".join([heading(title, level), *map(paragraph, texts)]))


def problem_text(problem: str) -> Any:
    """A problem in the place of what it kept from being shown."""
    return mo.Html(problem_html(problem))


def in_row(*items: Any) -> Any:
    """Elements side by side, in several lines where there is little room."""
    return mo.hstack(list(items), justify="start", align="start", wrap=True, gap=1.5)


def chart(drawn: Any, on_change: Callable[[Any], None] | None = None) -> Any:
    """A chart of ours; `on_change` gets the rows that were clicked."""
    return mo.ui.altair_chart(drawn, chart_selection=False, legend_selection=False, on_change=on_change)


def charts(*drawn: Any) -> Elements:
    """Charts side by side."""
    return Elements(list(drawn), in_row(*drawn))


def downloads(draw: Callable[[str], bytes], name: str) -> Elements:
    """A button a format, for what is drawn when it is pressed."""
    buttons = [
        mo.download(partial(draw, suffix), filename=f"{name}.{suffix}", label=f"{name} as {suffix.upper()}")
        for suffix in SUFFIXES
    ]
    return Elements(buttons, in_row(*buttons))


def cell_choice(cells: Sequence[ModelCell], chosen: ModelCell, choose: Callable[[ModelCell], None]) -> Elements:
    """A dropdown a part of a cell (model, corruption, severity), which chooses the nearest cell on record."""

    def take(field: str, options: dict[str, Any], name: str) -> None:
        choose(nearest_cell(cells, chosen._replace(**{field: options[name]})))

    choices = [
        mo.ui.dropdown(
            list(options), value=name, label=label, allow_select_none=False, on_change=partial(take, field, options)
        )
        for field, label, options, name in cell_options(cells, chosen)
    ]
    return Elements(choices, in_row(*choices))


def slice_form(classes: Sequence[str], pair: Pair) -> Any:
    """The choices that make a slice; `pair` are the class and the answer that are chosen at first."""
    true_class, prediction = known_pair(pair, classes)
    return mo.ui.dictionary(
        {
            "true_class": mo.ui.dropdown(classes, value=true_class, label="True class"),
            "prediction": mo.ui.dropdown(prediction_names(classes), value=prediction, label="Prediction"),
            "confidence": mo.ui.range_slider(0, 1, 0.05, value=[0, 1], label="Confidence", show_value=True),
            "condition": mo.ui.text(
                placeholder="entropy_nats > 1 and rmse < 0.1", label="Condition in SQL", full_width=True
            ),
        }
    )


def picture_count() -> Any:
    """How many pictures are shown."""
    return mo.ui.dropdown(PICTURE_COUNTS, value=DEFAULT_PICTURES, label="Pictures", allow_select_none=False)


def as_text(value: object) -> object:
    """A value as marimo's table shows it and nothing more: it makes links and images of texts that are addresses."""
    if isinstance(value, str | list | dict):
        return ADDRESS.sub("\\1\u200b:", str(value))  # an invisible space: no address any more
    return value


def _table(rows: pl.DataFrame, **options: Any) -> Any:
    formats: dict[str, Any] = dict.fromkeys(rows.columns, as_text)
    return mo.ui.table(rows, format_mapping=formats, show_column_summaries=False, **options)


def image_table(rows: pl.DataFrame) -> Any:
    """A table of images, whose rows may be chosen."""
    label = "Images, the most confident mistakes first; choose rows to see their pictures"
    return _table(rows, selection="multi", page_size=10, show_data_types=False, label=label)


def pictures(sheet: ImageSheet) -> Elements:
    """Pictures, and buttons that save them."""
    files = downloads(partial(picture_figure, sheet), "pictures")
    return Elements(files.kept, mo.vstack([mo.Html(sheet.to_html("h3")), files.shown]))


def beside_the_rest(images: CellImages, figures_html: str, histogram: Any) -> Any:
    """The slice beside the rest of its cell; nothing where the slice is the whole cell."""
    title = titled(images.headline, level=3)
    return title if images.request.is_everything else mo.vstack([title, in_row(mo.Html(figures_html), histogram)])


def comparison_form(models: dict[str, str]) -> Any:
    """Two models and a margin; `models` are evaluations by label, two at least."""
    first, second, *_ = models
    choices: dict[str, Any] = {
        "a": mo.ui.dropdown(models, value=first, label="A", allow_select_none=False),
        "b": mo.ui.dropdown(models, value=second, label="B", allow_select_none=False),
        "margin": mo.ui.number(0, 0.5, 0.005, value=0.01, label="Difference that would matter (0.01 is a point)"),
    }
    return mo.md("{a} {b} {margin}").batch(**choices).form(submit_button_label="Compare", bordered=False)


def statement_form(statement: str) -> Any:
    """A field for SQL with a button that runs it."""
    return mo.ui.text_area(statement, rows=12, label="Statement", full_width=True).form(
        submit_button_label="Run", bordered=False
    )


def result_table(rows: pl.DataFrame) -> Any:
    """The rows of an answer, to page through and to save."""
    return _table(rows, selection=None, page_size=20, label=f"{rows.height:,} rows")
