"""The library that draws a report's charts in the browser, in one script that needs no network."""

import hashlib
import os
from importlib.metadata import version
from pathlib import Path

import vl_convert

from failmodes.warehouse.errors import StorageError
from failmodes.warehouse.storage.files import atomic_write_bytes

_SNIPPET = "window.vegaEmbed = vegaEmbed;"


def vega_bundle() -> str:
    """Vega, Vega-Lite and vega-embed, by vl-convert, which takes more than a second for it.

    The license stands before it, as it asks. The script is kept in the user's cache for the next report, with its hash;
    where that cannot be written or does not match, it is made again.
    """
    try:
        kept = _cache_folder() / f"vega-{version('vl-convert-python')}-{_hash_of(_license() + _SNIPPET)[:8]}.js"
        known_hash, _, script = kept.read_text(encoding="utf-8").partition("\n")
    except RuntimeError:  # nobody's home is known
        return _made()
    except (OSError, ValueError):
        known_hash, script = "", ""
    if known_hash == _hash_of(script):
        return script
    script = _made()
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_bytes(kept, f"{_hash_of(script)}\n{script}".encode())
    except (OSError, StorageError):
        pass
    return script


def _made() -> str:
    return _license() + str(vl_convert.javascript_bundle(snippet=_SNIPPET))


def _license() -> str:
    text = Path(__file__).with_name("vega_license.txt").read_text(encoding="utf-8")
    return f"/*!\n{text}*/\n"


def _cache_folder() -> Path:
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if Path(given).is_absolute() else Path("~/.cache").expanduser()) / "failmodes"


def _hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
