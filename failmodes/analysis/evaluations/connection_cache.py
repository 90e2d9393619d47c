"""Read what several parts of a report need once per connection; what a connection shows never changes."""

from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast
from weakref import WeakKeyDictionary

import duckdb

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Reader = Callable[Concatenate[duckdb.DuckDBPyConnection, Arguments], Result]

_RESULTS: "WeakKeyDictionary[duckdb.DuckDBPyConnection, dict[Hashable, Any]]" = WeakKeyDictionary()


def read_once(reader: Reader[Arguments, Result]) -> Reader[Arguments, Result]:
    """Cache a reader by its arguments for the lifetime of its connection.

    Arguments must be hashable, and callers must not change results.
    """

    @wraps(reader)
    def reading(con: duckdb.DuckDBPyConnection, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        results = _RESULTS.setdefault(con, {})
        key = (reader, args, tuple(sorted(kwargs.items())))
        if key not in results:
            results[key] = reader(con, *args, **kwargs)
        found: Result = results[key]
        return found

    return cast("Reader[Arguments, Result]", reading)
