"""What a load derives and stores: shapes, findings, the first screen of a report, verdicts on claims."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import duckdb

from failmodes.analysis.evaluations.selection import Selection, select
from failmodes.analysis.judging.claims import ClaimRow, judge_stored
from failmodes.analysis.judging.findings.correction import selection_findings
from failmodes.analysis.judging.findings.kind import Finding, read_findings
from failmodes.analysis.judging.main_findings import main_findings
from failmodes.analysis.judging.stored import are_findings, are_of_claims
from failmodes.analysis.statistics.curve_shape import stored_settings
from failmodes.analysis.statistics.derived_rows import DerivedTable, evaluation_inputs, replace_rows
from failmodes.analysis.statistics.run_rows import read_run
from failmodes.analysis.statistics.shape_tables import due_shapes, update_shapes
from failmodes.runtime.errors import StudyError, WarehouseError, translated
from failmodes.runtime.hashing import identity_of, source_hash
from failmodes.warehouse.database.checks import refuse_broken_relations
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.stored_metrics import OF_USERS, read_aim, set_aim
from failmodes.warehouse.database.tables import StatedClaim, stored_claims
from failmodes.warehouse.database.updates import Derivation, changed_database
from failmodes.warehouse.database_schema import CLAIMS, FINDINGS, MAIN_FINDINGS, PUBLISHED_SHAPES
from failmodes.warehouse.metrics.abstention import checked_aim
from failmodes.warehouse.metrics.metric import Metric

SOURCES = (  # packages whose code determines the statements
    "failmodes.analysis",
    "failmodes.analysis.statistics",
    "failmodes.analysis.judging",
    "failmodes.analysis.judging.findings",
    "failmodes.ingest",
)
DERIVED = ["shapes", PUBLISHED_SHAPES.name, FINDINGS.name, CLAIMS.name]  # names in `computed`

_SHIFT_INPUTS = """
select shifts.evaluation_id, shifts.shift, shifts.clean_evaluation_id, evaluations.model_id, shards.evaluation_id,
    shards.content_hash
from shifts
inner join evaluations on shifts.evaluation_id = evaluations.evaluation_id
inner join shards
    on shards.evaluation_id in (shifts.evaluation_id, shifts.clean_evaluation_id) and shards.corruption = 'none'
order by all
"""


def due(con: duckdb.DuckDBPyConnection) -> list[str]:
    """The derived tables that a load would recompute; none if the tables are inconsistent."""
    try:
        refuse_broken_relations(con)
    except WarehouseError:
        return []
    made = (_findings_made(con, _selections(con)), _claims_made(con, stored_claims(con)))
    return due_shapes(con) + [table.name for table in made if table.due(con)]


def store(
    con: duckdb.DuckDBPyConnection, metrics: Sequence[Metric] = (), settings: Mapping[str, Any] | None = None
) -> None:
    """Recompute derived tables that are not current, on a connection that may write.

    Incomplete evaluations, and warehouses with inconsistent tables, are skipped: reading them raises an error.

    Args:
        con: the warehouse.
        metrics: that claims may use, in addition to those of this package.
        settings: of the shapes, by the names of `ShapeSettings`; stored settings are kept otherwise.
    """
    try:
        refuse_broken_relations(con)
    except WarehouseError:
        return
    update_shapes(con, replace(stored_settings(con), **(settings or {})))
    _update_findings(con, _selections(con))
    _update_claims(con, metrics)


DERIVATION = Derivation(due, store)


def change_settings(warehouse: Path, changed: Mapping[str, Any]) -> None:
    """Recompute and store everything with other settings of the shapes, unless these are the stored ones.

    Raises:
        WarehouseError: the warehouse is missing, in use, or not written by failmodes.
        StorageError: it cannot be written.
    """
    with open_warehouse(warehouse) as con:
        refuse_broken_relations(con)
        former = stored_settings(con)
    if replace(former, **changed) != former:
        with changed_database(warehouse, keeps_all=True) as con:
            store(con, settings=changed)


def change_thresholds(warehouse: Path, evaluation_ids: Sequence[str], changed: Mapping[str, Any]) -> None:
    """Choose and store the thresholds of evaluations for another aim, and what is derived from them.

    Args:
        warehouse: the DuckDB file.
        evaluation_ids: of the warehouse.
        changed: fields of `Aim`; those of the stored one are kept otherwise.

    Raises:
        StudyError: an unknown score, or a target out of range.
        WarehouseError: the warehouse is missing, in use, or not written by failmodes.
        StorageError: it cannot be written.
    """
    with open_warehouse(warehouse) as con:
        former = {key: read_aim(con, key) for key in evaluation_ids}
    with translated(ValueError, lambda error: StudyError(str(error))):
        aims = {key: checked_aim(**(aim._asdict() | dict(changed))) for key, aim in former.items()}
    if aims != former:
        with changed_database(warehouse, keeps_all=True) as con:
            for key, aim in aims.items():
                set_aim(con, key, aim)
            store(con)


def derive_again(warehouse: Path) -> None:
    """Derive and store all results of a warehouse again, from its rows alone; settings of the shapes are kept.

    Raises:
        WarehouseError: the warehouse is missing, in use, or not written by failmodes.
        StorageError: it cannot be written.
    """
    with changed_database(warehouse) as con:
        con.execute("delete from computed where name = any(?)", [DERIVED])
        store(con)


def _update_findings(con: duckdb.DuckDBPyConnection, selections: Sequence[Selection]) -> None:
    """Judge what has changed since the last load, except evaluations that are not whole, and correct all again."""
    made = _findings_made(con, selections)
    due, are_ours = made.due(con), are_findings(con)
    if not due and are_ours:
        return
    judged, judged_selections = list[Finding](), list[Selection]()
    unfit = list[str]()
    for selection in selections:
        whole = [evaluation for evaluation in selection.evaluations if _is_whole(con, evaluation.evaluation_id)]
        if len(whole) < len(selection.evaluations):
            unfit = [""]
        if whole:
            judged_selections.append(replace(selection, evaluations=tuple(whole)))
            current = [evaluation_id for evaluation_id in judged_selections[-1].ids if evaluation_id not in due]
            known = read_findings(con, current) if are_ours else []
            judged += selection_findings(con, judged_selections[-1], known)
    replace_rows(con, FINDINGS, ({**finding._asdict(), "position": place} for place, finding in enumerate(judged, 1)))
    main = [
        {"evaluation_id": selection.ids[0], "sentence": sentence}
        for selection in judged_selections
        for sentence in main_findings(con, selection)
    ]
    replace_rows(con, MAIN_FINDINGS, ({**row, "position": place} for place, row in enumerate(main, 1)))
    made.record(con, unfit)


def _is_whole(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> bool:
    try:
        read_run(con, evaluation_id)
    except WarehouseError:
        return False
    return True


def _findings_made(con: duckdb.DuckDBPyConnection, selections: Sequence[Selection]) -> DerivedTable:
    """Findings about each evaluation, and, with the key "", about all of them."""
    inputs, settings = evaluation_inputs(con), asdict(stored_settings(con))
    own = {
        evaluation.evaluation_id: identity_of(
            [
                settings,
                evaluation.label,
                read_aim(con, evaluation.evaluation_id),
                inputs[evaluation.evaluation_id],
                selection.corruptions,
                selection.extras,
                selection.shared_cells,
            ]
        )
        for selection in selections
        for evaluation in selection.evaluations
    }
    together = [
        [(evaluation.facts["is_baseline"], own[evaluation.evaluation_id]) for evaluation in selection.evaluations]
        for selection in selections
    ]
    every = {"": identity_of(together), **own} if selections else {}
    return DerivedTable(FINDINGS.name, source_hash(*SOURCES), every)


def _selections(con: duckdb.DuckDBPyConnection) -> list[Selection]:
    """The selections of the warehouse; none without a finished evaluation."""
    try:
        return select(con)
    except WarehouseError:
        return []


def _update_claims(con: duckdb.DuckDBPyConnection, metrics: Sequence[Metric]) -> None:
    """Judge the study's claims if the stored verdicts are not current."""
    claims = stored_claims(con)
    made = _claims_made(con, claims)
    if not made.due(con) and are_of_claims(con):
        return
    judged, unfit = list[ClaimRow](), list[str]()
    try:
        judged = judge_stored(con, [form for _, form in claims], metrics) if claims else []
    except WarehouseError:
        unfit = [""]
    replace_rows(con, CLAIMS, ({**row._asdict(), "position": place} for place, row in enumerate(judged, start=1)))
    made.record(con, unfit)


def _claims_made(con: duckdb.DuckDBPyConnection, claims: Sequence[StatedClaim]) -> DerivedTable:
    columns = "name, evaluation_id, definition, input_hash"  # the order of rows differs between readers and writers
    of_users = f"select {columns} from computed where starts_with(name, ?) order by all"
    metrics = con.execute(of_users, [OF_USERS]).fetchall()
    of_shifts = con.execute(_SHIFT_INPUTS).fetchall()
    inputs = evaluation_inputs(con)
    aims = [read_aim(con, key) for key in inputs]
    made_from = [claims, metrics, asdict(stored_settings(con)), inputs, of_shifts, aims]
    return DerivedTable(CLAIMS.name, source_hash(*SOURCES), {"": identity_of(made_from)} if claims else {})
