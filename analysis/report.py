"""The report: findings, charts, tables and how it was made, in one HTML file that needs no network."""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import altair as alt
import duckdb
import vl_convert
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from analysis.charts import CHARTS
from analysis.degradation import ensure_shapes
from analysis.findings import Finding, findings
from analysis.report_making import Facts, network_facts, shared_facts
from analysis.report_pairs import pair_tables
from analysis.report_tables import Table, tables
from analysis.selection import Selection, corruption_labels, select
from analysis.theme import DARK, DARK_TWINS, LAYOUTS, LIGHT, config
from analysis.words import MOST_LISTED, counted, listing, within
from warehouse.connect import open_warehouse
from warehouse.errors import WarehouseError
from warehouse.publish import publish_bytes

REPORT_FILE = "report.html"
PER_NETWORK = ("exemplars",)  # charts that show one network each
TEMPLATE = "report.html.j2"
SNIPPET = "window.vegaEmbed = vegaEmbed;"


class Figure(NamedTuple):
    """A chart in the report: its words as text, and the picture for a wide and for a narrow screen as JSON."""

    name: str
    finding: str
    subtitle: str
    source: str
    specs: dict[str, Markup]


class Chapter(NamedTuple):
    """Everything about one selection."""

    title: str
    lead: str
    findings: list[Finding]
    limits: list[Finding]
    figures: list[Figure]
    missing: list[str]
    tables: list[Table]
    making: Facts
    networks: list[tuple[str, Facts]]


def write_report(warehouse: Path, output: Path | None = None) -> Path:
    """Write the report of a warehouse, after its shapes were brought up to date.

    Args:
        warehouse: the DuckDB file; close other connections to it first.
        output: the HTML file; by default report.html beside the warehouse.

    Returns:
        Path of the report.

    Raises:
        WarehouseError: the warehouse is missing, in use or empty.
        StorageError: the report could not be written.
    """
    ensure_shapes(warehouse)
    with open_warehouse(warehouse) as con:
        page = render(con)
    path = output or warehouse.parent / REPORT_FILE
    publish_bytes(path, page.encode())
    return path


def render(con: duckdb.DuckDBPyConnection) -> str:
    """The report as HTML; needs shapes."""
    chapters = [_chapter(con, selection) for selection in select(con)]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["unbroken"] = _unbroken
    template = environment.from_string(files("analysis").joinpath(TEMPLATE).read_text(encoding="utf-8"))
    return template.render(
        title=_title(chapters),
        chapters=chapters,
        themes=_embedded({"light": config(LIGHT), "dark": config(DARK), "twins": DARK_TWINS}),
        library=Markup(vl_convert.javascript_bundle(snippet=SNIPPET)),
    )


def _title(chapters: list[Chapter]) -> str:
    return (
        chapters[0].title if len(chapters) == 1 else f"Failure report: {counted(len(chapters), 'set')} of evaluations"
    )


def _chapter(con: duckdb.DuckDBPyConnection, selection: Selection) -> Chapter:
    said = findings(con, selection)
    figures, missing = _figures(con, selection)
    names = corruption_labels(con)
    labels = selection.labels.values()
    networks = listing(labels) if len(labels) <= MOST_LISTED else counted(len(labels), "network")
    corruptions = listing(within(names[c]) for c in selection.corruptions)
    return Chapter(
        title=f"How {networks} {'fail' if len(selection.evaluations) > 1 else 'fails'} on "
        f"{selection.shared['dataset_label']}",
        lead=f"{counted(selection.image_count, 'image')}, clean and under {corruptions}.",
        findings=[finding for finding in said if finding.verdict != "limit"],
        limits=[finding for finding in said if finding.verdict == "limit"],
        figures=figures,
        missing=missing,
        tables=tables(con, selection) + pair_tables(con, selection),
        making=shared_facts(con, selection),
        networks=[(evaluation.label, network_facts(con, evaluation)) for evaluation in selection.evaluations],
    )


def _figures(con: duckdb.DuckDBPyConnection, selection: Selection) -> tuple[list[Figure], list[str]]:
    """The charts that can be drawn, and for the others why not."""
    figures, missing = [], []
    for name, make in CHARTS.items():
        parts = [selection.only(e) for e in selection.evaluations] if name in PER_NETWORK else [selection]
        for part in parts:
            try:
                drawn = {layout: make(con, part, layout=size) for layout, size in LAYOUTS.items()}
            except WarehouseError as error:
                missing.append(f"{name}: {error}")
                continue
            figures.append(_figure(name, drawn))
    return figures, missing


def _figure(name: str, drawn: dict[str, Any]) -> Figure:
    specs = {layout: _bare(chart) for layout, chart in drawn.items()}
    words = specs["page"].pop("usermeta")
    specs["paper"].pop("usermeta")
    return Figure(name, **words, specs={layout: _embedded(spec) for layout, spec in specs.items()})


def _bare(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """A chart's specification without theme and without the words that the page sets in HTML."""
    spec = chart.to_dict()
    spec.pop("config", None)
    spec.pop("title", None)
    for part in spec["vconcat"]:
        part.pop("title", None)
    return spec


def _unbroken(text: str) -> Markup:
    """Escaped text whose names such as ResNet-18 no line may break."""
    return Markup(re.sub(r"\w+-\d+", r'<span class="nb">\g<0></span>', str(escape(text))))


def _embedded(content: Any) -> Markup:
    """JSON that may stand inside a script element: no '<' can end it or open a comment."""
    return Markup(json.dumps(content, separators=(",", ":")).replace("<", "\\u003c"))
