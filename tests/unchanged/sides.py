"""The two sides: their trees, the inputs of scenarios, and the answers; those of BASE are cached."""

import ast
import compileall
import fcntl
import hashlib
import importlib.metadata
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

BASE = "ccffa1dd"
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FULL = "_full"  # the end of the names of scenarios that only FULL=1 runs
ALL_SCENARIOS = sorted(path.stem for path in (HERE / "scenarios").glob("*.py"))
SCENARIOS = [name for name in ALL_SCENARIOS if not name.endswith(FULL)]
PARTS = ("failmodes", "docs", ".handbook", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md",
         "THIRD_PARTY.md", "CITATION.cff", "LICENSE", "pyproject.toml")  # fmt: skip
PINNED = re.compile(r"^COUNTED = (.*)$", re.MULTILINE)  # how much a scenario compares at least
BUNDLE = Path("failmodes/analysis/site/bundle")


class Broken(Exception):
    """A scenario that itself fails, so that nothing can be compared."""


class Place(NamedTuple):
    """Folders of a run. Paths of the two sides have equal length, because lines wrap.

    Attributes:
        cache: kept from run to run, outside the repository.
        run: of this run alone, under a fixed name.
    """

    cache: Path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Refuse a second run in the same folder.

        Raises:
            Broken: another one is running.
        """
        self.cache.mkdir(parents=True, exist_ok=True)
        with (self.cache / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Broken(f"another comparison is running in {self.cache}: wait for it, or give --cache") from None
            yield

    @property
    def run(self) -> Path:
        return self.cache / "run"

    def tree(self, which: str) -> Path:
        """The sources of a side."""
        return self.run / "trees" / which


def default_cache() -> Path:
    """Where BASE's answers are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "failmodes-unchanged"


# --- trees


def extract_commit(commit: str, tree: Path, *, whole: bool = False) -> str:
    """Write the sources of a commit: the package and the handbook, or the `whole` tree.

    Returns:
        The commit's whole hash.
    """
    named = subprocess.run(
        ["git", "rev-parse", "--verify", f"{commit}^{{commit}}"], cwd=ROOT, capture_output=True, text=True
    )
    if named.returncode:
        raise Broken(f"{commit} is no commit of this clone (a shallow one? `git fetch --unshallow`)")
    found = named.stdout.strip()
    parts = subprocess.run(
        ["git", "ls-tree", "--name-only", found], cwd=ROOT, capture_output=True, text=True, check=True
    )
    there = [] if whole else [part for part in PARTS if part in parts.stdout.splitlines()]
    archive = subprocess.run(["git", "archive", found, *there], cwd=ROOT, capture_output=True, check=True).stdout
    shutil.rmtree(tree, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(tree, filter="data")
    return found


def extract_files(tree: Path, *, whole: bool = False) -> None:
    """Write the sources as they stand here, committed or not."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *(() if whole else PARTS)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    shutil.rmtree(tree, ignore_errors=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name, follow_symlinks=False)


def build(tree: Path, cache: Path) -> None:
    """Put the page's bundle, which the tree's own code builds once for the same sources, and byte code into a tree."""
    site = tree / BUNDLE.parent
    sources = sorted(path for path in [*site.rglob("*"), *(site.parent / "images").glob("viewer.*")] if path.is_file())
    key = _digest(b"".join(path.relative_to(tree).as_posix().encode() + path.read_bytes() for path in sources))
    kept = cache / "bundles" / key
    if not kept.is_dir():
        command = [sys.executable, "-m", "failmodes.analysis.site.bundling"]
        done = subprocess.run(command, cwd=cache, env=environment(tree, cache / "home"), capture_output=True, text=True)
        if done.returncode:
            raise Broken(f"the page of {tree.name} cannot be built: {done.stderr.strip()}")
        _put(tree / BUNDLE, kept)
    shutil.copytree(kept, tree / BUNDLE, dirs_exist_ok=True)
    compileall.compile_dir(tree / "failmodes", quiet=1, workers=2)


# --- answers


def environment(tree: Path, home: Path) -> dict[str, str]:
    """The environment of a side's processes: its tree before everything, a home of its own."""
    home.mkdir(parents=True, exist_ok=True)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("FAILMODES", "XDG", "PYTHON", "COV"))}
    return inherited | {
        "PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "120",
        "NO_COLOR": "1", "TERM": "dumb", "TZ": "UTC", "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8", "HOME": str(home),
        "HF_HUB_OFFLINE": "1",
    }  # fmt: skip


def provide_inputs(place: Place, scenario: str) -> Path:
    """The files that a scenario takes, made without failmodes, once: both sides read the same folder."""
    folder = place.cache / "inputs" / f"{scenario}-{_digest(_sources(scenario).encode() + installed().encode())}"
    if not folder.is_dir():
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        code = (
            f"import sys; sys.path[:0] = [{str(HERE)!r}, {str(HERE / 'scenarios')!r}]\n"
            "sys.modules['failmodes'] = None\n"
            f"from pathlib import Path; import {scenario}; {scenario}.inputs(Path({str(partial)!r}))"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise Broken(f"{scenario}: its inputs cannot be made:\n{done.stderr[-3000:]}")
        os.replace(partial, folder)
    return folder


def answers(place: Place, scenario: str, which: str, inputs: Path) -> Path:
    """Run a scenario on one side, from an empty folder; the folder of its answers.

    Raises:
        Broken: the scenario fails.
    """
    work, found = place.run / "work" / scenario / which, place.run / "answers" / scenario / which
    for path in (work, found):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, HERE / "side.py", scenario, work, found, inputs, which],
        cwd=work, env=environment(place.tree(which), place.run / "home" / scenario / which),
        capture_output=True, text=True,
    )  # fmt: skip
    (found / "log").write_text(done.stdout + done.stderr)
    if done.returncode:
        raise Broken(
            f"{scenario} itself fails on the side of {which}, so that nothing is compared:\n{done.stderr[-3000:]}"
        )
    return found


def base_answers(place: Place, commit: str, scenario: str, inputs: Path) -> Path:
    """BASE's answers, kept by commit, scenario, what it takes, and what is installed.

    Raises:
        Broken: the scenario fails, or an exit code or refusal is not the stated one.
    """
    content = b"".join(
        p.relative_to(inputs).as_posix().encode() + p.read_bytes() for p in sorted(inputs.rglob("*")) if p.is_file()
    )
    key = _digest(f"{commit}\n{_sources(scenario)}\n{installed()}".encode() + content)
    kept = place.cache / "answers" / f"{scenario}-{key}"
    if not kept.is_dir():
        found = answers(place, scenario, "base", inputs)
        check_stated(scenario, found)
        _put(found, kept)
    return kept


def check_stated(scenario: str, found: Path) -> None:
    """Refuse an exit code or refusal that the scenario does not state: two equal failures are no difference.

    Raises:
        Broken: with all of them.
    """
    exits = json.loads((found / "exits").read_text())
    wrong = [
        f"{name}: states {e['stated']}, found {e['found']}" for name, e in exits.items() if e["stated"] != e["found"]
    ]
    if wrong:
        raise Broken("\n".join([f"{scenario}: BASE ends otherwise than stated, so that nothing is compared:", *wrong]))


@cache
def installed() -> str:
    """Every installed package and its version, but for ours; and Python's."""
    found = {f"{d.metadata['Name'].lower()}=={d.version}" for d in importlib.metadata.distributions()}
    return "\n".join([sys.version, *sorted(line for line in found if not line.startswith("failmodes="))])


def pinned(scenario: str) -> dict[str, int]:
    """How much a scenario compares at least, by kind."""
    found = PINNED.search((HERE / "scenarios" / f"{scenario}.py").read_text())
    return ast.literal_eval(found[1]) if found else {}


@cache
def _sources(scenario: str) -> str:
    """The source of a scenario, and of all that it imports from here; what it pins changes no answer."""
    paths = _imported(HERE / "scenarios" / f"{scenario}.py", {HERE / "side.py"})
    return PINNED.sub("", "\n".join(path.read_text() for path in paths))


def _imported(path: Path, found: set[Path]) -> list[Path]:
    found.add(path)
    for name in _imports(path):
        for inner in (HERE / f"{name}.py", HERE / "scenarios" / f"{name}.py"):
            if inner.is_file() and inner not in found:
                _imported(inner, found)
    return sorted(found)


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _put(source: Path, to: Path) -> None:
    """Copy a folder, completely or not at all."""
    partial = to.with_name(f"{to.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial)
    os.replace(partial, to)
