"""The report: verdict, charts with their findings, pictures and tables in one HTML file that needs no network."""

import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import duckdb
from altair.utils.schemapi import debug_mode
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from failmodes.analysis.charts.style.theme import DARK, DARK_COLORS, LIGHT, vega_config
from failmodes.analysis.judging.findings.headlines import Headline
from failmodes.analysis.judging.findings.kind import Limitation
from failmodes.analysis.judging.findings.registry import all_kinds
from failmodes.analysis.judging.stored import findings_of, update_claims
from failmodes.analysis.render.blocks import Table
from failmodes.analysis.render.formatting import MAX_LISTED, format_count, join_names, lower_label
from failmodes.analysis.report.claims_section import ClaimsSection, claims_section
from failmodes.analysis.report.comparison_section import (
    Pair,
    ReportComparison,
    named_pairs,
    only_pair,
    report_comparison,
)
from failmodes.analysis.report.gallery import Gallery, PictureSeries, gallery
from failmodes.analysis.report.pair_tables import pair_tables
from failmodes.analysis.report.provenance import NameValueRows, model_provenance, shared_provenance
from failmodes.analysis.report.published_tables import published_tables
from failmodes.analysis.report.report_charts import ReportChart, draw_charts, embedded
from failmodes.analysis.report.report_tables import tables
from failmodes.analysis.report.topics import FIRST_SCREEN, TOPICS
from failmodes.analysis.report.vega_bundle import vega_bundle
from failmodes.analysis.report.verdict import ERROR_RATES, verdict_sentences
from failmodes.analysis.selection import Selection, corruption_labels, select
from failmodes.analysis.statistics.model_accuracy import best_and_worst, drop_rankings, left_out_sentence
from failmodes.analysis.statistics.shape_tables import open_current
from failmodes.analysis.trained_models import trained_models
from failmodes.ingest.statements import Statement
from failmodes.warehouse.glossary import glossary
from failmodes.warehouse.metrics.metric import Metric
from failmodes.warehouse.output_files import check_output, write_output
from failmodes.warehouse.stages import counted

REPORT_FILE = "report.html"
MOST_NAMED = 8  # corruptions that the first line names; of more it gives their number


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
    error_rates: str
    ranking: ReportChart | None
    strip: PictureSeries | None
    claims: ClaimsSection | None
    topics: list[ReportTopic]
    comparisons: list[ReportComparison]
    gallery: Gallery
    tables: list[tuple[str, list[Table]]]  # by model where there are many, else together without a name
    limitations: tuple[Limitation, ...]
    source: str
    provenance: NameValueRows
    models: list[tuple[str, NameValueRows]]


def write_report(
    warehouse: Path,
    output: Path | None = None,
    *,
    pairs: Sequence[Sequence[str]] = (),
    claims: Sequence[Statement] | None = None,
    metrics: Sequence[Metric] = (),
    force: bool = False,
) -> Path:
    """Write the report of a warehouse, with current shapes, findings and claims (see `open_current`).

    Args:
        warehouse: the DuckDB file.
        output: the HTML file; by default report.html beside the warehouse.
        pairs: names of two models each that are compared; by default the two where there are just two.
        claims: what the study claims now; None for the claims that the warehouse holds.
        metrics: that claims may name, beside those of this package.
        force: see `check_output`.

    Returns:
        Path of the report.

    Raises:
        StudyError: a pair names no models of this warehouse, or cannot be compared; or a claim is not understood.
        WarehouseError: the warehouse is missing, in use or empty.
        StorageError: the report could not be written.
    """
    path = output or warehouse.parent / REPORT_FILE
    check_output(path, (".html",), force=force)
    # no part of a chart is validated here: tests validate every chart
    with open_current(warehouse) as con, debug_mode(False):
        update_claims(con, claims, metrics, stores=False)
        page = render(con, warehouse, pairs)
    write_output(path, page.encode(), (".html",), force=force)
    return path


def render(con: duckdb.DuckDBPyConnection, path: Path, pairs: Sequence[Sequence[str]] = ()) -> str:
    """The report as HTML; needs current shapes and claims, and takes the stored findings where they are current."""
    selections = select(con)
    compared = _pairs_by_selection(con, path, selections, pairs)
    sections = [
        report_section(con, one, own, is_first=not place)
        for place, (one, own) in enumerate(zip(selections, compared, strict=True))
    ]
    title = f"Failure report: {format_count(len(sections), 'set')} of evaluations"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"unbroken": _unbroken, "by_topic": _by_topic, "sort_value": _sort_value}
    return environment.from_string(_packaged("template.html.j2")).render(
        title=sections[0].title if len(sections) == 1 else title,
        sections=sections,
        style=Markup(_packaged("report.css")),
        script=Markup(_packaged("report.js")),
        themes=embedded({"light": vega_config(LIGHT), "dark": vega_config(DARK), "dark_colors": DARK_COLORS}),
        library=Markup(vega_bundle()),
        glossary=glossary(),
    )


def report_section(
    con: duckdb.DuckDBPyConnection, selection: Selection, pairs: Sequence[Pair] = (), *, is_first: bool = True
) -> ReportSection:
    """Verdict, claims, topics, comparisons, pictures, tables and provenance of one selection."""
    found = findings_of(con, selection)
    names = corruption_labels(con)
    labels = [model.label for model in trained_models(selection.evaluations)]
    models = join_names(labels) if len(labels) <= MAX_LISTED else format_count(len(labels), "model")
    verb = "fail" if len(labels) > 1 else "fails"
    corruptions = format_count(len(selection.corruptions), "corruption")
    if len(selection.corruptions) <= MOST_NAMED:
        corruptions = join_names(lower_label(names[c]) for c in selection.corruptions)
    ranking, _ = draw_charts(con, selection, [FIRST_SCREEN])
    shown = best_and_worst(con, selection)
    left_out = left_out_sentence(shown)
    pictures = gallery(con, shown)
    comparisons = [report_comparison(con, selection, pair) for pair in pairs]
    pairwise = pair_tables(con, selection, [one.evaluation_ids for one in comparisons])
    return ReportSection(
        title=f"How {models} {verb} on {selection.shared['dataset_label']}",
        lead=f"{format_count(selection.image_count, 'image')}, clean and under {corruptions}.{left_out}",
        verdict=verdict_sentences(con, selection),
        error_rates=ERROR_RATES,
        ranking=ranking[0] if ranking else None,
        strip=_strip(con, selection, pictures),
        claims=claims_section(con, selection, is_first=is_first),
        topics=_topics(con, selection, found.headlines),
        comparisons=comparisons,
        gallery=pictures,
        tables=_grouped(
            [*tables(con, selection), *published_tables(con, selection), *pairwise],
            is_many=len(selection.ids) > MAX_LISTED,
        ),
        limitations=found.limitations,
        source=selection.source_line,
        provenance=shared_provenance(con, selection),
        models=[(evaluation.label, model_provenance(con, evaluation)) for evaluation in selection.evaluations],
    )


def _pairs_by_selection(
    con: duckdb.DuckDBPyConnection, path: Path, selections: Sequence[Selection], names: Sequence[Sequence[str]]
) -> list[list[Pair]]:
    """The pairs of each part of the report: those that were named, where the first model stands, else the only."""
    if not names:
        return [only_pair(con, path, selection) for selection in selections]
    found: list[list[Pair]] = [[] for _ in selections]
    for pair in named_pairs(con, path, names):
        places = [place for place, one in enumerate(selections) if set(pair[0].selection.ids) <= set(one.ids)]
        found[places[0] if places else 0].append(pair)
    return found


def _grouped(found: list[Table], *, is_many: bool) -> list[tuple[str, list[Table]]]:
    if not is_many:
        return [("", found)]
    return [(model, list(group)) for model, group in groupby(found, key=lambda table: table.model)]


def _strip(con: duckdb.DuckDBPyConnection, selection: Selection, pictures: Gallery) -> PictureSeries | None:
    """The pictures beside the verdict: of the largest cost of all models, else the first on record."""
    drops = [(e, ranking.drops[0]) for e, ranking in drop_rankings(con, selection).items() if ranking.drops]
    for evaluation, drop in sorted(drops, key=lambda pair: -pair[1].at_last.value):
        series = pictures.of(evaluation.evaluation_id, drop.corruption)
        if series:
            return series
    return pictures.series[0] if pictures.series else None


def _topics(con: duckdb.DuckDBPyConnection, selection: Selection, found: Sequence[Headline]) -> list[ReportTopic]:
    topics = []
    for topic in counted("charts", TOPICS):
        charts, missing = draw_charts(con, selection, topic.charts)
        more, also_missing = draw_charts(con, selection, topic.more)
        headlines = [headline for headline in found if all_kinds()[headline.kind].section == topic.key]
        topics.append(ReportTopic(topic.key, topic.title, charts, more, missing + also_missing, headlines))
    return topics


def _packaged(name: str) -> str:
    return files("failmodes.analysis.report").joinpath(name).read_text(encoding="utf-8")


def _by_topic(found: Iterable[Headline]) -> list[list[Headline]]:
    """Headlines that follow one another on the same topic, together; all inconclusive ones are the last group."""
    ordered = sorted(found, key=lambda headline: headline.verdict == "inconclusive")
    groups = groupby(ordered, key=lambda headline: headline.verdict == "inconclusive" or headline.topic)
    return [list(group) for _, group in groups]


def _unbroken(text: str) -> Markup:
    """Escaped text whose names such as ResNet-18 no line may break."""
    return Markup(re.sub(r"\w+-\d+", r'<span class="nb">\g<0></span>', str(escape(text))))


def _sort_value(text: str) -> str:
    """The first number in the text of a table's cell, by which it is sorted; "" where there is none."""
    number = re.search(r"-?\d+(\.\d+)?", text.replace("\u2212", "-").replace(",", ""))
    return number[0] if number else ""
