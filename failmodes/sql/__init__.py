"""The SQL files: their text by name, their first comment, and quoting of literals and identifiers.

One select per file: staging/ and marts/ become views named after the file, checks/ and queries/ are run.
"""

from importlib.resources import files

STAGING, MARTS, CHECKS, QUERIES = "staging", "marts", "checks", "queries"


def read_sql(folder: str) -> dict[str, str]:
    """SQL text by file name without suffix, of `sql/<folder>`, in alphabetical order."""
    entries = files("failmodes.sql").joinpath(folder).iterdir()
    texts = {f.name.removesuffix(".sql"): f.read_text(encoding="utf-8") for f in entries if f.name.endswith(".sql")}
    return dict(sorted(texts.items()))


def first_comment(sql: str) -> str:
    """The first comment, which describes the result: lines up to the end of a sentence; empty if there is none."""
    lines: list[str] = []
    for line in sql.lstrip().splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.removeprefix("--").strip())
        if lines[-1].endswith((".", "?")):
            break
    return " ".join(lines)


def sql_literal(text: str) -> str:
    """A text as a SQL string literal, for statements without bound values: ATTACH, COMMENT, a printed query."""
    return "'" + text.replace("'", "''") + "'"


def sql_identifier(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
