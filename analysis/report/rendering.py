"""The report: verdict, charts with their findings, pictures and tables in one HTML file that needs no network."""

import json
import re
from collections.abc import Iterable, Sequence
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
from failmodes.analysis.findings.verdict import verdict_sentences
from failmodes.analysis.formatting import MAX_LISTED, format_count, join_names, lower_label
from failmodes.analysis.report.gallery import Gallery, PictureSeries, gallery
from failmodes.analysis.report.pair_tables import pair_tables
from failmodes.analysis.report.provenance import NameValueRows, network_provenance, shared_provenance
from failmodes.analysis.report.report_tables import tables
from failmodes.analysis.report.topics import FIRST_SCREEN, TOPICS
from failmodes.analysis.report.vega_bundle import vega_bundle
from failmodes.analysis.selection import Selection, corruption_labels, select
from failmodes.analysis.statistics.corruption_cost import cost_rankings
from failmodes.analysis.text_tables import TextTable
from failmodes.warehouse.errors import WarehouseError
from failmodes.warehouse.storage.files import atomic_write_bytes

REPORT_FILE = "report.html"
MOST_NAMED = 8  # corruptions that the first line names; of more it gives their number


class ReportChart(NamedTuple):
    """A chart in the report: its name and texts, and as JSON its data and the rest of each layout's specification."""

    name: str
    finding: str
    subtitle: str
    datasets: Markup
    specs: dict[str, Markup]


class ReportTopic(NamedTuple):
    """One part of a report: its charts, those that a reader opens, why others are missing, and its findings."""

    key: str
    title: str
    charts: list[ReportChart]
    more: list[ReportChart]
    missing: list[str]
    headlines: list[Headline]


class ReportSection(NamedTuple):
    """Everything about one selection."""

    title: str
    lead: str
    verdict: tuple[str, ...]
    ranking: ReportChart | None
    strip: PictureSeries | None
    topics: list[ReportTopic]
    gallery: Gallery
    tables: list[tuple[str, list[TextTable]]]  # by network where there are many, else together without a name
    limitations: tuple[Limitation, ...]
    source: str
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
    environment.filters |= {"unbroken": _unbroken, "by_topic": _by_topic, "sort_value": _sort_value}
    return environment.from_string(_packaged("template.html.j2")).render(
        title=sections[0].title if len(sections) == 1 else title,
        sections=sections,
        style=Markup(_packaged("report.css")),
        script=Markup(_packaged("report.js")),
        themes=_embedded({"light": vega_config(LIGHT), "dark": vega_config(DARK), "dark_colours": DARK_COLOURS}),
        library=Markup(vega_bundle()),
    )


def report_section(con: duckdb.DuckDBPyConnection, selection: Selection) -> ReportSection:
    """Verdict, topics, pictures, tables and provenance of one selection."""
    found = findings_of(con, selection)
    names = corruption_labels(con)
    labels = selection.labels.values()
    networks = join_names(labels) if len(labels) <= MAX_LISTED else format_count(len(labels), "network")
    verb = "fail" if len(labels) > 1 else "fails"
    corruptions = format_count(len(selection.corruptions), "corruption")
    if len(selection.corruptions) <= MOST_NAMED:
        corruptions = join_names(lower_label(names[c]) for c in selection.corruptions)
    ranking, _ = _charts(con, selection, [FIRST_SCREEN])
    pictures = gallery(con, selection)
    return ReportSection(
        title=f"How {networks} {verb} on {selection.shared['dataset_label']}",
        lead=f"{format_count(selection.image_count, 'image')}, clean and under {corruptions}.",
        verdict=verdict_sentences(con, selection),
        ranking=ranking[0] if ranking else None,
        strip=_strip(con, selection, pictures),
        topics=_topics(con, selection, found.headlines),
        gallery=pictures,
        tables=_grouped([*tables(con, selection), *pair_tables(con, selection)], is_many=len(labels) > MAX_LISTED),
        limitations=found.limitations,
        source=selection.source_line,
        provenance=shared_provenance(con, selection),
        networks=[(evaluation.label, network_provenance(con, evaluation)) for evaluation in selection.evaluations],
    )


def _grouped(found: list[TextTable], *, is_many: bool) -> list[tuple[str, list[TextTable]]]:
    if not is_many:
        return [("", found)]
    return [(network, list(group)) for network, group in groupby(found, key=lambda table: table.network)]


def _strip(con: duckdb.DuckDBPyConnection, selection: Selection, pictures: Gallery) -> PictureSeries | None:
    """The pictures beside the verdict: of the largest cost of all networks, else the first on record."""
    costs = [(e, ranking.costs[0]) for e, ranking in cost_rankings(con, selection).items() if ranking.costs]
    for evaluation, cost in sorted(costs, key=lambda pair: -pair[1].at_last.value):
        series = pictures.of(evaluation.evaluation_id, cost.corruption)
        if series:
            return series
    return pictures.series[0] if pictures.series else None


def _topics(con: duckdb.DuckDBPyConnection, selection: Selection, found: Sequence[Headline]) -> list[ReportTopic]:
    topics = []
    for topic in TOPICS:
        charts, missing = _charts(con, selection, topic.charts)
        more, also_missing = _charts(con, selection, topic.more)
        headlines = [headline for headline in found if headline.kind in topic.kinds]
        topics.append(ReportTopic(topic.key, topic.title, charts, more, missing + also_missing, headlines))
    return topics


def _charts(
    con: duckdb.DuckDBPyConnection, selection: Selection, names: Iterable[str]
) -> tuple[list[ReportChart], list[str]]:
    """The charts of these that can be drawn, and for the others why not."""
    charts, missing = [], []
    for name in names:
        try:
            drawn = {layout: CHARTS[name](con, selection, size=size) for layout, size in CHART_SIZES.items()}
        except WarehouseError as error:
            missing.append(f"{name}: {error}")
            continue
        specs = {layout: _without_texts(chart) for layout, chart in drawn.items()}
        texts = [spec.pop("usermeta") for spec in specs.values()][0]
        datasets = {key: rows for spec in specs.values() for key, rows in spec.pop("datasets", {}).items()}
        embedded = {layout: _embedded(spec) for layout, spec in specs.items()}
        charts.append(ReportChart(name, texts["finding"], texts["subtitle"], _embedded(datasets), embedded))
    return charts, missing


def _without_texts(chart: alt.VConcatChart) -> dict[str, Any]:
    """A chart's specification without theme and without the texts that the page sets in HTML."""
    spec = specification_of(chart)
    spec.pop("config", None)
    spec.pop("title", None)
    for part in spec["vconcat"]:
        part.pop("title", None)
    return spec


def _packaged(name: str) -> str:
    return files("failmodes.analysis.report").joinpath(name).read_text(encoding="utf-8")


def _by_topic(found: Iterable[Headline]) -> list[list[Headline]]:
    """Headlines that follow one another on the same topic, together; all that is undecided is one group, the last."""
    ordered = sorted(found, key=lambda headline: headline.verdict == "undecided")
    groups = groupby(ordered, key=lambda headline: headline.verdict == "undecided" or headline.topic)
    return [list(group) for _, group in groups]


def _unbroken(text: str) -> Markup:
    """Escaped text whose names such as ResNet-18 no line may break."""
    return Markup(re.sub(r"\w+-\d+", r'<span class="nb">\g<0></span>', str(escape(text))))


def _sort_value(text: str) -> str:
    """The first number in the text of a table's cell, by which it is sorted; "" where there is none."""
    number = re.search(r"-?\d+(\.\d+)?", text.replace("\u2212", "-").replace(",", ""))
    return number[0] if number else ""


def _embedded(content: Any) -> Markup:
    """JSON that may stand inside a script element: no '<' can end it or open a comment."""
    return Markup(json.dumps(content, separators=(",", ":")).replace("<", "\\u003c"))
