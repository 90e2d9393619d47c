"""Commands that SIGKILL ends at chosen and at random instants: what is published is whole, and the next run the same.

`make soak` has more random instants.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parent))

from marked_cases import quick
from packed_images import photographs, write_studies
from run_commands import run
from soak_study import digests, leftovers
from synthetic_results import write_synthetic
from tiny_study import write_tiny_study

from failmodes.warehouse.database.export import export_evaluations
from failmodes.warehouse.database.load import load

pytestmark = pytest.mark.test_all
# Forks a command for every instant, where it kills itself, and copies what it left; what they import is imported once
PROGRAM = """
import itertools, json, os, shutil, signal, sys
from pkgutil import resolve_name
from unittest.mock import patch
import failmodes.__main__

def plant(place, call, target):
    real, calls = resolve_name(place), itertools.count(1)
    def deadly(*arguments, **options):
        if target in str(arguments) and next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    patch(place, deadly).start()

words, instants, imported = json.loads(sys.argv[1])
sys.argv = ["failmodes", *words]
for name in imported:
    resolve_name(name)
for number, instant in enumerate(instants):
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)
        plant(*instant)
        failmodes.__main__.main()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(code, flush=True)
    shutil.copytree(".", f"../after-{number}")
"""


class Instant(NamedTuple):
    """A call of a function, in whose place the process kills itself: of those with `target` in their arguments."""

    place: str
    call: int = 1
    target: str = ""


def renaming(target: str, call: int = 1) -> Instant:
    """The file is complete under its temporary name."""
    return Instant("os.replace", call, target)


class Killed(NamedTuple):
    """A command that is killed at each instant in turn, every time going on from what the last one left.

    Attributes:
        words: its command line.
        prepare: makes what it starts from.
        instants: of the kills.
        imported: what it imports.
    """

    words: tuple[str, ...]
    prepare: str
    instants: tuple[Instant, ...]
    imported: tuple[str, ...] = ("failmodes.warehouse.database.load", "failmodes.analysis.judging.derivation")


EXPORT = ("export", "exported.duckdb", "warehouse.duckdb", "--evaluation", "Alpha")
ROWS_ARE_IN = Instant("failmodes.warehouse.database.subset.update_checks")
CORRUPT = ("corrupt", "digits", "--to", "set", "--images", "30", "--corruption", "contrast", "--corruption", "fog")
OF_CORRUPT = ("failmodes.ingest.corrupted_datasets.command",)
OF_EVALUATE = ("torch", "failmodes.evaluate.engine.run")
SHARD = "evaluation_id="
COMMANDS = {
    "load": Killed(
        ("load", "beta", "--into", "warehouse.duckdb"),
        "warehouses",
        (
            Instant("failmodes.warehouse.database.load.insert_rows", 2),
            Instant("failmodes.warehouse.database.load.update_metrics"),
            renaming("warehouse.duckdb"),
        ),
    ),
    "export": Killed(EXPORT, "warehouse", (ROWS_ARE_IN,)),
    "export over a file": Killed((*EXPORT, "--force"), "warehouses", (ROWS_ARE_IN, renaming("exported.duckdb"))),
    "remove": Killed(
        ("remove", "Alpha", ".", "--yes"),
        "warehouses",
        (
            Instant("failmodes.warehouse.database.removal.delete_folder", 2),
            Instant("failmodes.warehouse.database.removal.delete", 2),
            renaming("warehouse.duckdb"),
        ),
    ),
    "corrupt": Killed(
        CORRUPT,
        "nothing",
        (
            renaming("manifest.json"),
            Instant("failmodes.ingest.sources.corrupt", 5),  # two of them rehearse
            renaming("contrast.npy"),
            renaming("manifest.json", 3),
        ),
        OF_CORRUPT,
    ),
    "corrupt to folders": Killed(
        (*CORRUPT, "--layout", "imagenet-c"),
        "nothing",
        (Instant("PIL.Image.Image.save", 40), renaming("contrast/2"), renaming("manifest.json", 3)),
        OF_CORRUPT,
    ),
    "evaluate": Killed(("evaluate",), "study", tuple(renaming(SHARD, call) for call in (1, 3, 7)), OF_EVALUATE),
    **{
        f"evaluate {name}": Killed(
            ("evaluate", f"{name}.toml"), "packed studies", (first, renaming("cache/", 2), renaming(SHARD, 4)),
            OF_EVALUATE,
        )
        for name, first in {
            "tar": Instant("failmodes.ingest.datasets.encoded_images._decode_piece", 2),
            "parquet": renaming("cache/"),
            "on demand": renaming("cache/"),
        }.items()
    },
}  # fmt: skip
RARE = ("export", "remove", "evaluate parquet")  # test_removal.py interrupts removals; others are like these
COMPUTED = ("prediction_facts/*/*/*/rows.parquet", "set/contrast.npy", "*.JPEG", "cache/images/*.npy")


@pytest.fixture(scope="module")
def warehouses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse of Alpha, an exported one without what is derived, and results of Beta to load."""
    folder = tmp_path_factory.mktemp("warehouses")
    options = {"images": 20, "corruptions": ("fog",), "severities": (2, 5)}
    alpha = write_synthetic(folder, models=("Alpha",), **options)
    write_synthetic(folder / "beta", models=("Beta",), **options)
    load([alpha.output], folder / "warehouse.duckdb")
    export_evaluations(folder / "warehouse.duckdb", [alpha.evaluations["Alpha"]], folder / "exported.duckdb")
    return folder


@pytest.fixture
def prepare(request: pytest.FixtureRequest) -> dict[str, Callable[[Path], object]]:
    """By name, what makes the folder that a command starts from."""

    def copy(folder: Path) -> None:
        shutil.copytree(request.getfixturevalue("warehouses"), folder, dirs_exist_ok=True)

    def write_study(folder: Path) -> None:
        checkpoints = request.getfixturevalue("tiny_run")[0].parent / "out" / "checkpoints"
        shutil.copytree(checkpoints, folder / "out" / "checkpoints")
        write_tiny_study(folder)

    return {
        "nothing": lambda _folder: None,
        "warehouses": copy,
        "warehouse": lambda folder: (copy(folder), (folder / "exported.duckdb").unlink()),
        "study": write_study,
        "packed studies": lambda folder: write_studies(folder, photographs(70), "image_size = 32"),
    }


def published(folder: Path) -> dict[str, dict[str, str]]:
    """Digests by file, of a warehouse by table; a manifest, which grows, counts as a file for every entry."""
    found: dict[str, dict[str, str]] = {str(path.relative_to(folder)): {} for path in folder.rglob("[!.]*.duckdb")}
    for name, digest in digests(folder).items():
        if "/." not in name:
            found.setdefault(name.partition(": ")[0], {})[name] = digest
    for path in folder.glob("*/manifest.json"):
        manifest = json.loads(path.read_text())
        entries = {(name, level): one for name, row in manifest["corruptions"].items() for level, one in row.items()}
        found |= {f"{path.name} {key}": {"": str(value)} for key, value in (manifest | entries).items()}
        del found[str(path.relative_to(folder))], found[f"{path.name} corruptions"]
    return found


def names(folder: Path) -> set[Path]:
    """All files and folders, less decoded images, whose names have a hash of their folder's."""
    return {path.relative_to(folder) for path in folder.rglob("*") if "cache" not in path.parts}


def computed(folder: Path) -> dict[Path, int]:
    """When predictions, corrupted and decoded images were published, in nanoseconds."""
    paths = (path for pattern in COMPUTED for path in folder.rglob(pattern))
    return {
        path.relative_to(folder): path.stat().st_mtime_ns
        for path in paths
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


@quick("name", COMMANDS, *(name for name in COMMANDS if name not in RARE), others="nightly")
def test_a_killed_command_publishes_nothing_half_written_and_the_next_completes_it(
    name: str, prepare: dict[str, Callable[[Path], object]], tmp_path: Path
) -> None:
    command = COMMANDS[name]
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    for folder in (undisturbed, killed):
        folder.mkdir()
        prepare[command.prepare](folder)
    before = published(killed)
    run(*command.words, folder=undisturbed)
    whole = published(undisturbed)
    orders = json.dumps([command.words, command.instants, command.imported])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, orders], cwd=killed, env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.stdout.split() == ["-9"] * len(command.instants), done.stderr
    for number in range(len(command.instants)):
        left = tmp_path / f"after-{number}"
        assert names(left) != names(undisturbed), "it was over"
        now = published(left)
        files = before.keys() | whole.keys() | now.keys()
        assert [file for file in files if now.get(file) not in (before.get(file), whole.get(file))] == []
    run(*command.words, folder=killed)
    assert digests(killed) == digests(undisturbed)
    assert names(killed) == names(undisturbed)
    assert leftovers(killed) == []
    times = computed(killed)
    for number in range(len(command.instants)):
        earlier = computed(tmp_path / f"after-{number}")
        assert [file for file in earlier if file in times and times[file] != earlier[file]] == []


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.nightly)])  # 4: evaluate, load, import, train
def test_kills_at_random_instants_end_in_the_same_rows(kills: int, tmp_path: Path) -> None:
    options = ["--only", "kills", "--kills", str(kills), "--json", tmp_path / "found.json"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", *options], cwd=Path(__file__).parents[2], capture_output=True, text=True,
        timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    figures = [kill["figures"] for kill in json.loads((tmp_path / "found.json").read_text())]
    assert len(figures) == kills
    assert all(kill["second"] > 0 and kill["compared"] > 0 and kill["differing"] == 0 for kill in figures)
