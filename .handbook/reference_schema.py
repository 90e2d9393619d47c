"""Reference page of all tables, views and columns, from an empty warehouse."""

from itertools import takewhile

import duckdb
from markdown_text import code, table

from failmodes.warehouse.database.tables import create_tables
from failmodes.warehouse.database.views import install_views, view_definitions
from failmodes.warehouse.database_schema import TABLES
from failmodes.warehouse.schema import DIMENSIONS, FACTS, SCHEMA_VERSION

INTRODUCTION = f"""# Tables and views

Schema version {SCHEMA_VERSION}. `predictions` (a view of `prediction_facts`) and `attention` have one row per image and
cell; dimension tables describe models, images and corruptions; a load stores metrics; views join them. Most queries
start from a view. In the Parquet files `severity` is a float64, in the warehouse a DECIMAL.

In a terminal, run `failmodes query "from accuracy_by_severity limit 3" warehouse.duckdb`; in Python, `w.tables()` and
`w.schema("predictions")`. In DuckDB's own shell, comments describe each table and column. The key of a table is
the set of columns that identify a row.
"""
_COLUMNS = """
select table_name, column_name, data_type, comment from duckdb_columns()
where not internal and database_name = 'memory' order by column_index
"""


def schema_page() -> str:
    """Return Markdown with one heading per table or view."""
    with duckdb.connect() as con:
        create_tables(con)
        install_views(con)
        columns = con.execute(_COLUMNS).fetchall()
    results = [each.name for each in (*FACTS, *DIMENSIONS)]
    parts = {
        "Views": {name: _grain(sql) for name, sql in sorted(view_definitions().items())},
        "Tables of the results": {name: TABLES[name].grain for name in results},
        "Tables of the database": {name: TABLES[name].grain for name in TABLES if name not in results},
    }
    lines = [INTRODUCTION]
    for title, grains in parts.items():
        lines += [f"## {title}\n", table(("name", "rows"), [(f"[`{name}`](#{name})", grains[name]) for name in grains])]
    for title, grains in parts.items():
        lines.append(f"## Columns: {title[0].lower()}{title[1:]}\n")
        lines += [_relation(name, grain, columns) for name, grain in grains.items()]
    return "\n".join(lines)


def _grain(sql: str) -> str:
    """Return the description of a row from a view's first comment, without its sources."""
    comment = takewhile(lambda line: line.startswith("--") and "Source:" not in line, sql.lstrip().splitlines())
    return " ".join(line.removeprefix("--").strip() for line in comment)


def _relation(name: str, grain: str, columns: list[tuple[str, str, str, str | None]]) -> str:
    rows = [(code(column), code(kind), meaning or "") for owner, column, kind, meaning in columns if owner == name]
    key = TABLES[name].key if name in TABLES else ()
    said = f" Key: {', '.join(map(code, key))}." if key else ""
    has_meanings = any(meaning for *_, meaning in rows)
    if not has_meanings:
        rows = [(column, kind, "") for column, kind, _ in rows]
    header = ("column", "type", "meaning") if has_meanings else ("column", "type")
    body = table(header, [row[: len(header)] for row in rows])
    return f"### {name} {{ #{name} }}\n\n{grain.rstrip('.')}.{said}\n\n{body}"
