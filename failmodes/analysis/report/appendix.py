"""The appendix of a report: what was tested, for auditors, as one section that prints as a whole."""

from collections.abc import Iterator, Sequence

import duckdb

from failmodes.analysis.evaluations.comparability import protocol_words
from failmodes.analysis.evaluations.selection import Selection, corruption_names, read_metrics
from failmodes.analysis.judging.claims import ClaimRow, claim_table
from failmodes.analysis.judging.findings.collection import Findings
from failmodes.analysis.judging.seal import SealCheck, seal_blocks
from failmodes.analysis.render.blocks import EMPTY, Block, Section, Sentence, Table, TableCell, text_table
from failmodes.analysis.render.formatting import (
    capitalize_first,
    format_interval,
    format_number,
    format_severity,
    join_names,
    precision,
)
from failmodes.analysis.report.sections import UNKNOWN, model_provenance, shared_provenance
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.model_accuracy import model_accuracies
from failmodes.warehouse.metrics.metric import known_metrics
from failmodes.warehouse.schema import CLEAN

NO_PROOF = (
    "This appendix lists what was tested, as the results state it. It is no proof of conformity with a law or a "
    "standard, and no audit: nobody attests the data, the labels, the clocks or that other tests were not left out."
)
ON_CLEAN = ("ece", "worst_class_accuracy")  # metrics beside accuracy


def appendix(
    con: duckdb.DuckDBPyConnection, selection: Selection, findings: Findings, claims: Sequence[ClaimRow],
    seals: Sequence[SealCheck], number: int,
) -> Section:  # fmt: skip
    """Data, protocol, corruptions, metrics with intervals, limits, verdicts, hashes and versions of a selection."""
    of_part = [row for row in claims if row.evaluation_id in (None, *selection.ids)]
    verdicts: list[Block] = [claim_table(of_part)] if of_part else [Sentence("The study states no claims.")]
    sealed = seal_blocks(seals) or [Sentence("Claims were not sealed before the run.", "note")]
    limits = [Sentence(f"{limit.sentence} {limit.detail}", "item") for limit in findings.limitations]
    left_out = [Sentence(sentence, "item") for sentence in selection.exclusions]
    parts: list[tuple[str, Sequence[Block]]] = [
        ("Data", [text_table("Data", ("Setting", "Value"), shared_provenance(con, selection))]),
        ("Protocol and deviations", [_protocols(selection)]),
        ("Corruptions", [_corruptions(con, selection)]),
        ("Metrics", [_metrics(con, selection)]),
        ("Limits", [*limits, *left_out] or [Sentence("None were found.")]),
        ("Verdicts", [*verdicts, *sealed]),
        ("Hashes and versions", list(_hashes(con, selection))),
    ]
    sections = (Section(title, tuple(blocks)) for title, blocks in parts)
    return Section("Appendix: what was tested", (Sentence(NO_PROOF, "lead"), *sections), anchor=f"appendix-{number}")


def _protocols(selection: Selection) -> Table:
    rows = [(evaluation.label, protocol_words(evaluation.facts)) for evaluation in selection.evaluations]
    return text_table("Protocol", ("Model", "Protocol and each deviation"), rows)


def _corruptions(con: duckdb.DuckDBPyConnection, selection: Selection) -> Table:
    cells = con.execute(
        "select corruption, list_sort(list(distinct severity::double)) from shards "
        "where evaluation_id = any(?) and corruption <> ? group by corruption",
        [selection.ids, CLEAN],
    ).fetchall()
    severities = {corruption: join_names(map(format_severity, levels)) for corruption, levels in cells}
    rows = [
        (label, "no" if corruption in selection.averaged else "yes", severities.get(corruption, EMPTY))
        for corruption, label in corruption_names(con, selection).items()
    ]
    return text_table("Corruptions", ("Corruption", "Left out of means", "Severities"), rows)


def _metrics(con: duckdb.DuckDBPyConnection, selection: Selection) -> Table:
    """Accuracy in every condition, and two metrics of clean images, a column for each model."""
    names = corruption_names(con, selection)
    rows: dict[str, dict[str, TableCell]] = {}
    accuracies = {model.label_with_seeds: known for model, known in model_accuracies(con, selection).items()}
    for label, accuracy in accuracies.items():
        known = {"clean": accuracy.clean, f"mean over {selection.averaged_phrase}": accuracy.corrupted}
        known |= {names[corruption]: value for corruption, value in accuracy.by_corruption.items()}
        for condition, value in known.items():
            rows.setdefault(f"Accuracy, {condition}", {})[label] = _shown(value, "share")
    metrics = known_metrics()
    for row in read_metrics(con, selection.ids, ON_CLEAN).rows(named=True):
        if row["corruption"] == CLEAN and row["value"] is not None:
            metric, value = metrics[row["metric"]], Estimate(row["value"], row["low"], row["high"])
            title = f"{capitalize_first(metric.title)}, clean"
            rows.setdefault(title, {})[selection.labels[row["evaluation_id"]]] = _shown(value, metric.unit)
    columns = list(dict.fromkeys(label for cells in rows.values() for label in cells))
    lines = ((TableCell(name), *(cells.get(c, TableCell(EMPTY)) for c in columns)) for name, cells in rows.items())
    note = f"In percent, with intervals, on {selection.images}."
    return Table("Metrics", note, ("Metric and condition", *columns), tuple(lines))


def _shown(value: Estimate | None, unit: str) -> TableCell:
    if value is None:
        return TableCell(EMPTY)
    digits, scale = precision(unit)
    interval = "" if value.low is None else format_interval(value.low, value.high, digits, scale)
    return TableCell(format_number(scale * value.value, digits), interval)


def _hashes(con: duckdb.DuckDBPyConnection, selection: Selection) -> Iterator[Section]:
    """A table for each evaluation."""
    weights = dict(con.execute("select model_id, weights_id from models").fetchall())
    rows_hash = (
        "select evaluation_id, md5(string_agg(content_hash, '' order by content_hash)) from shards "
        "where evaluation_id = any(?) group by evaluation_id"
    )
    of_rows = dict(con.execute(rows_hash, [selection.ids]).fetchall())
    for evaluation in selection.evaluations:
        facts, made = evaluation.facts, dict(model_provenance(con, evaluation))
        rows = [
            ("Checkpoint", made["Checkpoint"]),
            ("Hash of the weights", weights.get(facts["model_id"]) or UNKNOWN),
            ("Model, evaluation", f"{facts['model_id']}, {evaluation.evaluation_id}"),
            ("Dataset, images, corrupted pixels", f"{facts['dataset_id']}, {facts['subset_id']}, {facts['source_id']}"),
            ("All result files (MD5 of their hashes)", of_rows[evaluation.evaluation_id]),
            ("Libraries", made["Libraries"]),
        ]
        yield Section(evaluation.label, (text_table(evaluation.label, ("What", "Value"), rows),))
