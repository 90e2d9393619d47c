"""Hashes of large files, remembered in the cache folder for as long as their names, sizes and times stay the same."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from warehouse.identity import identity_of
from warehouse.publish import publish_bytes


def remembered(cache: Path | None, stamp: Any, what: str, fingerprint: Callable[[], str]) -> str:
    """The fingerprint of files, taken anew where the cache has none for this stamp.

    Args:
        cache: folder that remembers; None: nothing is.
        stamp: JSON-like facts that change whenever the files do, such as names, sizes and times of change.
        what: what is hashed, for whoever reads the memory.
        fingerprint: takes it, which needs every byte to be read.
    """
    if cache is None:
        return fingerprint()
    memory = cache / "fingerprints" / f"{identity_of(stamp)}.json"
    try:
        return str(json.loads(memory.read_text())["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):  # not there, or damaged: either way it is made
        found = fingerprint()
    publish_bytes(memory, json.dumps({"file": what, "fingerprint": found}).encode())
    return found
