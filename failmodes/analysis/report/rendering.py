"""The report: first screen, charts with their strongest findings, and all else in Details: one HTML file, offline."""

from collections.abc import Sequence
from importlib.resources import files
from itertools import chain, groupby
from pathlib import Path
from typing import NamedTuple

import duckdb
from altair.utils.schemapi import debug_mode
from markupsafe import Markup

from failmodes.analysis.charts.style.theme import DARK, DARK_COLORS, LIGHT, vega_config
from failmodes.analysis.judging.findings.collection import Findings
from failmodes.analysis.judging.findings.correction import FIRST_SCREEN as ON_FIRST_SCREEN
from failmodes.analysis.judging.findings.headlines import Headline
from failmodes.analysis.judging.findings.registry import all_kinds
from failmodes.analysis.judging.stored import findings_of, update_claims
from failmodes.analysis.render.blocks import Block, Cell, Gallery, ImageStrip, Section, Sentence, Table
from failmodes.analysis.render.formats.html import environment
from failmodes.analysis.render.formatting import MAX_LISTED, format_count, join_names, lower_label
from failmodes.analysis.report.claims_section import claims_sections
from failmodes.analysis.report.comparison_section import Pair, comparison_sections, named_pairs, only_pair
from failmodes.analysis.report.gallery import CORRUPTION, MODEL, gallery
from failmodes.analysis.report.pair_tables import pair_tables
from failmodes.analysis.report.provenance import NameValueRows, model_provenance, shared_provenance
from failmodes.analysis.report.published_tables import published_tables
from failmodes.analysis.report.report_charts import draw_charts
from failmodes.analysis.report.report_tables import tables
from failmodes.analysis.report.topics import FINDINGS, FIRST_SCREEN, MORE_CHARTS, TOPICS
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
from failmodes.warehouse.progress import counted

REPORT_FILE = "report.html"
MOST_NAMED = 8  # corruptions that the first line names; of more it gives their number
READING = (
    "A finding has its interval in square brackets. Of each kind and model the strongest finding is printed; the table "
    "findings of the warehouse has all. Inconclusive means that these data cannot tell. The curvature of a curve is "
    "its mean height above a straight line from clean to the last severity, as a share of the drop: above 0 it drops "
    "late, below 0 early."
)


class ReportPart(NamedTuple):
    """What a report has of one selection: title, first screen (text, and the chart beside it), sections."""

    title: str
    lead: str
    verdict: tuple[Block, ...]
    ranking: tuple[Block, ...]
    sections: tuple[Section, ...]


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
    parts = [
        report_part(con, one, own, number)
        for number, (one, own) in enumerate(zip(selections, compared, strict=True), start=1)
    ]
    title = f"Failure report: {format_count(len(parts), 'set')} of evaluations"
    return environment().get_template("template.html.j2").render(
        title=parts[0].title if len(parts) == 1 else title,
        parts=parts,
        style=Markup(_packaged("viewer.css") + _packaged("report.css")),
        script=Markup(_packaged("viewer.js") + _packaged("report.js")),
        viewer=Markup(_packaged("viewer.html")),
        themes={"light": vega_config(LIGHT), "dark": vega_config(DARK), "dark_colors": DARK_COLORS},
        library=Markup(vega_bundle()),
    )  # fmt: skip


def report_part(
    con: duckdb.DuckDBPyConnection, selection: Selection, pairs: Sequence[Pair] = (), number: int = 1
) -> ReportPart:
    """First screen, sections and Details of one selection.

    Args:
        con: the warehouse.
        selection: what the part is about.
        pairs: of models that are compared in it.
        number: of the part, from 1; the first has the claims about no evaluation, and the glossary.
    """
    names = corruption_labels(con)
    labels = [model.label for model in trained_models(selection.evaluations)]
    models = join_names(labels) if len(labels) <= MAX_LISTED else format_count(len(labels), "model")
    verb = "fail" if len(labels) > 1 else "fails"
    corruptions = format_count(len(selection.corruptions), "corruption")
    if len(selection.corruptions) <= MOST_NAMED:
        corruptions = join_names(lower_label(names[c]) for c in selection.corruptions)
    ranking, _ = draw_charts(con, selection, [FIRST_SCREEN])
    shown = best_and_worst(con, selection)
    images, left_out = gallery(con, shown), left_out_sentence(shown)
    verdict = (Sentence(sentence, "lead") for sentence in verdict_sentences(con, selection))
    return ReportPart(
        title=f"How {models} {verb} on {selection.shared['dataset_label']}",
        lead=f"{format_count(selection.image_count, 'image')}, clean and under {corruptions}.{left_out}",
        verdict=(*verdict, Sentence(ERROR_RATES, "note"), *_strip(con, selection, images)),
        ranking=tuple(ranking),
        sections=tuple(_sections(con, selection, pairs, images, number)),
    )


def _sections(
    con: duckdb.DuckDBPyConnection, selection: Selection, pairs: Sequence[Pair], images: Gallery, number: int
) -> list[Section]:
    """Everything but the first screen, Details last; `images` stand with the confusion."""
    found = findings_of(con, selection)
    sections: list[Section] = []
    not_drawn: list[str] = []
    for topic in counted("charts", TOPICS):
        charts, missing = draw_charts(con, selection, [topic.chart])
        not_drawn += missing
        blocks: list[Block] = [*charts, *_strongest(found, topic.key)]
        blocks += [images] if topic.key == "predictions" else []
        sections += [Section(topic.title, tuple(blocks), anchor=f"{topic.key}-{number}")] if blocks else []
    more, missing = draw_charts(con, selection, MORE_CHARTS)
    further: list[Block] = [Section(chart.finding, (chart,), is_folded=True) for chart in more]
    further += [Sentence(f"Not drawn: {'; '.join(not_drawn)}.", "note")] if (not_drawn := not_drawn + missing) else []
    compared = [
        comparison_sections(con, selection, pair, f"comparison-{number}-{place}", is_only=len(pairs) == 1)
        for place, pair in enumerate(pairs, start=1)
    ]
    claims = claims_sections(con, selection, number)
    limits = ((Sentence(one.sentence), Sentence(one.detail, "note")) for one in found.limitations)
    details = [
        _findings(found.headlines, number),
        Section("Further charts", tuple(further), is_folded=True, anchor=f"charts-{number}"),
        *(behind for _, behind in compared),
        *claims[1:],
        _tables(con, selection, pairs, number),
        Section("Limitations", tuple(chain.from_iterable(limits)), is_folded=True, anchor=f"limits-{number}"),
        _making(con, selection, number),
        *([_glossary()] if number == 1 else []),
    ]
    sections += [section for section, _ in compared] + claims[:1]
    return [*sections, Section("Details", tuple(details), is_folded=True, anchor=f"details-{number}")]


def _strongest(found: Findings, key: str) -> list[Sentence]:
    """The first decided finding of a section that is not on the first screen, and one of another kind or model."""
    kinds, models = all_kinds(), {finding.sentence: finding.evaluation_id for finding in found}
    own = [
        headline
        for headline in found.headlines
        if kinds[headline.kind].section == key
        and headline.verdict != "inconclusive"
        and headline.kind not in ON_FIRST_SCREEN
        and not kinds[headline.kind].is_condition
    ]

    def differences(other: Headline) -> int:
        return (other.kind != own[0].kind) + (models.get(other.sentence) != models.get(own[0].sentence))

    return [Sentence(one.sentence) for one in [*own[:1], *sorted(own[1:], key=differences, reverse=True)[:1]]]


def _findings(headlines: Sequence[Headline], number: int) -> Section:
    """Everything that is printed of the findings, with queries."""
    groups = []
    for key, title in FINDINGS.items():
        own = [headline for headline in headlines if all_kinds()[headline.kind].section == key]
        items = tuple(Sentence(headline.text, "item", headline.query) for headline in own)
        groups += [Section(title, items)] if items else []
    return Section("Findings", (Sentence(READING, "note"), *groups), is_folded=True, anchor=f"findings-{number}")


def _tables(con: duckdb.DuckDBPyConnection, selection: Selection, pairs: Sequence[Pair], number: int) -> Section:
    """All tables, folded; of many models together by model."""
    ids = [frozenset((*a.selection.ids, *b.selection.ids)) for a, b in pairs]
    found = [*tables(con, selection), *published_tables(con, selection), *pair_tables(con, selection, ids)]
    is_grouped = len(selection.ids) > MAX_LISTED
    blocks: list[Block] = []
    for model, group in groupby(found, key=lambda table: table.model if is_grouped else ""):
        folded = tuple(Section(table.caption, (table,), is_folded=True) for table in group)
        blocks += [Section(model, folded, is_folded=True)] if model else folded
    return Section("Tables", tuple(blocks), is_folded=True, anchor=f"tables-{number}")


def _making(con: duckdb.DuckDBPyConnection, selection: Selection, number: int) -> Section:
    facts = [("Dataset, images and settings", shared_provenance(con, selection))]
    facts += [(evaluation.label, model_provenance(con, evaluation)) for evaluation in selection.evaluations]
    blocks = tuple(Section(title, (_facts(title, rows),), is_folded=True) for title, rows in facts)
    return Section(
        "How this report was made",
        (Sentence(selection.source_line, "note"), *blocks),
        is_folded=True,
        anchor=f"making-{number}",
    )


def _facts(title: str, rows: NameValueRows) -> Table:
    return Table(title, "", ("Setting", "Value"), tuple(tuple(map(Cell, row)) for row in rows), texts=("Value",))


def _glossary() -> Section:
    columns = ("Term", "Meaning", "Formula", "Source", "Column")
    rows = tuple(
        tuple(map(Cell, (term.term, term.meaning, term.formula, term.source, term.column))) for term in glossary()
    )
    table = Table("Glossary", "", columns, rows, texts=columns)
    return Section("Glossary", (table,), is_folded=True, anchor="glossary")


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


def _strip(con: duckdb.DuckDBPyConnection, selection: Selection, images: Gallery) -> tuple[ImageStrip, ...]:
    """The image beside the verdict: of the largest drop of all models, else the first stored; none without images."""
    names = corruption_labels(con)
    drops = [(e, ranking.drops[0]) for e, ranking in drop_rankings(con, selection).items() if ranking.drops]
    for evaluation, drop in sorted(drops, key=lambda pair: -pair[1].at_last.value):
        wanted = (evaluation.label, names[drop.corruption])
        labels = zip(images.labels.get(MODEL, ()), images.labels.get(CORRUPTION, ()), strict=True)
        for strip, label in zip(images.strips, labels, strict=True):
            if label == wanted:
                return (_illustrating(strip),)
    return tuple(map(_illustrating, images.strips[:1]))


def _illustrating(strip: ImageStrip) -> ImageStrip:
    return strip._replace(note=f"{strip.note}. An illustration, not evidence.")


def _packaged(name: str) -> str:
    return files("failmodes.analysis.report").joinpath(name).read_text(encoding="utf-8")
