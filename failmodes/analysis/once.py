"""What several parts of a report ask of a warehouse is read once a connection: what it shows never changes."""

from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast
from weakref import WeakKeyDictionary

import duckdb

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")
Reader = Callable[Concatenate[duckdb.DuckDBPyConnection, Arguments], Answer]

_ANSWERS: "WeakKeyDictionary[duckdb.DuckDBPyConnection, dict[Hashable, Any]]" = WeakKeyDictionary()


def read_once(reader: Reader[Arguments, Answer]) -> Reader[Arguments, Answer]:
    """A reader that answers the same arguments from memory, as long as its connection lives.

    Its arguments are hashable, and nobody changes what it gives.
    """

    @wraps(reader)
    def reading(con: duckdb.DuckDBPyConnection, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        answers = _ANSWERS.setdefault(con, {})
        key = (reader, args, tuple(sorted(kwargs.items())))
        if key not in answers:
            answers[key] = reader(con, *args, **kwargs)
        found: Answer = answers[key]
        return found

    return cast("Reader[Arguments, Answer]", reading)
