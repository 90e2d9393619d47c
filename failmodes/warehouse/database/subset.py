"""Write a part of a warehouse to a fresh file: some evaluations, corruptions, images and columns.

DuckDB leaves deleted rows in the blocks of a file. So only rows that stay are ever inserted, and tables whose rows may
name several models are derived again from them.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from failmodes.sql import sql_literal
from failmodes.warehouse.database.checks import update_checks
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.stored_metrics import update_metrics
from failmodes.warehouse.database.tables import stored_claims, stored_models, write_info
from failmodes.warehouse.database.updates import BLOCK_BYTES, Derivation, staged_database
from failmodes.warehouse.database_schema import (
    CLAIMS,
    COMPUTED,
    COMPUTED_TABLES,
    DERIVED,
    LOADED_DIMENSIONS,
    MAIN_FINDINGS,
    METRICS,
    SHARDS,
    STATED_CLAIMS,
    STATED_MODELS,
    TABLES,
)
from failmodes.warehouse.metrics.metric import Metric
from failmodes.warehouse.schema import (
    ATTENTION,
    CORRUPTIONS,
    EVALUATIONS,
    EXEMPLARS,
    IMAGES,
    PREDICTION_FACTS,
    SHIFTS,
    THUMBNAILS,
    Table,
)

Columns = Mapping[str, Collection[str]]  # by table; without columns, the table has no rows
# Columns that become null
PARTS: Mapping[str, Columns] = {
    "attention": {ATTENTION.name: (), EXEMPLARS.name: ("map_f16", "map_height", "map_width")},
    "logits": {PREDICTION_FACTS.name: ("logits", "logit_classes", "scaled_log_sum_exp")},
    "thumbnails": {THUMBNAILS.name: ()},
}
LARGE_ROWS = 100_000  # with attention, which fill the larger blocks; below, most blocks would be empty
# Most tables have few rows and take at least one block: DuckDB's default of 256 KiB makes small files 4 times larger
SMALL_BLOCK_BYTES = 32_768

_READ = ("evaluations", "models", "evaluation_labels", "corruptions", "shards", STATED_CLAIMS.name, STATED_MODELS.name)
_EVALUATIONS = """
select
    evaluations.evaluation_id, evaluations.model_id, evaluations.dataset_id, evaluations.source_id,
    models.model_label, model_name, models.architecture
from evaluations
left join models on evaluations.model_id = models.model_id
left join evaluation_labels on evaluations.evaluation_id = evaluation_labels.evaluation_id
"""
_USED_CORRUPTIONS = """
select corruption from corruptions
where $1 or corruption in (select corruption from shards where evaluation_id = any($2))
"""
_NAMES = ("model_label", "model_name", "architecture")  # by which a claim may name a model
# What columns refer to: in all tables, and in some. Files of a dimension are named after it, most with a suffix
_REFERENCES = {name: name for name in ("evaluation_id", "model_id", "dataset_id", "source_id")}
_REFERENCES |= dict.fromkeys(("other_evaluation_id", "evaluation_id_a", "evaluation_id_b"), "evaluation_id")
_REFERENCES_OF = {
    CORRUPTIONS: {"corruption": "corruption"},
    LOADED_DIMENSIONS: {"if(table_name = 'corruptions', file_key, split_part(file_key, '-', 1))": "file"},
    SHIFTS: dict.fromkeys(("evaluation_id", "clean_evaluation_id"), "evaluation_id"),
    STATED_CLAIMS: {"statement": "statement"},
    STATED_MODELS: {"model_label": "model_label"},
}
_ARE_USED = (
    "(dataset_id, image_id) in "
    "(select dataset_id, image_id from prediction_facts inner join evaluations using (evaluation_id))"
)
_IN_ORDER = "row_number() over (order by position)::integer as position"
_OF_PART = "md5(content_hash || ' part') as content_hash"  # so that a load restores what was left out
_WITHOUT_ATTENTION = """
if(attention_method = 'none', attention_note, 'left out of this file') as attention_note,
'none' as attention_method,
null::varchar as attention_layer
"""
# Metrics need them
_WITHOUT_NULLS = ", ".join(
    f"coalesce({column.name}, error('prediction_facts.{column.name} may not be null')) as {column.name}"
    for column in PREDICTION_FACTS.columns
    if not column.nullable
)


@contextmanager
def subset(
    warehouse: Path,
    target: Path,
    evaluations: Collection[str] | None = None,
    *,
    left_out: Columns | None = None,
    measures: bool = False,
    derivation: Derivation | None = None,
    metrics: Sequence[Metric] = (),
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Write a part of a warehouse, and yield a connection to the new file before it becomes `target`.

    If the target is the warehouse itself, a user's own tables stay, and corruptions and images that no row uses. Call
    it inside `writer_lock`, unless nobody else knows the target.

    Args:
        warehouse: the DuckDB file.
        target: the file to write.
        evaluations: identities of those that stay; None for all, with what is derived from them.
        left_out: columns that become null.
        measures: compute metrics from the rows that stay; otherwise stored metrics stay.
        derivation: computes derived tables; None leaves those empty that may name what is left out.
        metrics: the user's own, which claims may name.

    Raises:
        WarehouseError: the warehouse is missing, damaged, of another version, changed, or in use by a writer.
        StorageError: the file cannot be written.
    """
    columns, in_place = left_out or {}, warehouse == target
    with open_warehouse(warehouse, _READ) as con:
        stays = {} if evaluations is None else _staying(con, evaluations, in_place)
        cells = con.execute("select evaluation_id, row_count from shards where table_name = 'prediction_facts'")
        row_count = sum(rows for key, rows in cells.fetchall() if evaluations is None or key in evaluations)
    skipped = [
        *([CLAIMS, MAIN_FINDINGS] if stays else ()),
        *([COMPUTED, *COMPUTED_TABLES, *DERIVED, METRICS, LOADED_DIMENSIONS] if measures else ()),
        *(table for table in TABLES.values() if columns.get(table.name, [table]) == ()),
    ]
    replaced = {
        **({SHARDS: _OF_PART, PREDICTION_FACTS: _WITHOUT_NULLS} if measures else {}),
        **({EVALUATIONS: _WITHOUT_ATTENTION} if ATTENTION in skipped else {}),
        **dict.fromkeys((STATED_CLAIMS, STATED_MODELS), _IN_ORDER),
    }

    def narrowed(table: Table, rows: str) -> str | None:
        if table in skipped:
            return None
        conditions = ["true", *(_conditions(table, stays) if stays else ())]
        conditions += ["table_name <> 'attention'"] if table is SHARDS and ATTENTION in skipped else []
        conditions += [_ARE_USED] if table in (IMAGES, THUMBNAILS) and stays and not in_place else []
        excluded = f"exclude ({', '.join(columns[table.name])})" if table.name in columns else ""
        changed = f"replace ({replaced[table]})" if table in replaced else ""
        return f"select * {excluded} {changed} from ({rows}) where {' and '.join(conditions)}"

    fill_blocks = row_count > LARGE_ROWS * (4 if ATTENTION in skipped else 1)
    with staged_database(
        target, source=None if in_place else warehouse, narrowed=narrowed,
        block_bytes=BLOCK_BYTES if in_place or fill_blocks else SMALL_BLOCK_BYTES,
    ) as con:  # fmt: skip
        write_info(con)
        if in_place or measures:
            update_metrics(con)
        update_checks(con)
        if derivation is not None:
            derivation.store(con, metrics)
        yield con


def _staying(
    con: duckdb.DuckDBPyConnection, evaluations: Collection[str], in_place: bool
) -> dict[str, Collection[str]]:
    """The values that stay: of the columns of `_EVALUATIONS`, of others, and of the names of files."""
    relation = con.sql(_EVALUATIONS)
    rows = [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
    kept = [row for row in rows if row["evaluation_id"] in evaluations]
    stays: dict[str, Collection[str]] = {name: {row[name] for row in kept} - {None} for name in relation.columns}
    used = con.execute(_USED_CORRUPTIONS, [in_place, [*stays["evaluation_id"]]]).fetchall()
    stays["corruption"] = {name for (name,) in used}
    stays["file"] = set().union(*stays.values())
    names = {name for column in _NAMES for name in stays[column]}
    others = {row[column] for row in rows for column in _NAMES} | {model.label for model in stored_models(con)}
    others -= {None, *names}
    claims = stored_claims(con)
    stays["statement"] = [form for words, form in claims if not _names_any(f"{words} {form}", others, names)]
    return stays


def _names_any(claim: str, others: Collection[str], names: Collection[str]) -> bool:
    """Whether a claim contains one of the names of other models, but not as a part of one of these names."""
    written = {json.dumps(name, ensure_ascii=False)[1:-1]: name for name in (*names, *others)}
    longest_first = sorted(written.keys() | written.values(), key=len, reverse=True)
    found = re.findall(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", claim)
    return any(written.get(name, name) in others for name in found)


def _conditions(table: Table, stays: Mapping[str, Collection[str]]) -> list[str]:
    """SQL conditions on the rows of a table that refer to nothing but what stays."""
    references = _REFERENCES_OF.get(table) or {
        column.name: _REFERENCES[column.name] for column in table.columns if column.name in _REFERENCES
    }
    listed = {name: ", ".join(map(sql_literal, values)) or "null" for name, values in stays.items()}
    return [f"({column} is null or {column} in ({listed[name]}))" for column, name in references.items()]


def table_sizes(con: duckdb.DuckDBPyConnection, left_out: Columns) -> dict[str, int]:
    """Bytes of the blocks of each table of the file attached as `warehouse`, largest first.

    Args:
        con: a connection to the warehouse.
        left_out: rows and columns that are not counted.
    """
    (block_bytes,) = con.execute(
        "select block_size from pragma_database_size() where database_name = 'warehouse'"
    ).fetchall()[0]
    counted = (
        "select count(distinct block_id) from pragma_storage_info('warehouse.main.{}') "
        "where persistent and column_name <> all($1)"
    )
    sizes = {
        name: con.execute(counted.format(name), [list(left_out.get(name, ()))]).fetchall()[0][0] * block_bytes
        for name in TABLES
        if left_out.get(name, True)
    }
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))
