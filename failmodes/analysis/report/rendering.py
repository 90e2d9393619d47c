"""The report: first screen, charts with their strongest findings, and Details, in one self-contained HTML file."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import chain, groupby
from pathlib import Path
from typing import NamedTuple

import duckdb
import vl_convert
from markupsafe import Markup

from failmodes.analysis.charts.style.theme import DARK, DARK_COLORS, LIGHT, page_variables, vega_config
from failmodes.analysis.evaluations.selection import Selection, corruption_labels, has_clean, select
from failmodes.analysis.evaluations.trained_models import trained_models
from failmodes.analysis.images.strips import viewer
from failmodes.analysis.judging.claims import ClaimRow, claim_groups, claim_table, counts_sentence
from failmodes.analysis.judging.findings.collection import Findings
from failmodes.analysis.judging.findings.correction import MAIN_ERRORS
from failmodes.analysis.judging.findings.headlines import Headline
from failmodes.analysis.judging.findings.kind import all_kinds
from failmodes.analysis.judging.main_findings import ERROR_RATES
from failmodes.analysis.judging.seal import SealCheck, seal_blocks
from failmodes.analysis.judging.stored import (
    claims_of,
    findings_of,
    open_current,
    sealed_claims,
    stored_main_findings,
)
from failmodes.analysis.judging.wording import tally_verdicts
from failmodes.analysis.render.blocks import (
    EMPTY,
    Block,
    Chart,
    Gallery,
    ImageStrip,
    Section,
    Sentence,
    Table,
    TableCell,
    text_table,
)
from failmodes.analysis.render.formats.html import environment
from failmodes.analysis.render.formatting import (
    MAX_LISTED,
    format_count,
    format_interval,
    format_number,
    format_percent,
    join_names,
    lower_label,
)
from failmodes.analysis.report.abstention import abstention_blocks
from failmodes.analysis.report.appendix import appendix
from failmodes.analysis.report.report_charts import (
    FINDINGS,
    FIRST_SCREEN,
    MORE_CHARTS,
    TOPICS,
    VALUE_CURVES,
    draw_charts,
)
from failmodes.analysis.report.report_tables import pair_tables, published_tables, tables
from failmodes.analysis.report.sections import (
    CORRUPTION,
    MODEL,
    Pair,
    absent_sentence,
    comparison_sections,
    gallery,
    has_pixels,
    model_provenance,
    pairs_by_selection,
    shared_provenance,
    shift_limitations,
    shift_sections,
    slice_sections,
)
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.level_axes import level_axes
from failmodes.analysis.statistics.model_accuracy import best_and_worst, left_out_sentence, model_accuracies
from failmodes.analysis.statistics.model_pairs import LEVEL
from failmodes.ingest.statements import AnyStatement
from failmodes.runtime.progress import counted
from failmodes.runtime.storage.files import StorePath
from failmodes.runtime.terminal import note
from failmodes.warehouse.glossary import glossary
from failmodes.warehouse.metrics.metric import Metric
from failmodes.warehouse.output_files import check_output, write_output

REPORT_FILE = "report.html"
DRAWN = (FIRST_SCREEN, *(name for topic in TOPICS for name in topic.charts), *MORE_CHARTS)
# Titles of charts whose finding stands above the curves
BELOW_CURVES = {"accuracy": "Accuracy by corruption", VALUE_CURVES: "Accuracy by value of the level"}
BESIDE_SHIFTS = "accuracy"  # the section that natural shifts follow
UNDER_IMAGES = "Under each: the predicted class and its confidence. An illustration, not evidence."
MAX_MODELS = 12  # whose numbers the first screen has
MAX_NAMED = 8  # corruptions named in the first line; of more, it gives the number
READING = (
    "Intervals are in square brackets; that of a difference between two models has the level of its verdict, "
    f"{format_percent(LEVEL, 0)}. For each kind and model, the strongest finding is listed; the table findings of the "
    "warehouse has all of them. Inconclusive: the data do not decide. Curvature: mean height of a curve above the "
    "straight line from clean to the last severity, as a share of the drop; a curve above 0 drops late, below 0 early."
)


class ReportPart(NamedTuple):
    """The part of a report on one selection: title, first screen (text and chart), sections."""

    title: str
    lead: str
    findings: tuple[Block, ...]
    ranking: tuple[Block, ...]
    sections: tuple[Section, ...]


def write_report(
    warehouse: Path,
    output: Path | None = None,
    *,
    pairs: Sequence[Sequence[str]] = (),
    claims: Sequence[AnyStatement] | None = None,
    metrics: Sequence[Metric] = (),
    results: "StorePath | None" = None,
    has_appendix: bool = False,
    force: bool = False,
) -> Path:
    """Write the report of a warehouse, with current shapes, findings and claims (see `open_current`).

    Args:
        warehouse: the DuckDB file.
        output: the HTML file. Default: report.html next to the warehouse.
        pairs: pairs of model names to compare. Default: the two models, if there are exactly two;
            of more, each with the baseline, if the study names one.
        claims: the current claims of the study; None: those of the warehouse.
        metrics: custom metrics that claims may name.
        results: the folder with the results, and seals of claims. Default: that of the warehouse.
        has_appendix: whether it ends with what was tested, for auditors.
        force: see `check_output`.

    Returns:
        Path of the report.

    Raises:
        StudyError: a pair does not name models of this warehouse or cannot be compared, or a claim is invalid.
        WarehouseError: the warehouse is missing, in use or empty.
        StorageError: the report could not be written.
    """
    path = output or warehouse.parent / REPORT_FILE
    check_output(path, (".html",), force=force)
    with open_current(warehouse) as con:
        judged = claims_of(con, claims, metrics)
        page = render(con, warehouse, pairs, judged, sealed_claims(warehouse, claims, results), has_appendix)
    write_output(path, page.encode(), (".html",), force=force)
    return path


def render(
    con: duckdb.DuckDBPyConnection,
    path: Path,
    pairs: Sequence[Sequence[str]] = (),
    claims: Sequence[ClaimRow] = (),
    seals: Sequence[SealCheck] = (),
    has_appendix: bool = False,
) -> str:
    """The report as HTML, with stored findings and the given verdicts on claims and their seals."""
    selections = select(con)
    for sentence in dict.fromkeys(chain.from_iterable(selection.exclusions for selection in selections)):
        note(sentence)
    compared = pairs_by_selection(con, path, selections, pairs)
    parts = [
        report_part(con, selection, pairs_of_part, claims, number, seals, has_appendix)
        for number, (selection, pairs_of_part) in enumerate(zip(selections, compared, strict=True), start=1)
    ]
    title = f"Failure report: {format_count(len(parts), 'set')} of evaluations"
    return environment().get_template("template.html.j2").render(
        title=parts[0].title if len(parts) == 1 else title,
        parts=parts,
        style=Markup(page_variables() + viewer("css") + _packaged("report.css")),
        script=Markup(viewer("js") + _packaged("report.js")),
        viewer=Markup(viewer("html")),
        themes={"light": vega_config(LIGHT), "dark": vega_config(DARK), "dark_colors": DARK_COLORS},
        library=Markup(vega_bundle()),
    )  # fmt: skip


def report_part(
    con: duckdb.DuckDBPyConnection,
    selection: Selection,
    pairs: Sequence[Pair] = (),
    claims: Sequence[ClaimRow] = (),
    number: int = 1,
    seals: Sequence[SealCheck] = (),
    has_appendix: bool = False,
) -> ReportPart:
    """First screen, sections and Details of one selection.

    Args:
        con: the warehouse.
        selection: of the part.
        pairs: models to compare.
        claims: verdicts on claims, of all parts.
        number: of the part, from 1; the first has claims without an evaluation, and the glossary.
        seals: of the claims.
        has_appendix: whether it ends with what was tested, for auditors.
    """
    labels = [model.label for model in trained_models(selection.evaluations)]
    models = join_names(labels) if len(labels) <= MAX_LISTED else format_count(len(labels), "model")
    verb = "fail" if len(labels) > 1 else "fails"
    shown = best_and_worst(con, selection)
    findings = findings_of(con, selection)
    leads = [Sentence(sentence, "lead") for sentence in stored_main_findings(con, selection)]
    is_long = len(labels) > MAX_LISTED  # a table that would move what it says off the screen
    images = gallery(con, shown)
    left_out = left_out_sentence(shown)
    over_values = [VALUE_CURVES] * bool(level_axes(con, selection))
    charts, missing = draw_charts(con, selection, counted("charts", [*DRAWN, *over_values]))
    drawn = {chart.name: chart for chart in charts}
    sections: list[Section] = []
    for topic in TOPICS:
        beside_curves = over_values if topic.key == "accuracy" else []
        charts_of = _charts(drawn, [*topic.charts[:1], *beside_curves, *topic.charts[1:]])
        titles = " ".join(chart.finding for chart in charts_of)
        charts_of = (*charts_of[:1], *(chart._replace(finding=BELOW_CURVES[chart.name]) for chart in charts_of[1:]))
        blocks: list[Block] = [*charts_of, *_strongest(findings, topic.key, titles)]
        blocks += [images] if topic.key == "predictions" and (images.strips or has_pixels(selection)) else []
        blocks += abstention_blocks(con, shown) if topic.key == "abstention" else []
        sections += [Section(topic.title, tuple(blocks), anchor=f"{topic.key}-{number}")] if blocks else []
        sections += shift_sections(con, selection, number) if topic.key == BESIDE_SHIFTS else []
    compared = [
        comparison_sections(con, selection, pair, f"comparison-{number}-{place}", is_only=len(pairs) == 1)
        for place, pair in enumerate(pairs, start=1)
    ]
    stated = claims_sections(selection, claims, number, seals)
    tested = [appendix(con, selection, findings, claims, seals, number)] if has_appendix else []
    more = (Section(chart.finding, (chart,), is_folded=True) for chart in _charts(drawn, MORE_CHARTS))
    not_drawn = [Sentence(f"Not drawn: {'; '.join(missing)}.", "note")] if missing else []
    of_shifts = map(Sentence, shift_limitations(con, selection))
    limits = (
        (Sentence(limitation.sentence), Sentence(limitation.detail, "note")) for limitation in findings.limitations
    )
    details = [
        _folded("Findings", f"findings-{number}", Sentence(READING, "note"), *_findings(findings.headlines)),
        _folded("Further charts", f"charts-{number}", *more, *not_drawn),
        *(behind for _, behind in compared),
        *stated[1:],
        _folded("Tables", f"tables-{number}", *_tables(con, selection)),
        _folded("Limitations", f"limits-{number}", *chain.from_iterable(limits), *of_shifts),
        _folded("How this report was made", f"making-{number}", *_making(con, selection)),
        *([_folded("Glossary", "glossary", _glossary())] if number == 1 else []),
    ]
    sections += [*slice_sections(con, selection, number), *(section for section, _ in compared), *stated[:1]]
    return ReportPart(
        title=f"How {models} {verb} on {selection.shared['dataset_label']}",
        lead=f"{format_count(selection.image_count, 'image')}, {_conditions(con, selection)}.{left_out}",
        findings=(*map(Sentence, dict.fromkeys(finding.sentence for finding in findings if finding.kind == "warning")),
                 *(leads if is_long else ()),
                 *_numbers(con, selection),
                 *(() if is_long else leads),
                 *(Sentence(sentence, "note") for sentence in (*selection.exclusions, absent_sentence(con, selection))
                   if sentence),
                 Sentence(ERROR_RATES, "note")),
        ranking=(*_charts(drawn, [FIRST_SCREEN]), *_strip(con, findings, images)),
        sections=(*sections, _folded("Details", f"details-{number}", *details), *tested),
    )  # fmt: skip


def _conditions(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Where models were evaluated: "clean and under fog and contrast"."""
    names = corruption_labels(con)
    corruptions = format_count(len(selection.corruptions), "corruption")
    if len(selection.corruptions) <= MAX_NAMED:
        corruptions = join_names(lower_label(names[c]) for c in selection.corruptions)
    clean = ["clean"] * has_clean(con, selection)
    return " and ".join([*clean, *([f"under {corruptions}"] if selection.corruptions else [])])


def claims_sections(
    selection: Selection, claims: Sequence[ClaimRow], number: int = 1, seals: Sequence[SealCheck] = ()
) -> list[Section]:
    """Claims about a selection's evaluations: the section, and its part of Details; empty without claims.

    Args:
        selection: of the part.
        claims: verdicts on claims, of all parts.
        number: of the part; the first also has claims without an evaluation.
        seals: of the claims.
    """
    ids = [*selection.ids, *([None] if number == 1 else [])]
    rows = [row for row in claims if row.evaluation_id in ids]
    if not rows:
        return []
    groups = claim_groups(rows)
    table = claim_table(rows)
    behind: list[Block] = [Sentence(row.sentence, "item", row.query) for row in rows]
    if max(map(len, groups)) > MAX_LISTED:  # one row per claim; Details has all rows
        behind.insert(0, table)
        tallies = (TableCell(tally_verdicts([row.verdict for row in group])) for group in groups)
        lines = tuple((tally, TableCell(group[0].claim)) for group, tally in zip(groups, tallies, strict=True))
        table = Table("Claims", table.note, ("Verdicts", "Claim"), lines, texts=("Claim",))
    return [
        Section("Claims", (Sentence(counts_sentence(rows)), table, *seal_blocks(seals)), anchor=f"claims-{number}"),
        Section("Claims: sentences and queries", tuple(behind), is_folded=True),
    ]


def _folded(title: str, anchor: str, *blocks: Block) -> Section:
    return Section(title, blocks, is_folded=True, anchor=anchor)


def _charts(drawn: Mapping[str, Chart], names: Iterable[str]) -> tuple[Chart, ...]:
    return tuple(drawn[name] for name in names if name in drawn)


def _strongest(findings: Findings, key: str, titles: str) -> list[Sentence]:
    """The first conclusive finding of a section that is not on the first screen, and one of another kind or model.

    Findings in the titles of its charts are skipped.
    """
    kinds = all_kinds()
    models = {finding.sentence: finding.evaluation_id for finding in findings}
    sentences = [
        headline
        for headline in findings.headlines
        if kinds[headline.kind].section == key
        and headline.verdict != "inconclusive"
        and headline.kind not in MAIN_ERRORS
        and not kinds[headline.kind].is_condition
        and (headline.sentence.rpartition(" (")[0] or headline.sentence) not in titles
    ]

    def differences(other: Headline) -> int:
        return (other.kind != sentences[0].kind) + (models.get(other.sentence) != models.get(sentences[0].sentence))

    return [
        Sentence(sentence.sentence)
        for sentence in [*sentences[:1], *sorted(sentences[1:], key=differences, reverse=True)[:1]]
    ]


def _findings(headlines: Sequence[Headline]) -> Iterator[Section]:
    """Findings by section, with queries."""
    for key, title in FINDINGS.items():
        of_section = (headline for headline in headlines if all_kinds()[headline.kind].section == key)
        items = tuple(Sentence(headline.text, "item", headline.query) for headline in of_section)
        if items:
            yield Section(title, items)


def _tables(con: duckdb.DuckDBPyConnection, selection: Selection) -> Iterator[Section]:
    """All tables, folded; grouped by model if there are many."""
    groups = [*tables(con, selection), *published_tables(con, selection), *pair_tables(con, selection)]
    is_grouped = len(selection.ids) > MAX_LISTED
    for model, group in groupby(groups, key=lambda table: table.model if is_grouped else ""):
        folded = tuple(Section(table.caption, (table,), is_folded=True) for table in group)
        yield from [Section(model, folded, is_folded=True)] if model else folded


def _making(con: duckdb.DuckDBPyConnection, selection: Selection) -> Iterator[Block]:
    yield Sentence(selection.source_line, "note")
    facts = [("Dataset, images and settings", shared_provenance(con, selection))]
    facts += [(evaluation.label, model_provenance(con, evaluation)) for evaluation in selection.evaluations]
    for title, rows in facts:
        yield Section(title, (text_table(title, ("Setting", "Value"), rows),), is_folded=True)


def _glossary() -> Table:
    rows = ((term.term, term.meaning, term.formula, term.source, term.column) for term in glossary())
    return text_table("Glossary", ("Term", "Meaning", "Formula", "Source", "Column"), rows)


def _numbers(con: duckdb.DuckDBPyConnection, selection: Selection) -> Iterator[Table]:
    """Accuracy of up to MAX_MODELS models on clean and on corrupted images, and the drop between them, where known."""
    accuracies = {model: known for model, known in model_accuracies(con, selection).items() if known.overall}
    known = [(accuracy.clean, accuracy.corrupted) for accuracy in accuracies.values()]
    has_clean, has_mean = (any(estimates) for estimates in zip(*known, strict=True)) if known else (False, False)
    columns = ["Model", *["Clean"] * has_clean, *["Corrupted"] * has_mean, *["Drop"] * (has_clean and has_mean)]
    rows = []
    for model, accuracy in accuracies.items():
        cells = {
            "Model": TableCell(f"{model.label_with_seeds}{' (baseline)' * bool(model.runs[0].facts['is_baseline'])}"),
            "Clean": _with_interval(accuracy.clean),
            "Corrupted": _with_interval(accuracy.corrupted),
            "Drop": TableCell(EMPTY),
        }
        if accuracy.clean and accuracy.corrupted:
            cells["Drop"] = TableCell(format_number(100 * (accuracy.clean.value - accuracy.corrupted.value)))
        rows.append(tuple(cells[column] for column in columns))
    if rows and len(accuracies) <= MAX_MODELS:
        averaged = f", corrupted: mean over {format_count(len(selection.averaged), 'corruption')}" * has_mean
        note = f"Accuracy in percent{averaged}{'; drop in points' * (has_clean and has_mean)}."
        yield Table("Accuracy", note, tuple(columns), tuple(rows))


def _with_interval(accuracy: Estimate | None) -> TableCell:
    if accuracy is None:
        return TableCell(EMPTY)
    return TableCell(format_number(100 * accuracy.value), format_interval(accuracy.low, accuracy.high))


def _strip(con: duckdb.DuckDBPyConnection, findings: Findings, images: Gallery) -> Iterator[ImageStrip]:
    """The image strip of the first screen: under the largest drop, else the first stored one."""
    names = corruption_labels(con)
    drops = [
        (finding.value, finding.model_label, names.get(finding.corruption or "", ""))
        for finding in findings
        if finding.kind == "largest_drop" and finding.value is not None
    ]
    (_, label, corruption) = max(drops, default=(0.0, "", ""))
    wanted = (label, corruption)
    labels = [*zip(images.labels.get(MODEL, ()), images.labels.get(CORRUPTION, ()), strict=True)]
    for strip in images.strips[labels.index(wanted) if wanted in labels else 0 :][:1]:
        yield strip._replace(note=f"{strip.note}. {UNDER_IMAGES}")


@cache
def vega_bundle() -> str:
    """Vega, Vega-Lite and vega-embed in one script, after their license; takes more than a second."""
    text = _packaged("vega_license.txt")
    return f"/*!\n{text}*/\n{vl_convert.javascript_bundle(snippet='window.vegaEmbed = vegaEmbed;')}"


def _packaged(name: str) -> str:
    return files("failmodes.analysis.report").joinpath(name).read_text(encoding="utf-8")
