"""The files of `sql/`: their text by name, and the sentence that their first comment states; texts and names in SQL.

SQL, one select a file: staging/ and marts/ become views named after the file, measures/ define the stored measures,
checks/ and queries/ are run.
"""

from importlib.resources import files

STAGING, MARTS, CHECKS, QUERIES = "staging", "marts", "checks", "queries"


def read_sql(folder: str) -> dict[str, str]:
    """SQL text by file name without suffix, of `sql/<folder>`, in alphabetical order."""
    found = files("failmodes.sql").joinpath(folder).iterdir()
    texts = {f.name.removesuffix(".sql"): f.read_text(encoding="utf-8") for f in found if f.name.endswith(".sql")}
    return dict(sorted(texts.items()))


def first_comment(sql: str) -> str:
    """The first comment, which says what the file returns: lines up to one that ends a sentence; empty without one."""
    said: list[str] = []
    for line in sql.lstrip().splitlines():
        if not line.startswith("--"):
            break
        said.append(line.removeprefix("--").strip())
        if said[-1].endswith((".", "?")):
            break
    return " ".join(said)


def sql_literal(text: str) -> str:
    """A text as a SQL string literal, for statements that take no bound values: ATTACH, COMMENT, a printed query."""
    return "'" + text.replace("'", "''") + "'"


def sql_identifier(name: str) -> str:
    """A name as a SQL identifier, whatever letters it has."""
    return '"' + name.replace('"', '""') + '"'
