"""Findings as rows: stored by a report with what they were made from, and read where that is still so."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import duckdb
import pyarrow as pa

from failmodes.analysis.derived_rows import derived_rows
from failmodes.analysis.judging.findings.collection import Findings, collect
from failmodes.analysis.judging.findings.kind import Finding
from failmodes.analysis.judging.findings.registry import selection_findings
from failmodes.analysis.selection import Selection, select
from failmodes.analysis.statistics.shape_tables import METHOD as SHAPE_METHOD
from failmodes.analysis.statistics.shape_tables import due_shapes, open_with_shapes, stored_settings
from failmodes.warehouse.database.fingerprints import input_fingerprint
from failmodes.warehouse.database.own_tables import FINDINGS
from failmodes.warehouse.hashing import identity_of
from failmodes.warehouse.schema_version import SCHEMA_VERSION

METHOD = 6  # raise it when a sentence or a rule changes, so that stored findings are judged again
NAMES = (  # that sentences use
    "select evaluation_id, model_label, model_name, training_seed, training_recipe from evaluation_labels order by all",
    "select corruption, corruption_label from corruptions order by all",
    "select dataset_id, class_index, class_name from classes order by all",
)


def due_findings(con: duckdb.DuckDBPyConnection) -> dict[str, pa.Table]:
    """The tables of shapes and findings that are out of date, made anew; the connection has them."""
    tables = due_shapes(con)
    for name, rows in tables.items():
        con.register(name, rows)  # hides the stored one
    fingerprint = findings_fingerprint(con)
    if tables or not _are_current(con, fingerprint):
        tables[FINDINGS.name] = findings_table(con, fingerprint)
        con.register(FINDINGS.name, tables[FINDINGS.name])
    return tables


def warehouse_findings(warehouse: Path) -> Findings:
    """Everything that is judged of all evaluations: as stored where that is current, else judged now and not stored."""
    with open_with_shapes(warehouse) as con:
        parts = [findings_of(con, selection) for selection in select(con)]
    return Findings(
        tuple(finding for part in parts for finding in part),
        tuple(headline for part in parts for headline in part.headlines),
        tuple(dict.fromkeys(limitation for part in parts for limitation in part.limitations)),
    )


def findings_of(con: duckdb.DuckDBPyConnection, selection: Selection) -> Findings:
    """Findings of one selection: as stored where that is current and all of its evaluations are in, else judged now."""
    found: Sequence[Finding] = []
    if _are_current(con, findings_fingerprint(con)):
        found = _read(con, selection)
    return collect(con, selection, found or selection_findings(con, selection))


def findings_fingerprint(con: duckdb.DuckDBPyConnection) -> str:
    """What findings are made from: the shards, the settings of the shapes, and the rules."""
    settings = {**asdict(stored_settings(con)), "method": SHAPE_METHOD, "findings": METHOD, "schema": SCHEMA_VERSION}
    metrics = con.execute("select name, evaluation_id, definition, input_hash from computed order by all").fetchall()
    names = [con.execute(query).fetchall() for query in NAMES]
    return input_fingerprint(con, settings | {"metrics": identity_of(metrics), "names": identity_of(names)})


def findings_table(con: duckdb.DuckDBPyConnection, fingerprint: str) -> pa.Table:
    """The rows of the table `findings`: everything that is judged of every selection."""
    found = [finding for selection in select(con) for finding in selection_findings(con, selection)]
    rows = [
        {**finding._asdict(), "position": position, "input_fingerprint": fingerprint}
        for position, finding in enumerate(found, start=1)
    ]
    return derived_rows(rows, FINDINGS)


def _are_current(con: duckdb.DuckDBPyConnection, fingerprint: str) -> bool:
    if not con.execute(
        "select 1 from duckdb_tables() where table_name = ? and not internal", [FINDINGS.name]
    ).fetchall():
        return False
    return con.execute(f"select distinct input_fingerprint from {FINDINGS.name}").fetchall() == [(fingerprint,)]


def _read(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    rows = con.execute(
        f"select {', '.join(Finding._fields)} from {FINDINGS.name} where evaluation_id = any(?) order by position",
        [selection.ids],
    ).fetchall()
    return [Finding(*row) for row in rows]
