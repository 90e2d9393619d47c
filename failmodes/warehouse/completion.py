"""What a shell offers when the tab key is pressed: names of tables, views, saved queries, models and corruptions.

Names of models and corruptions are those of the warehouse that the line names, or that lies in the current folder. A
warehouse that cannot be read has none: whatever goes wrong here, the shell offers nothing, and the command says why.
"""

import os
import re
import shlex
from pathlib import Path

COMPLETION = "_FAILMODES_COMPLETE"  # in the environment: what a shell asks for, such as complete_bash
_WORDS, _CURSOR = "COMP_WORDS", "COMP_CWORD"  # what bash says of the line

# Letters of names that are offered: zsh runs what it is offered through `eval`, and bash expands it
_HARMLESS = re.compile(r"\w[\w .,+@/=()-]*")

Offers = list[tuple[str, str]]  # words, each with what it means, which zsh and fish show


def completed_words() -> list[str]:
    """The words of the line that a shell asks about, without the command's own; none where it asks about none."""
    if COMPLETION not in os.environ:
        return []
    line = os.environ.get(_WORDS if _is_bash() else "_TYPER_COMPLETE_ARGS", "")
    return (line.split("\n") if "\n" in line else line.split())[1:]


def join_saved_query() -> None:
    """Make one word of `@` and `worst`, which bash tells apart, though what it is offered takes the place of both."""
    words, cursor = os.environ.get(_WORDS, "").split("\n"), os.environ.get(_CURSOR, "")
    if not _is_bash() or not cursor.isdigit():
        return
    place, joined = int(cursor), words[:1]
    for number, word in enumerate(words[1:], 1):
        if joined[-1] == "@":
            joined[-1] = f"@{word}"
            place -= number <= int(cursor)
        else:
            joined.append(word)
    os.environ[_WORDS], os.environ[_CURSOR] = "\n".join(joined), str(place)


def complete_relation(incomplete: str) -> Offers:
    """Tables and views; DuckDB is not loaded for their names."""
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
    """The names that a query finds and that begin as the word does, as the shell takes them."""
    from failmodes.warehouse.database.connection import open_warehouse
    from failmodes.warehouse.errors import FailmodesError
    from failmodes.warehouse.storage.locations import find_warehouse

    try:
        with open_warehouse(find_warehouse(_named_warehouse()), tables) as con:
            found = con.execute(query).fetchall()
    except (FailmodesError, OSError):
        return []
    names = [(str(name), str(said)) for name, said in found if str(name).startswith(incomplete.strip("'\""))]
    return [(_word(name), said if _is_harmless(said) else "") for name, said in names if _is_harmless(name)]


def _named_warehouse() -> Path | None:
    """What the line names as study file, output folder or warehouse; the parser gives up at an option without value."""
    words = [Path(word.strip("'\"")).expanduser() for word in completed_words()]
    named = [path for path in words if path.suffix in (".duckdb", ".toml") or (len(path.parts) > 1 and path.is_dir())]
    return named[0] if named else None


def _word(name: str) -> str:
    """A name as one word of the line: bash inserts what it is given, other shells quote by themselves."""
    return shlex.quote(name) if _is_bash() else name


def _is_harmless(text: str) -> bool:
    return _HARMLESS.fullmatch(text) is not None


def _is_bash() -> bool:
    return os.environ.get(COMPLETION, "").endswith("bash")
