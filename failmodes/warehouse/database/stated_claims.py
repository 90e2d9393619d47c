"""What a study claims, as rows of the warehouse. What can be claimed is known elsewhere."""

from collections.abc import Sequence

import duckdb
import pyarrow as pa

from failmodes.warehouse.database.claim_tables import MOST_CLAIMS, STATED_CLAIMS

StatedClaim = tuple[str, str]  # in words, and as JSON


def claim_rows(claims: Sequence[StatedClaim]) -> pa.Table:
    """Claims in their order as rows of `stated_claims`; one that stands twice counts once."""
    rows = [
        {"position": place, "claim": claim, "statement": statement}
        for place, (claim, statement) in enumerate(dict.fromkeys(claims), start=1)
    ]
    return pa.Table.from_pylist(rows, schema=STATED_CLAIMS.arrow())


def stored_claims(con: duckdb.DuckDBPyConnection) -> list[StatedClaim]:
    """The claims that a warehouse holds, in their order."""
    query = f"select claim, statement from {STATED_CLAIMS.name} order by position limit ?"
    return con.execute(query, [MOST_CLAIMS]).fetchall()
