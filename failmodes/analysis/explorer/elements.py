"""Elements of the explorer's page in marimo: text, charts, inputs, downloads, and the state in the address."""

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import marimo as mo
import polars as pl

from failmodes.analysis.explorer.cells import ModelCell, Slice, nearest_cell
from failmodes.analysis.images.rows import NO_PREDICTION, OTHER_CLASS
from failmodes.analysis.render.blocks import Block
from failmodes.analysis.render.formats.html import render_blocks
from failmodes.analysis.render.formatting import format_severity
from failmodes.runtime.errors import FailmodesError

URL = re.compile("(https?|data):", re.IGNORECASE)


class Address:
    """The state of the page in its address, so that a link reproduces it."""

    def __init__(self, parameters: Any) -> None:
        """Wrap marimo's query parameters, so that setting them reruns no cell."""
        self._parameters = parameters

    def values(self, key: str) -> list[str]:
        """All values of a key."""
        return list(self._parameters.get_all(key))

    def value(self, key: str) -> str:
        """The first value of a key, or ""."""
        return next(iter(self.values(key)), "")

    def keep(self, **state: str | Sequence[str] | None) -> None:
        """Write values by key; keys without values are removed."""
        for key, value in state.items():
            values = [value] if isinstance(value, str) else list(value or ())
            if (kept := [value for value in values if value]) != self.values(key):
                self._parameters[key] = kept

    @property
    def slice(self) -> Slice:
        """The slice in the address."""
        return Slice(self.value("true_class") or None, self.value("prediction") or None, self.value("condition"))


def attempt(read: Callable[[], Any]) -> Any:
    """The result of `read`; on an error, show its message and stop the marimo cell."""
    try:
        return read()
    except FailmodesError as error:
        return mo.stop(True, mo.Html(f'<p class="fm-problem" role="status">{escape(str(error))}</p>'))


def titled(title: str, text: str, level: int = 2) -> Any:
    """A heading and a paragraph, escaped."""
    return mo.Html(f'<h{level} class="fm-heading">{escape(title)}</h{level}><p class="fm-text">{escape(text)}</p>')


def shown(*blocks: Block) -> Any:
    """Blocks as HTML."""
    return mo.Html(f'<div class="fm-blocks">{render_blocks(blocks)}</div>')


def role(name: str, item: Any, **data: object) -> Any:
    """An element with a name and data for explorer.js and tests."""
    attributes = "".join(f' data-{key}="{escape(str(value))}"' for key, value in data.items())
    return mo.Html(f'<div data-role="{name}"{attributes}>{mo.as_html(item).text}</div>')


def in_row(*items: Any, align: Any = "end") -> Any:
    """Elements side by side, wrapping in a narrow window."""
    return mo.hstack(list(items), justify="start", align=align, wrap=True, gap=1)


def chart(drawn: Any, selection: str, choose: Callable[[dict[str, Any]], Any]) -> Any:
    """A clickable chart; `choose` receives the fields of the clicked mark, or an empty dict."""

    def _take(_: Any) -> None:
        fields = made.selections.get(selection, {})
        choose({name: values[0] for name, values in fields.items() if name != "vlPoint"})

    made = mo.ui.altair_chart(drawn, chart_selection=False, legend_selection=False, on_change=_take)
    return made


def downloads(name: str, draw: Callable[[], Any]) -> list[Any]:
    """One button per format, for a figure or images that are drawn on click."""

    def _saved(suffix: str) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            return Path(draw().save(Path(folder, f"figure.{suffix}"))).read_bytes()

    return [
        mo.download(lambda s=suffix: _saved(s), filename=f"{name}.{suffix}", label=f"{name} as {suffix.upper()}")
        for suffix in ("png", "svg", "pdf")
    ]


def cell_form(cells: Mapping[str, ModelCell], chosen: ModelCell, choose: Callable[[ModelCell], Any]) -> Any:
    """Dropdowns for model, corruption and severity, which select the nearest cell."""
    models = {known.label: known.evaluation_id for known in cells.values()}
    corruptions = {known.corruption_label: known.corruption for known in cells.values()}
    severities = {format_severity(level): level for level in sorted({known.severity for known in cells.values()})}
    parts: dict[str, tuple[dict[str, Any], str, str]] = {
        "evaluation_id": (models, chosen.label, "Model"),
        "corruption": (corruptions, chosen.corruption_label, "Corruption"),
        "severity": (severities, format_severity(chosen.severity), "Severity"),
    }
    dropdowns = {
        field: mo.ui.dropdown(options, value=value, label=label, allow_select_none=False)
        for field, (options, value, label) in parts.items()
    }

    def _take(values: Any) -> None:
        choose(nearest_cell(cells.values(), **values))

    return mo.ui.dictionary(dropdowns, on_change=_take)


def slice_form(classes: Sequence[str], which: Slice) -> Any:
    """Inputs for a slice, with the initial values of `which`."""
    predictions = [*classes, OTHER_CLASS, NO_PREDICTION]
    prediction = which.prediction if which.prediction in predictions else None
    true_class = which.true_class if which.true_class in classes else None
    return mo.ui.dictionary({
        "true_class": mo.ui.dropdown(classes, value=true_class, label="True class"),
        "prediction": mo.ui.dropdown(predictions, value=prediction, label="Prediction"),
        "condition": mo.ui.text(which.condition, placeholder="confidence > 0.9 and rmse < 1", label="Condition in SQL"),
    })  # fmt: skip


def table(rows: pl.DataFrame, **options: Any) -> Any:
    """A table to page through and download; URLs stay text, which marimo would turn into links and images."""

    def as_text(value: object) -> object:
        is_text = isinstance(value, str | list | dict)
        return URL.sub("\\1\u200b:", str(value)) if is_text else value  # a zero-width space, so that it is no URL

    return mo.ui.table(
        rows, format_mapping=dict.fromkeys(rows.columns, as_text), show_column_summaries=False, **options
    )
