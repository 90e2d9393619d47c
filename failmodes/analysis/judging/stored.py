"""Findings and judged claims as rows: stored at load, or recomputed for one connection if not current."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb

from failmodes.analysis.evaluations.connection_cache import read_once
from failmodes.analysis.evaluations.selection import Selection, select
from failmodes.analysis.judging.claims import ClaimRow, judge_claims, judge_stored
from failmodes.analysis.judging.findings.collection import Findings, collect
from failmodes.analysis.judging.findings.kind import Finding
from failmodes.analysis.judging.findings.registry import all_kinds, selection_findings
from failmodes.analysis.judging.statement import WORDS
from failmodes.analysis.statistics.curve_shape import stored_settings
from failmodes.analysis.statistics.derived_rows import Made, derived_rows, evaluation_inputs, replace_rows
from failmodes.analysis.statistics.run_rows import read_run
from failmodes.analysis.statistics.shape_tables import due_shapes, open_current, say_computed, update_shapes
from failmodes.ingest.statements import Statement, stored_rows
from failmodes.runtime.errors import WarehouseError
from failmodes.runtime.hashing import identity_of, source_hash
from failmodes.warehouse.database.checks import refuse_broken_relations
from failmodes.warehouse.database.connection import fetch_first, open_warehouse
from failmodes.warehouse.database.stored_metrics import OF_USERS
from failmodes.warehouse.database.tables import StatedClaim, claim_rows, stored_claims
from failmodes.warehouse.database.updates import Derivation, changed_database
from failmodes.warehouse.database_schema import CLAIMS, FINDINGS, STATED_CLAIMS
from failmodes.warehouse.metrics.metric import Metric

SOURCES = (  # packages whose code determines the statements
    "failmodes.analysis",
    "failmodes.analysis.statistics",
    "failmodes.analysis.judging",
    "failmodes.analysis.judging.findings",
    "failmodes.ingest",
)


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
    return due_shapes(con) + [one.name for one in made if one.due(con, stores=True)]


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
    update_shapes(con, replace(stored_settings(con), **(settings or {})), stores=True)
    _update_findings(con, _selections(con), stores=True)
    update_claims(con, metrics=metrics, stores=True)


DERIVATION = Derivation(due, store)


def change_settings(warehouse: Path, given: Mapping[str, Any]) -> None:
    """Recompute and store everything with other settings of the shapes, unless these are the stored ones.

    Raises:
        WarehouseError: the warehouse is missing, in use, or not written by failmodes.
        StorageError: it cannot be written.
    """
    with open_warehouse(warehouse) as con:
        refuse_broken_relations(con)
        former = stored_settings(con)
    if replace(former, **given) != former:
        with changed_database(warehouse, keeps_all=True) as con:
            store(con, settings=given)


def warehouse_findings(warehouse: Path) -> Findings:
    """All findings of a warehouse.

    Raises:
        WarehouseError: see `open_current`; or there is no finished evaluation.
    """
    with open_current(warehouse) as con:
        parts = [findings_of(con, selection) for selection in select(con)]
    return Findings(
        chain.from_iterable(parts),
        chain.from_iterable(part.headlines for part in parts),
        dict.fromkeys(limitation for part in parts for limitation in part.limitations),
    )


def findings_of(con: duckdb.DuckDBPyConnection, selection: Selection) -> Findings:
    """Findings of a selection of the warehouse: the stored ones if current, else recomputed for this connection."""
    _judge_findings(con)
    return collect(con, selection, _read_findings(con, selection.ids))


def warehouse_claims(
    warehouse: Path,
    given: Sequence[Statement] = (),
    stated: Sequence[Statement] | None = None,
    metrics: Sequence[Metric] = (),
) -> list[ClaimRow]:
    """Judge the given claims, or else those of the study.

    Args:
        warehouse: the DuckDB file.
        given: claims to judge.
        stated: the current claims of the study; None for those in the warehouse.
        metrics: that claims may use, in addition to those of this package.

    Raises:
        StudyError: a given claim is invalid, or its model was not evaluated.
        WarehouseError: the warehouse is missing, in use, or has no finished evaluation.
    """
    with open_current(warehouse) as con:
        if given:
            return judge_claims(con, given, metrics)
        update_claims(con, stated, metrics, stores=False)
        return judged_claims(con)


def judged_claims(con: duckdb.DuckDBPyConnection) -> list[ClaimRow]:
    """The rows of the table `claims`, which `update_claims` makes current."""
    rows = con.execute(f"select {', '.join(ClaimRow._fields)} from {CLAIMS.name} order by position").fetchall()
    return [ClaimRow(*row) for row in rows]


def update_claims(
    con: duckdb.DuckDBPyConnection,
    stated: Sequence[Statement] | None = None,
    metrics: Sequence[Metric] = (),
    *,
    stores: bool,
) -> None:
    """Judge the study's claims if the stored verdicts are not current.

    Args:
        con: the warehouse, with current shapes.
        stated: the current claims of the study; None for those in the warehouse.
        metrics: that claims may use, in addition to those of this package.
        stores: see `update_shapes`.
    """
    claims = stored_claims(con)
    if stated is not None and stored_rows(stated) != claims:
        replace_rows(con, STATED_CLAIMS, claim_rows(stored_rows(stated)), stores=stores)
        claims = stored_claims(con)
    made = _claims_made(con, claims)
    stored = (
        "select count(distinct claim_number), "
        f"count(*) filter (not (verdict = any(?) and claim_number between 1 and ?)) from {CLAIMS.name}"
    )
    complete = (len(claims), 0)
    if not made.due(con, stores=stores) and fetch_first(con, stored, [list(WORDS), len(claims)]) == complete:
        return
    forms, judged, unfit = [form for _, form in claims], list[ClaimRow](), list[str]()
    try:
        judged = judge_stored(con, forms, metrics) if forms else []
    except WarehouseError:
        if not stores:
            raise
        unfit = [""]
    rows = [{**row._asdict(), "position": position} for position, row in enumerate(judged, start=1)]
    replace_rows(con, CLAIMS, derived_rows(rows, CLAIMS), stores=stores)
    if stores:
        made.record(con, unfit)
    else:
        say_computed(con)


def _claims_made(con: duckdb.DuckDBPyConnection, claims: Sequence[StatedClaim]) -> Made:
    columns = "name, evaluation_id, definition, input_hash"  # the order of rows differs between readers and writers
    own = f"select {columns} from computed where starts_with(name, ?) order by all"
    metrics = con.execute(own, [OF_USERS]).fetchall()
    of_shifts = con.execute(_SHIFT_INPUTS).fetchall()
    made_from = [claims, metrics, asdict(stored_settings(con)), evaluation_inputs(con), of_shifts]
    return Made(CLAIMS.name, source_hash(*SOURCES), {"": identity_of(made_from)} if claims else {})


@read_once
def _judge_findings(con: duckdb.DuckDBPyConnection) -> None:
    if _update_findings(con, select(con), stores=False):
        say_computed(con)


def _update_findings(con: duckdb.DuckDBPyConnection, selections: Sequence[Selection], *, stores: bool) -> bool:
    """Judge everything if the stored findings are not current; a load leaves out evaluations that are not whole."""
    made = _findings_made(con, selections)
    ours = f"select bool_and(kind = any(?) and verdict = any(?)) from {FINDINGS.name}"  # a file may be malicious
    if not made.due(con, stores=stores) and fetch_first(con, ours, [list(all_kinds()), list(WORDS)]) == (True,):
        return False
    judged, unfit = list[Finding](), list[str]()
    for selection in selections:
        whole = [one for one in selection.evaluations if not stores or _is_whole(con, one.evaluation_id)]
        if len(whole) < len(selection.evaluations):
            unfit = [""]
        if whole:
            judged += selection_findings(con, replace(selection, evaluations=tuple(whole)))
    rows = [{**finding._asdict(), "position": position} for position, finding in enumerate(judged, start=1)]
    replace_rows(con, FINDINGS, derived_rows(rows, FINDINGS), stores=stores)
    if stores:
        made.record(con, unfit)
    return True


def _is_whole(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> bool:
    try:
        read_run(con, evaluation_id)
    except WarehouseError:
        return False
    return True


def _findings_made(con: duckdb.DuckDBPyConnection, selections: Sequence[Selection]) -> Made:
    inputs = evaluation_inputs(con)
    of_selections = [
        [[(one.label, inputs[one.evaluation_id]) for one in own.evaluations], own.corruptions, own.extras]
        for own in selections
    ]
    made_from = [asdict(stored_settings(con)), of_selections]
    return Made(FINDINGS.name, source_hash(*SOURCES), {"": identity_of(made_from)} if selections else {})


def _read_findings(con: duckdb.DuckDBPyConnection, evaluations: Collection[str]) -> list[Finding]:
    rows = con.execute(
        f"select {', '.join(Finding._fields)} from {FINDINGS.name} where evaluation_id = any($1) "
        "and (other_evaluation_id is null or other_evaluation_id = any($1)) order by position",
        [list(evaluations)],
    ).fetchall()
    return [Finding(*row) for row in rows]


def _selections(con: duckdb.DuckDBPyConnection) -> list[Selection]:
    """The selections of the warehouse; none without a finished evaluation."""
    try:
        return select(con)
    except WarehouseError:
        return []
