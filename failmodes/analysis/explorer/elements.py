"""The explorer's page in elements of marimo: blocks of text, charts, choices, downloads, and what the address says."""

import re
import tempfile
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any, Literal

import duckdb
import marimo as mo
import polars as pl
from altair.utils.schemapi import debug_mode

from failmodes.analysis.charts.confusion import NO_NUMBER
from failmodes.analysis.explorer.cells import Cell, nearest_cell
from failmodes.analysis.explorer.slices import TIMEOUT_S, Slice
from failmodes.analysis.judging.compare import compare_named
from failmodes.analysis.judging.compare_document import comparison_document
from failmodes.analysis.render.blocks import Block
from failmodes.analysis.render.formats.html import render_blocks
from failmodes.analysis.render.formatting import format_severity
from failmodes.analysis.selection import Selection
from failmodes.warehouse.database.query import run_query
from failmodes.warehouse.database.saved_queries import saved_queries
from failmodes.warehouse.errors import FailmodesError

SUFFIXES = ("png", "svg", "pdf")
ADDRESS = re.compile("(https?|data):", re.IGNORECASE)
NO_PREDICTION = "no answer"  # what the rows of images call a prediction that is not finite
OTHER_PREDICTIONS = ("another class", NO_PREDICTION)
ANY = Slice()
FIRST_STATEMENT = """\
select model_label, corruption, severity, accuracy, accuracy_low, accuracy_high
from accuracy_by_severity
order by accuracy
limit 20
"""


class Address:
    """The state of the page in its address, so that a link reproduces it: values by key, which are always texts."""

    def __init__(self, parameters: Any) -> None:
        """Keep marimo's query parameters; no cell depends on them, so that setting them runs none again."""
        self._parameters = parameters

    def values(self, key: str) -> list[str]:
        """All values of a key."""
        found: list[str] = self._parameters.get_all(key)
        return found

    def value(self, key: str) -> str:
        """The only value of a key, or ""."""
        return next(iter(self.values(key)), "")

    def keep(self, **state: str | Sequence[str] | None) -> None:
        """Write values; those that are empty are left out."""
        for key, value in state.items():
            values = [value] if isinstance(value, str) else list(value or ())
            if (kept := [one for one in values if one]) != self.values(key):
                self._parameters[key] = kept if len(kept) > 1 else next(iter(kept), None)

    def cell(self, points: pl.DataFrame) -> Cell | None:
        """The cell that it names, where the curves have it."""
        try:
            evaluation_id, corruption, severity = self.value("cell").split(",")
            return nearest_cell(points, evaluation_id=evaluation_id, corruption=corruption, severity=severity)
        except ValueError:
            return None

    def slice(self) -> Slice:
        """The slice that it describes."""
        try:
            low, high = map(float, self.value("confidence").split("-"))
            confidence = (low, high) if 0 <= low <= high <= 1 else ANY.confidence
        except ValueError:
            confidence = ANY.confidence
        return Slice(self.value("class") or None, self.value("prediction") or None, confidence, self.value("where"))

    def keep_page(self, models: Sequence[str], corruptions: Sequence[str], cell: Cell, which: Slice, image: Any) -> None:
        """Write what the page shows; what it shows anyway is left out."""
        confidence = "" if which.confidence == ANY.confidence else "{:g}-{:g}".format(*which.confidence)
        self.keep(
            model=models, corruption=corruptions, cell=f"{cell.evaluation_id},{cell.corruption},{cell.severity:g}",
            prediction=which.prediction, confidence=confidence, where=which.condition, image=image,
            **{"class": which.true_class},
        )  # fmt: skip


def attempt(read: Callable[[], Any]) -> Any:
    """What is read; or, in its place, the line that says why not."""
    try:
        return read()
    except FailmodesError as error:
        return problem(str(error))


def problem(text: str) -> Any:
    """A problem in the place of what it kept from being shown, where the cell ends."""
    mo.stop(True, mo.Html(f'<p class="fm-problem" role="status">{escape(text)}</p>'))


def titled(title: str, *texts: str, level: int = 2) -> Any:
    """A heading with paragraphs under it; nothing in them is markup."""
    paragraphs = "".join(f'<p class="fm-text">{escape(text)}</p>' for text in texts)
    return mo.Html(f'<h{level} class="fm-heading">{escape(title)}</h{level}>{paragraphs}')


def shown(*blocks: Block) -> Any:
    """Blocks as HTML."""
    return mo.Html(f'<div class="fm-blocks">{render_blocks(blocks)}</div>')


def role(name: str, item: Any, label: str = "", **data: object) -> Any:
    """An element under a name by which explorer.js finds it, with data for it and words for screen readers."""
    attributes = "".join(f' data-{key}="{escape(str(value))}"' for key, value in data.items())
    described = f' role="group" aria-label="{escape(label)}"' if label else ""
    return mo.Html(f'<div data-role="{name}"{described}{attributes}>{mo.as_html(item).text}</div>')


def in_row(*items: Any, align: Literal["start", "end"] = "end") -> Any:
    """Elements side by side, in several lines where there is little room."""
    return mo.hstack(list(items), justify="start", align=align, wrap=True, gap=1)


def chart(drawn: Any, selection: str = "", choose: Callable[[dict[str, Any] | None], None] | None = None) -> Any:
    """A chart of ours; `choose` gets the fields of what was clicked, None where nothing is."""

    def _take(_: Any) -> None:
        fields = {name: values[0] for name, values in made.selections.get(selection, {}).items() if name != "vlPoint"}
        if choose:
            choose(fields or None)

    with debug_mode(False):
        made = mo.ui.altair_chart(drawn, chart_selection=False, legend_selection=False, on_change=_take)
    return made


def downloads(name: str, draw: Callable[[], Any]) -> list[Any]:
    """A button a format, for a figure or pictures that are drawn when it is pressed."""

    def _saved(suffix: str) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            content: bytes = draw().save(Path(folder, f"figure.{suffix}")).read_bytes()
            return content

    return [
        mo.download(lambda s=suffix: _saved(s), filename=f"{name}.{suffix}", label=f"{name} as {suffix.upper()}")
        for suffix in SUFFIXES
    ]


def cell_choice(points: pl.DataFrame, chosen: Cell, choose: Callable[[Cell], None]) -> list[Any]:
    """A dropdown for model, corruption and severity each, which chooses the nearest cell."""
    severities = {format_severity(one): one for one in sorted(points["severity"].unique())}
    options = {
        "evaluation_id": ("Model", dict(points.select("label", "evaluation_id").rows()), chosen.label),
        "corruption": ("Corruption", dict(points.select("corruption_label", "corruption").rows()), chosen.corruption_label),
        "severity": ("Severity", severities, format_severity(chosen.severity)),
    }
    wanted = {field: getattr(chosen, field) for field in options}

    def _dropdown(field: str) -> Any:
        label, values, name = options[field]

        def _take(name: str) -> None:
            if found := nearest_cell(points, **wanted | {field: values[name]}):
                choose(found)

        return mo.ui.dropdown(list(values), value=name, label=label, allow_select_none=False, on_change=_take)

    return [_dropdown(field) for field in options]


def slice_form(classes: Sequence[str], which: Slice) -> Any:
    """The choices that make a slice, as `which` says at first."""
    predictions = [*classes, *OTHER_PREDICTIONS]
    return mo.ui.dictionary({
        "true_class": mo.ui.dropdown(classes, value=_known(which.true_class, classes), label="True class"),
        "prediction": mo.ui.dropdown(predictions, value=_known(which.prediction, predictions), label="Prediction"),
        "confidence": mo.ui.range_slider(0, 1, 0.05, value=which.confidence, label="Confidence", show_value=True),
        "condition": mo.ui.text(which.condition, placeholder="entropy_nats > 1 and rmse < 0.1",
                                label="Condition in SQL"),
    })  # fmt: skip


def chosen_slice(values: dict[str, Any]) -> Slice:
    """The slice that the form describes."""
    low, high = values["confidence"]
    return Slice(values["true_class"], values["prediction"], (float(low), float(high)), values["condition"])


def _known(value: str | None, options: Sequence[str]) -> str | None:
    return value if value in options else None


def clicked_pair(fields: dict[str, Any] | None) -> dict[str, str | None]:
    """True class and prediction of a clicked cell of the matrix, as a slice names them; none where none is."""
    prediction = fields["prediction"] if fields else None
    return {
        "true_class": fields["label_name"] if fields else None,
        "prediction": NO_PREDICTION if prediction == NO_NUMBER else prediction,
    }


def table(rows: pl.DataFrame, **options: Any) -> Any:
    """A table to page through and to save; marimo would make links and images of texts that are addresses."""

    def as_text(value: object) -> object:
        is_text = isinstance(value, str | list | dict)
        return ADDRESS.sub("\\1\u200b:", str(value)) if is_text else value  # an invisible space: no address any more

    formats: dict[str, Any] = dict.fromkeys(rows.columns, as_text)
    return mo.ui.table(rows, format_mapping=formats, show_column_summaries=False, **options)


def class_names(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[str]:
    """Names of the classes of the images, in their order, each once."""
    found = con.execute(
        "select class_name from classes where dataset_id = $1 order by class_index", [selection.shared["dataset_id"]]
    ).fetchall()
    return list(dict.fromkeys(name for (name,) in found))


def comparison_form(models: dict[str, str]) -> Any:
    """Two models and a margin; `models` are evaluations by label, two at least."""
    first, second, *_ = models
    choices: dict[str, Any] = {
        "a": mo.ui.dropdown(models, value=first, label="Baseline", allow_select_none=False),
        "b": mo.ui.dropdown(models, value=second, label="Candidate", allow_select_none=False),
        "margin": mo.ui.number(0, 0.5, 0.005, value=0.01, label="Margin (0.01 is a point)"),
    }
    return mo.md("{a} {b} {margin}").batch(**choices).form(submit_button_label="Compare", bordered=False)


def compared(path: Path, a: str, b: str, margin: float) -> Any:
    """Two evaluations compared, as `failmodes compare` does.

    Raises:
        StudyError: both are the same, or they share no cell.
        WarehouseError: the warehouse cannot be read.
    """
    return shown(*comparison_document(compare_named(a, b, path, margin=margin)).blocks)


def saved_statements() -> dict[str, str]:
    """The SQL of the saved queries by their names."""
    return {name: query.sql for name, query in saved_queries().items()}


def statement_form(statement: str | None) -> Any:
    """A field for SQL with a button that runs it."""
    text = mo.ui.text_area(statement or FIRST_STATEMENT, rows=8, label="Statement", full_width=True)
    return text.form(submit_button_label="Run", bordered=False)


def query_table(path: Path, statement: str) -> Any:
    """The rows of one statement, which can neither change nor leave the warehouse.

    Raises:
        QueryError: it is no valid SQL, or not a reading one.
        LimitError: time or memory ran out.
        WarehouseError: the warehouse cannot be read.
    """
    rows = run_query(path, statement, timeout_s=TIMEOUT_S)
    return table(rows, selection=None, page_size=20, label=f"{rows.height:,} rows")
