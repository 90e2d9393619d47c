"""What a study claims, in its own words: from its file into the warehouse. What can be claimed is known elsewhere."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from failmodes.warehouse.database.claim_tables import MOST_CLAIMS, STATED_CLAIMS
from failmodes.warehouse.errors import StudyError, shown
from failmodes.warehouse.storage.locations import default_location, read_toml

KEY = "claims"  # of a study file


def claims_of_studies(locations: Iterable[str | Path | None]) -> list[str] | None:
    """The claims of the study files among some locations; None where none of them is a study file.

    Args:
        locations: as for `find_results`.

    Raises:
        StudyError: a study cannot be read, or its claims are no list of texts.
    """
    paths = [Path(location) if location else default_location() for location in locations]
    studies = [path for path in paths if path.suffix == ".toml"]
    return [claim for path in studies for claim in claims_of_study(path)] if studies else None


def claims_of_study(path: Path) -> list[str]:
    """The claims of a study file, as they stand there; none where it has no such key.

    Raises:
        StudyError: it cannot be read, or its claims are no list of texts.
    """
    claims = read_toml(path).get(KEY, [])
    if not isinstance(claims, list) or not all(isinstance(claim, str) for claim in claims):
        raise StudyError(f'{path}: {KEY}: expected a list of texts such as ["fog costs most"] (given: {shown(claims)})')
    if len(claims) > MOST_CLAIMS:
        raise StudyError(f"{path}: {KEY}: {len(claims):,} claims are given: expected at most {MOST_CLAIMS}")
    return [" ".join(claim.split()) for claim in claims]


def claim_rows(claims: Sequence[str]) -> pa.Table:
    """Claims in their order as rows of `stated_claims`; one that stands twice counts once."""
    rows = [{"position": place, "claim": claim} for place, claim in enumerate(dict.fromkeys(claims), start=1)]
    return pa.Table.from_pylist(rows, schema=STATED_CLAIMS.arrow())


def stored_claims(con: duckdb.DuckDBPyConnection) -> list[str]:
    """The claims that a warehouse holds, in their order."""
    query = f"select claim from {STATED_CLAIMS.name} order by position limit ?"
    rows = con.execute(query, [MOST_CLAIMS]).fetchall()
    return [claim for (claim,) in rows]
