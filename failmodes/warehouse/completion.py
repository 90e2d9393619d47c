"""Shell completion: names of tables, views, saved queries, models and corruptions.

Names of models and corruptions are those of the warehouse on the command line or in the current folder. On any error
the shell offers nothing, and the command itself reports the reason.
"""

import os
import re
import shlex
from pathlib import Path

COMPLETION = "_FAILMODES_COMPLETE"  # environment variable with the shell's request, such as complete_bash
_WORDS, _CURSOR = "COMP_WORDS", "COMP_CWORD"  # bash's description of the line

# Allowed characters of offered names: zsh passes them through `eval`, and bash expands them
_HARMLESS = re.compile(r"\w[\w .,+@/=()-]*")

Offers = list[tuple[str, str]]  # words, each with a description, which zsh and fish show


def completed_words() -> list[str]:
    """The words of the line to complete, without the command; empty if no completion is requested."""
    if COMPLETION not in os.environ:
        return []
    line = os.environ.get(_WORDS if _is_bash() else "_TYPER_COMPLETE_ARGS", "")
    return (line.split("\n") if "\n" in line else line.split())[1:]


def join_saved_query() -> None:
    """Join `@` and `worst`, which bash splits although a completion replaces both."""
    words = os.environ.get(_WORDS, "").split("\n")
    cursor = os.environ.get(_CURSOR, "")
    if not _is_bash() or not cursor.isdigit():
        return
    place = int(cursor)
    joined = words[:1]
    for number, word in enumerate(words[1:], 1):
        if joined[-1] == "@":
            joined[-1] = f"@{word}"
            place -= number <= int(cursor)
        else:
            joined.append(word)
    os.environ[_WORDS] = "\n".join(joined)
    os.environ[_CURSOR] = str(place)


def complete_relation(incomplete: str) -> Offers:
    """Tables and views, without loading DuckDB."""
    from failmodes.sql import MARTS, STAGING, first_comment, read_sql
    from failmodes.warehouse.database_schema import ALL_TABLES

    tables = sorted((table.name, table.grain) for table in ALL_TABLES)
    views = sorted((name, first_comment(sql)) for name, sql in (read_sql(STAGING) | read_sql(MARTS)).items())
    return [(name, said) for name, said in (*tables, *views) if name.startswith(incomplete)]


def complete_query(incomplete: str) -> Offers:
    """Saved queries."""
    from failmodes.warehouse.database.saved_queries import saved_queries

    found = [(f"@{one.name}", one.purpose) for one in saved_queries().values()]
    return [(name, said) for name, said in found if name.startswith(incomplete)]


def complete_model(incomplete: str) -> Offers:
    """Labels of the models of the warehouse."""
    return _offers(["models"], "select distinct model_label, architecture from models order by 1", incomplete)


def complete_corruption(incomplete: str) -> Offers:
    """Corruptions under which models of the warehouse were evaluated."""
    query = """
        select distinct corruptions.corruption, corruptions.corruption_label
        from corruptions inner join shards using (corruption) where corruption <> 'none' order by 1
    """
    return _offers(["corruptions", "shards"], query, incomplete)


def _offers(tables: list[str], query: str, incomplete: str) -> Offers:
    """The names from a query that begin with the word, in the shell's form."""
    from failmodes.runtime.errors import FailmodesError
    from failmodes.runtime.storage.locations import find_warehouse
    from failmodes.warehouse.database.connection import open_warehouse

    try:
        with open_warehouse(find_warehouse(_named_warehouse()), tables) as con:
            rows = con.execute(query).fetchall()
    except (FailmodesError, OSError):
        return []
    names = [(str(name), str(said)) for name, said in rows if str(name).startswith(incomplete.strip("'\""))]
    return [(_word(name), said if _is_harmless(said) else "") for name, said in names if _is_harmless(name)]


def _named_warehouse() -> Path | None:
    """The study file, output folder or warehouse on the line; the parser fails at an option without value."""
    words = [Path(word.strip("'\"")).expanduser() for word in completed_words()]
    named = [path for path in words if path.suffix in (".duckdb", ".toml") or (len(path.parts) > 1 and path.is_dir())]
    return named[0] if named else None


def _word(name: str) -> str:
    """A name as one word of the line: bash inserts it unchanged, other shells quote it themselves."""
    return shlex.quote(name) if _is_bash() else name


def _is_harmless(text: str) -> bool:
    return _HARMLESS.fullmatch(text) is not None


def _is_bash() -> bool:
    return os.environ.get(COMPLETION, "").endswith("bash")
