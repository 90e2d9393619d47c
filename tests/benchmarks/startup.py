"""CPU seconds until the package, the help and a query are there, against what was promised for each."""

import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from measure import Result
from synthetic_results import write_synthetic

from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.warehouse.database.load import load

ROUNDS = 7
SCRIPT = Path(sys.executable).parent / "failmodes"
IMPORT_LIMIT_S, COMMAND_LIMIT_S = 0.05, 0.4
PEER = ("import typer", "import typer alone")  # what any command line of this kind begins with
DATABASE = "import typer, duckdb; duckdb.connect(':memory:').execute('select 1').fetchall()"  # and any question


def measure_startup() -> Iterator[Result]:
    """All lines of this file: median CPU (user and system) of whole processes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        load([write_synthetic(folder, images=100).output], folder / "warehouse.duckdb", derivation=DERIVATION)
        python, query = [sys.executable, "-c"], [SCRIPT, "query", "select 1"]
        import_s = _cpu_s([*python, "import failmodes"], folder) - _cpu_s([*python, "pass"], folder)
        help_s, query_s = _cpu_s([SCRIPT, "--help"], folder), _cpu_s(query, folder)
        typer_s, database_s = (_cpu_s([*python, code], folder) for code in (PEER[0], DATABASE))
    for name, spent_s, limit_s, against in (
        ("import", import_s, IMPORT_LIMIT_S, f"{IMPORT_LIMIT_S:g} s of CPU promised"),
        ("help", help_s, COMMAND_LIMIT_S, f"{COMMAND_LIMIT_S:g} s of CPU promised"),
        ("help/typer", help_s, typer_s, PEER[1]),
        ("query", query_s, COMMAND_LIMIT_S, f"{COMMAND_LIMIT_S:g} s of CPU promised"),
        ("query/duckdb", query_s, database_s, "typer, and select 1 in memory, alone"),
    ):
        yield Result(f"startup/{name}", spent_s, "s of CPU", limit_s / spent_s, against)


def _cpu_s(command: list[str | Path], folder: Path) -> float:
    """Median CPU seconds of a process and its children, after one that warms the disk's cache."""
    return median([_once_s(command, folder) for _ in range(ROUNDS + 1)][1:])


def _once_s(command: list[str | Path], folder: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(list(map(str, command)), cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
