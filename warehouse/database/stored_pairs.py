"""Stored counts of pairs of evaluations, from what each answered in every cell."""

from collections import defaultdict
from collections.abc import Collection
from decimal import Decimal

import duckdb
import numpy as np
import pyarrow as pa

from failmodes.warehouse.database.tables import insert_by_definition, insert_rows
from failmodes.warehouse.measures.cells import decode_pattern
from failmodes.warehouse.measures.columns import OTHER, Row
from failmodes.warehouse.measures.pairs import CellAnswers, count_pairs
from failmodes.warehouse.measures.tables import PAIR_CELLS


def replace_pairs(con: duckdb.DuckDBPyConnection, due: Collection[str], evaluations: Collection[str]) -> None:
    """Count again every pair of which one is due, of evaluations of the same images and corrupted pixels.

    Args:
        con: a connection that may write; `cell_answers` is up to date.
        due: evaluations whose answers are new.
        evaluations: all that have shards.
    """
    if not due:
        return
    listed = list(due)
    con.execute("delete from pair_cells where evaluation_id_a = any($1) or evaluation_id_b = any($1)", [listed])
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for evaluation_id, *group in con.execute(
        "select evaluation_id, dataset_id, source_id, subset_id from evaluations order by evaluation_id"
    ).fetchall():
        if evaluation_id in evaluations:
            groups[tuple(group)].append(evaluation_id)
    for members in groups.values():
        if len(members) > 1 and not set(members).isdisjoint(due):
            _count_group(con, members, due)


def _count_group(con: duckdb.DuckDBPyConnection, members: list[str], due: Collection[str]) -> None:
    corruptions = con.execute(
        "select distinct corruption from cell_answers where evaluation_id = any(?) order by corruption", [members]
    ).fetchall()
    rows: list[Row] = []
    for (corruption,) in corruptions:  # not cell by cell: each question decodes the answers of many cells
        for severity, answers in _read_answers(con, members, corruption).items():
            if answers is None:  # not of the same images: by their image_id
                pairs = [(a, b) for a in members for b in members if a < b and not {a, b}.isdisjoint(due)]
                for a, b in pairs:
                    insert_by_definition(
                        con, PAIR_CELLS,
                        "evaluation_id_a = ? and evaluation_id_b = ? and corruption = ? and severity = ?",
                        [a, b, corruption, severity],
                    )  # fmt: skip
                continue
            key = {"corruption": corruption, "severity": severity}
            rows += [key | row for row in count_pairs(answers, list(due))]
    insert_rows(con, PAIR_CELLS, pa.Table.from_pylist(rows, schema=PAIR_CELLS.arrow()))


def _read_answers(
    con: duckdb.DuckDBPyConnection, members: list[str], corruption: str
) -> dict[Decimal, dict[str, CellAnswers] | None]:
    """What evaluations answered under one corruption, by severity; None where their images differ or repeat."""
    rows = con.sql(
        "select severity, evaluation_id, row_count = image_count as is_whole, image_ids_md5, right_images, predictions "
        "from cell_answers where corruption = $1 and evaluation_id = any($2) order by severity, evaluation_id",
        params=[corruption, members],
    ).to_arrow_table()
    found: dict[Decimal, dict[str, CellAnswers]] = defaultdict(dict)
    broken: set[Decimal] = set()
    for severity, evaluation_id, is_whole, ids_hash, pattern, predictions in zip(
        *(rows[name].to_pylist() for name in rows.column_names[:-1]), rows["predictions"], strict=True
    ):
        found[severity][evaluation_id] = CellAnswers(
            ids_hash, decode_pattern(pattern), np.asarray(predictions.values.fill_null(OTHER), dtype=np.int16)
        )
        if not is_whole:
            broken.add(severity)
    for severity, answers in found.items():
        if len({answer.image_ids_md5 for answer in answers.values()}) > 1:
            broken.add(severity)
    return {severity: None if severity in broken else answers for severity, answers in found.items()}
