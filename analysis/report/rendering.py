"""The report: findings, charts, tables and how it was made, in one HTML file that needs no network."""

import json
import re
from collections.abc import Iterable
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import altair as alt
import duckdb
from altair.utils.schemapi import debug_mode
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from failmodes.analysis.charts.drawing import CHARTS
from failmodes.analysis.charts.style.saving import specification_of
from failmodes.analysis.charts.style.theme import CHART_SIZES, DARK, DARK_COLOURS, LIGHT, vega_config
from failmodes.analysis.findings.finding import Limitation
from failmodes.analysis.findings.headlines import Headline
from failmodes.analysis.findings.stored import findings_of, open_with_findings
from failmodes.analysis.formatting import MAX_LISTED, format_count, join_names, lower_label
from failmodes.analysis.report.provenance import NameValueRows, network_provenance, shared_provenance
from failmodes.analysis.report.report_tables import ReportTable, tables
from failmodes.analysis.report.vega_bundle import vega_bundle
from failmodes.analysis.selection import Selection, corruption_labels, select
from failmodes.warehouse.errors import WarehouseError
from failmodes.warehouse.storage.files import atomic_write_bytes

REPORT_FILE = "report.html"

PER_NETWORK = ("exemplars",)  # charts that show one network each


class ReportChart(NamedTuple):
    """A chart in the report: its texts, and the picture for a wide and for a narrow screen as JSON."""

    finding: str
    subtitle: str
    source: str
    specs: dict[str, Markup]


class ReportSection(NamedTuple):
    """Everything about one selection."""

    title: str
    lead: str
    headlines: tuple[Headline, ...]
    limitations: tuple[Limitation, ...]
    figures: list[ReportChart]
    missing: list[str]
    tables: list[ReportTable]
    provenance: NameValueRows
    networks: list[tuple[str, NameValueRows]]


def write_report(warehouse: Path, output: Path | None = None) -> Path:
    """Write the report of a warehouse, after its shapes and findings were brought up to date.

    Args:
        warehouse: the DuckDB file.
        output: the HTML file; by default report.html beside the warehouse.

    Returns:
        Path of the report.

    Raises:
        WarehouseError: the warehouse is missing, in use or empty.
        StorageError: the report could not be written.
    """
    with open_with_findings(warehouse) as con, debug_mode(False):  # no part is validated: tests validate every chart
        page = render(con)
    path = output or warehouse.parent / REPORT_FILE
    atomic_write_bytes(path, page.encode())
    return path


def render(con: duckdb.DuckDBPyConnection) -> str:
    """The report as HTML; needs shapes, and takes the stored findings where they are current."""
    sections = [report_section(con, selection) for selection in select(con)]
    title = f"Failure report: {format_count(len(sections), 'set')} of evaluations"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["unbroken"] = _unbroken
    environment.filters["by_topic"] = _by_topic
    template = files("failmodes.analysis.report").joinpath("template.html.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        title=sections[0].title if len(sections) == 1 else title,
        sections=sections,
        themes=_embedded({"light": vega_config(LIGHT), "dark": vega_config(DARK), "dark_colours": DARK_COLOURS}),
        library=Markup(vega_bundle()),
    )


def report_section(con: duckdb.DuckDBPyConnection, selection: Selection) -> ReportSection:
    """Findings, charts, tables and provenance of one selection."""
    found = findings_of(con, selection)
    figures, missing = _figures(con, selection)
    names = corruption_labels(con)
    labels = selection.labels.values()
    networks = join_names(labels) if len(labels) <= MAX_LISTED else format_count(len(labels), "network")
    verb = "fail" if len(labels) > 1 else "fails"
    corruptions = join_names(lower_label(names[c]) for c in selection.corruptions)
    return ReportSection(
        title=f"How {networks} {verb} on {selection.shared['dataset_label']}",
        lead=f"{format_count(selection.image_count, 'image')}, clean and under {corruptions}.",
        headlines=found.headlines,
        limitations=found.limitations,
        figures=figures,
        missing=missing,
        tables=tables(con, selection),
        provenance=shared_provenance(con, selection),
        networks=[(evaluation.label, network_provenance(con, evaluation)) for evaluation in selection.evaluations],
    )


def _figures(con: duckdb.DuckDBPyConnection, selection: Selection) -> tuple[list[ReportChart], list[str]]:
    """The charts that can be drawn, and for the others why not."""
    figures, missing = [], []
    for name, make in CHARTS.items():
        parts = [selection.only(e) for e in selection.evaluations] if name in PER_NETWORK else [selection]
        for part in parts:
            try:
                drawn = {layout: make(con, part, size=size) for layout, size in CHART_SIZES.items()}
            except WarehouseError as error:
                missing.append(f"{name}: {error}")
                continue
            specs = {layout: _without_texts(chart) for layout, chart in drawn.items()}
            texts = {layout: spec.pop("usermeta") for layout, spec in specs.items()}
            embedded = {layout: _embedded(spec) for layout, spec in specs.items()}
            figures.append(ReportChart(**texts["page"], specs=embedded))
    return figures, missing


def _without_texts(chart: alt.VConcatChart) -> dict[str, Any]:
    """A chart's specification without theme and without the texts that the page sets in HTML."""
    spec = specification_of(chart)
    spec.pop("config", None)
    spec.pop("title", None)
    for part in spec["vconcat"]:
        part.pop("title", None)
    return spec


def _by_topic(found: Iterable[Headline]) -> list[list[Headline]]:
    """Headlines that follow one another on the same topic, together; all that is undecided is one group."""
    groups = groupby(found, key=lambda headline: headline.verdict == "undecided" or headline.topic)
    return [list(group) for _, group in groups]


def _unbroken(text: str) -> Markup:
    """Escaped text whose names such as ResNet-18 no line may break."""
    return Markup(re.sub(r"\w+-\d+", r'<span class="nb">\g<0></span>', str(escape(text))))


def _embedded(content: Any) -> Markup:
    """JSON that may stand inside a script element: no '<' can end it or open a comment."""
    return Markup(json.dumps(content, separators=(",", ":")).replace("<", "\\u003c"))
