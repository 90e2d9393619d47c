"""A record at a URL is the record of a local folder: same files, same hashes, same rows, and no half file."""

import sys
from pathlib import Path

import pytest
from upath import UPath

from failmodes.warehouse.errors import StorageError
from failmodes.warehouse.storage.paths import as_store_path


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("nonsense://bucket/x", "cannot reach nonsense://bucket/x: Protocol not known: nonsense; expected a path, or"),
        ("s3://bucket/x", "cannot reach s3://bucket/x: Install s3fs"),
        ("gs://bucket/x", "cannot reach gs://bucket/x: .*gcsfs"),
    ],
    ids=["protocol", "s3 driver", "gs driver"],
)
def test_what_cannot_be_reached_is_one_line(monkeypatch, where: str, message: str) -> None:
    for driver in ("s3fs", "gcsfs"):
        monkeypatch.setitem(sys.modules, driver, None)  # as if it were not installed
    with pytest.raises(StorageError, match=message) as caught:
        as_store_path(where)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("where", "expected"),
    [("runs/x", Path("/base/runs/x")), ("/runs/x", Path("/runs/x")), ("file:///runs/a=1", Path("/runs/a=1"))],
    ids=["relative", "absolute", "file URL"],
)
def test_local_places_are_plain_paths(where: str, expected: Path) -> None:
    place = as_store_path(where, Path("/base"))
    assert place == expected
    assert not isinstance(place, UPath)
