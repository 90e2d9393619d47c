"""What a load has derived, as readers show it: findings, the first screen of a report, verdicts on claims."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from shlex import quote

import duckdb

from failmodes import __version__
from failmodes.analysis.evaluations.selection import Selection, select
from failmodes.analysis.judging.claims import ClaimRow, judge_claims, judge_stored
from failmodes.analysis.judging.findings.collection import Findings, collect
from failmodes.analysis.judging.findings.kind import all_kinds, read_findings
from failmodes.analysis.judging.judge import WORDS
from failmodes.analysis.judging.seal import SealCheck, checked_seals, claim_lines, read_seals
from failmodes.analysis.judging.statement import stored_rows
from failmodes.analysis.statistics.curve_shape import stored_settings
from failmodes.analysis.statistics.derived_rows import UNFIT
from failmodes.analysis.statistics.run_rows import read_run
from failmodes.analysis.statistics.shape_tables import are_ours, without_shapes
from failmodes.ingest.statements import AnyStatement
from failmodes.runtime.errors import WarehouseError
from failmodes.runtime.storage.files import StorePath
from failmodes.runtime.terminal import note, shown_path
from failmodes.warehouse.database.checks import refuse_broken_relations
from failmodes.warehouse.database.connection import fetch_first, open_warehouse
from failmodes.warehouse.database.tables import stored_claims
from failmodes.warehouse.database_schema import CLAIMS, FINDINGS, MAIN_FINDINGS, STATED_CLAIMS
from failmodes.warehouse.metrics.metric import Metric
from failmodes.warehouse.schema import OF_TABLE


@contextmanager
def open_current(warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a warehouse for readers of what a load derived.

    It works in one thread, so that results are reproducible to the last digit. A line says if another version of
    failmodes derived the results.

    Raises:
        WarehouseError: it is missing or in use, its tables are inconsistent, a cell is incomplete, or it lacks results
            that a load derives or holds others.
    """
    with open_warehouse(warehouse, one_thread=True) as con:
        refuse_broken_relations(con)
        unfit = "select evaluation_id from computed where name = 'shapes' and starts_with(input_hash, ?)"
        for (evaluation_id,) in con.execute(unfit, [UNFIT]).fetchall():
            read_run(con, evaluation_id)  # says why nothing could be derived
        again = f"`failmodes load {quote(str(shown_path(warehouse)))} --rebuild` derives them again"
        if without_shapes(con) or not (are_ours(con, stored_settings(con)) and _are_judged(con)):
            raise WarehouseError(f"{warehouse} lacks derived results, or holds some that no load derived: {again}")
        (version,) = fetch_first(con, "select failmodes_version from warehouse_info") or ("unknown",)
        if version != __version__:
            note(f"failmodes {version} derived the results of {warehouse}, this is {__version__}: {again}")
        yield con


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
    """Stored findings about the evaluations of a selection."""
    return collect(con, selection, read_findings(con, selection.ids))


def stored_main_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[str]:
    """The sentences of the first screen about all evaluations of a selection."""
    sentences = f"select sentence from {MAIN_FINDINGS.name} where evaluation_id = ? order by position"
    return [sentence for (sentence,) in con.execute(sentences, [selection.ids[0]]).fetchall()]


def warehouse_claims(
    warehouse: Path,
    requested: Sequence[AnyStatement] = (),
    stated: Sequence[AnyStatement] | None = None,
    metrics: Sequence[Metric] = (),
) -> list[ClaimRow]:
    """Judge the requested claims, or else those of the study.

    Args:
        warehouse: the DuckDB file.
        requested: claims to judge.
        stated: the current claims of the study; None for those in the warehouse.
        metrics: that claims may use, in addition to those of this package.

    Raises:
        StudyError: a requested claim is invalid, or its model was not evaluated.
        WarehouseError: the warehouse is missing, in use, or has no finished evaluation.
    """
    with open_current(warehouse) as con:
        return judge_claims(con, requested, metrics) if requested else claims_of(con, stated, metrics)


def claims_of(
    con: duckdb.DuckDBPyConnection, stated: Sequence[AnyStatement] | None = None, metrics: Sequence[Metric] = ()
) -> list[ClaimRow]:
    """The stored verdicts on the claims of a study; those on claims that no load has judged are made now.

    Args:
        con: the warehouse, see `open_current`.
        stated: the current claims of the study; None for those in the warehouse.
        metrics: that claims may use, in addition to those of this package.
    """
    if stated is not None and stored_rows(stated) != stored_claims(con):
        return judge_stored(con, [form for _, form in stored_rows(stated)], metrics)
    rows = con.execute(f"select {', '.join(ClaimRow._fields)} from {CLAIMS.name} order by position").fetchall()
    return [ClaimRow(*row) for row in rows]


def sealed_claims(
    warehouse: Path,
    stated: Sequence[AnyStatement] | None = None,
    results: "StorePath | None" = None,
    origin: str = "",
) -> list[SealCheck]:
    """The seals of a study's claims, each beside its claims today.

    Args:
        warehouse: the DuckDB file.
        stated: the current claims; None for those in the warehouse.
        results: the folder with the results. Default: that of the warehouse.
        origin: name of the file of the claims, if it is known.

    Raises:
        DamagedShardError, StorageError: see `read_seals`.
        WarehouseError: the warehouse cannot be read.
    """
    folder = warehouse.parent if results is None else results
    if stated is not None or not read_seals(folder):
        return checked_seals(folder, "claims", claim_lines(stated or ()), origin)
    with open_warehouse(warehouse, (STATED_CLAIMS.name,)) as con:
        return checked_seals(folder, "claims", [form for _, form in stored_claims(con)])


def _are_judged(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether there are findings, and every stored one and every verdict is one that failmodes could have stored."""
    select(con)  # says if no evaluation is finished
    return are_findings(con) and are_of_claims(con)


def are_findings(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether the table `findings` has rows, and only known kinds and verdicts: a file may be malicious.

    Tables of predictions may have nothing to judge.
    """
    known = (
        f"select coalesce(bool_and(kind = any($1) and verdict = any($2)), "
        f"(select bool_and(source_kind = $3) from evaluation_labels)) from {FINDINGS.name}"
    )
    return fetch_first(con, known, [list(all_kinds()), list(WORDS), OF_TABLE]) == (True,)


def are_of_claims(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether the table `claims` has valid verdicts of every claim, and of no other: a file may be malicious."""
    count = len(stored_claims(con))
    counts = fetch_first(
        con,
        "select count(distinct claim_number), "
        f"count(*) filter (not (verdict = any(?) and claim_number between 1 and ?)) from {CLAIMS.name}",
        [list(WORDS), count],
    )
    return counts == (count, 0)
