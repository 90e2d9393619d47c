"""Claims as rows: stored with what they were made from by whoever judges them, and read where that is still so."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from failmodes.analysis.claims.judged_claim import JudgedClaim
from failmodes.analysis.claims.judging import judge_given, judge_stored
from failmodes.analysis.derived_rows import derived_rows
from failmodes.analysis.findings.stored import due_findings, findings_fingerprint
from failmodes.analysis.statistics.shape_tables import open_with_shapes, store_derived
from failmodes.ingest.statements import Statement, stored_rows
from failmodes.warehouse.database.checks import refuse_broken_relations
from failmodes.warehouse.database.claim_tables import CLAIMS, STATED_CLAIMS
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.stated_claims import claim_rows, stored_claims
from failmodes.warehouse.hashing import identity_of

_IS_OURS = (
    "bool_and(verdict in ('supported', 'contradicted', 'inconclusive'))"  # whoever wrote a file may write rows too
)
METHOD = 2  # raise it when a sentence or a rule of claims changes, so that stored claims are judged again


@contextmanager
def open_with_claims(warehouse: Path, stated: Sequence[Statement] | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse to read, with current shapes, findings and claims: made and stored where they are out of date.

    Where they cannot be stored, this connection alone has them. It works in one thread, so that two reports are alike.

    Args:
        warehouse: the DuckDB file.
        stated: what the study claims now, in place of what the warehouse holds; None for that.

    Raises:
        StudyError: a claim of the study is not understood.
        WarehouseError: it is missing, in use, its tables do not fit together, or a cell is incomplete.
    """
    with open_warehouse(warehouse, one_thread=True) as con:
        refuse_broken_relations(con)
        if tables := due_findings(con) | _due_claims(con, stated):
            store_derived(warehouse, tables)
        yield con


def judged_claims(con: duckdb.DuckDBPyConnection) -> list[JudgedClaim]:
    """The claims that are stored, which `open_with_claims` makes current."""
    names = ", ".join(JudgedClaim._fields)
    rows = con.execute(f"select {names} from {CLAIMS.name} order by position").fetchall()
    return [JudgedClaim(*row) for row in rows]


def warehouse_claims(
    warehouse: Path, given: Sequence[Statement] = (), stated: Sequence[Statement] | None = None
) -> list[JudgedClaim]:
    """Claims judged: those that are given, which are not stored; else those of the study, which are.

    Args:
        warehouse: the DuckDB file.
        given: claims to judge now.
        stated: what the study claims now; None for what the warehouse holds.

    Raises:
        StudyError: a given claim is not understood, or names a model that was not evaluated.
        WarehouseError: the warehouse is missing, in use, or holds no evaluation that was run to the end.
    """
    if given:
        with open_with_shapes(warehouse) as con:
            return judge_given(con, given)
    with open_with_claims(warehouse, stated) as con:
        return judged_claims(con)


def _due_claims(con: duckdb.DuckDBPyConnection, stated: Sequence[Statement] | None) -> dict[str, pa.Table]:
    """The tables of claims that are out of date, made anew; the connection has them."""
    tables: dict[str, pa.Table] = {}
    claims = stored_claims(con)
    if stated is not None and stored_rows(stated) != claims:
        tables[STATED_CLAIMS.name] = claim_rows(stored_rows(stated))
        con.register(STATED_CLAIMS.name, tables[STATED_CLAIMS.name])
        claims = stored_claims(con)
    half, _, settings = findings_fingerprint(con).partition("-")
    fingerprint = f"{half}-{identity_of([settings, METHOD, claims])}"
    known = con.execute(f"select input_fingerprint, {_IS_OURS} from {CLAIMS.name} group by all").fetchall()
    if known != ([(fingerprint, True)] if claims else []):
        rows = [
            {**row._asdict(), "position": position, "input_fingerprint": fingerprint}
            for position, row in enumerate(judge_stored(con, claims), start=1)
        ]
        tables[CLAIMS.name] = derived_rows(rows, CLAIMS)
        con.register(CLAIMS.name, tables[CLAIMS.name])
    return tables
