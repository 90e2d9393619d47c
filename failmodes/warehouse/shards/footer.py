"""The footer of a file of the record: its seal, and whether what it says can be so.

A record may come from anyone, and a hash proves only that a file is as its author wrote it. So whatever is taken from a
footer later is checked here: types, and the place that it belongs to.
"""

import errno
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import NoneType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from failmodes.warehouse.errors import DamagedShardError, StorageError, first_line
from failmodes.warehouse.hashing import identity_of
from failmodes.warehouse.schema import PARTITIONS, SCHEMA_VERSION, SHARDED
from failmodes.warehouse.storage.files import StorePath, reason_of

FOOTER_KEY = b"failmodes"
FOOTER_HASH_KEY = b"failmodes.seal"  # hash of the footer's text: facts are guarded like rows
RESULTS_FOLDER = "results"
SHARD_FILE = "rows.parquet"
MOST_FOOTER_LETTERS = 1 << 20  # of a footer: they have about a thousand

# What parsers raise at damage has no base in common
_PARSING_ERRORS = (
    pa.ArrowException, OSError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError,
)  # fmt: skip

SEVERITY_PATTERN = r"[0-9]\.[0-9]{3}"
_NUMBER = (int, float, NoneType)
_TYPES: dict[str, tuple[type, ...]] = {  # of what a load takes from the facts of a shard
    "created_at": (str,),
    "device": (str, NoneType),
    "batch_size": (int, NoneType),
    "versions": (dict, NoneType),
    **dict.fromkeys(("elapsed_s", "images_per_s", "identity_error", "changed_predictions"), _NUMBER),
}


@contextmanager
def damage_of(path: object) -> Iterator[None]:
    """Turn whatever reading or parsing a file raises into a DamagedShardError, unless the system refused to read it.

    Raises:
        DamagedShardError: the file is missing, or is not what it should be.
        StorageError: it could not be read, which says nothing of its content.
        MemoryError: as it was; that too says nothing of the file.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise DamagedShardError(f"{path} is missing") from error
    except MemoryError:
        raise
    except _PARSING_ERRORS as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # Arrow's own have no number
            raise StorageError(f"cannot read {path}: {reason_of(error)}") from error
        raise DamagedShardError(f"{path} is damaged and cannot be read ({first_line(error)})") from error


def seal(footer: dict[str, Any]) -> dict[bytes, bytes]:
    """A footer as metadata of a Parquet file."""
    text = json.dumps(footer)
    return {FOOTER_KEY: text.encode(), FOOTER_HASH_KEY: identity_of(text).encode()}


def unseal(metadata: pq.FileMetaData, path: StorePath) -> dict[str, Any]:
    """The footer of the file at `path`: table, schema_version, identity, content_hash, facts.

    One of another version is given as it is: it may mean something else.

    Raises:
        DamagedShardError: the file belongs elsewhere.
        TypeError, ValueError, KeyError: its footer is none of ours, or something in it has another type.
    """
    pairs = metadata.metadata or {}
    if FOOTER_KEY not in pairs:
        raise ValueError("it has no footer of failmodes")
    text = pairs[FOOTER_KEY].decode()
    if pairs.get(FOOTER_HASH_KEY, b"").decode() != identity_of(text):
        raise ValueError("its footer does not match its seal")
    if len(text) > MOST_FOOTER_LETTERS:
        raise ValueError(f"its footer has {len(text):,} letters")
    footer: dict[str, Any] = json.loads(text)
    if _text(footer["schema_version"]) == SCHEMA_VERSION:
        _check(footer, path)
    return footer


def _check(footer: dict[str, Any], path: StorePath) -> None:
    identity, facts = footer["identity"], footer["facts"]
    for value in (footer["table"], footer["content_hash"], *identity.values()):
        _text(value)
    if footer["table"] in [table.name for table in SHARDED]:
        if not re.fullmatch(SEVERITY_PATTERN, identity["severity"]):
            raise ValueError(f"its severity is {identity['severity']!r}")
        for name, kinds in _TYPES.items():
            _check_fact(name, facts.get(name), kinds)
        datetime.fromisoformat(facts["created_at"]).astimezone(UTC)
        parts = (*(f"{name}={identity[name]}" for name in PARTITIONS), SHARD_FILE)
    else:
        parts = (f"{identity['key']}.parquet",)
    if path.parts[-len(parts) - 2 :] != (RESULTS_FOLDER, footer["table"], *parts):
        raise DamagedShardError(
            f"{path} does not belong here: its footer says {identity} of {footer['table']}, which lies at "
            f"{RESULTS_FOLDER}/{footer['table']}/{'/'.join(parts)}; remove it"
        )


def _check_fact(name: str, value: Any, kinds: tuple[type, ...]) -> None:
    if type(value) not in kinds:
        raise TypeError(f"its {name} is {str(value)[:40]!r}")
    if isinstance(value, str):
        _text(value)
    elif isinstance(value, int) and not 0 <= value < 1 << 31:
        raise ValueError(f"its {name} is out of range")


def _text(value: Any) -> str:
    """The value, if it is a text that can be stored as UTF-8."""
    if not isinstance(value, str):
        raise TypeError(f"its footer holds {str(value)[:40]!r} where a text is expected")
    value.encode()
    return value
