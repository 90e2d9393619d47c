"""What a format has written, and texts that become files together."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from failmodes.warehouse.output_files import check_output, write_output


class Written(NamedTuple):
    """The written files, and notes on what they lack or what to add by hand."""

    paths: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def write_files(texts: Mapping[Path, str], *, force: bool) -> tuple[Path, ...]:
    """Write each text to its file, once none of them is refused.

    Raises:
        StudyError, StorageError: see `check_output`.
    """
    for path in texts:
        check_output(path, (path.suffix,), force=force)
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_output(path, text.encode(), (path.suffix,), force=force)
    return tuple(texts)


def slug(label: str, identity: str = "") -> str:
    """A label as part of a file name, with an identity where labels may give the same."""
    plain = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:60]
    return "-".join(filter(None, (plain, identity)))
