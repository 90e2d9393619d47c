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
        load([write_synthetic(folder, images=100).output], folder / "warehouse.duckdb")
        python = [sys.executable, "-c"]
        bare_s = _cpu_s([*python, "pass"], folder)
        import_s = _cpu_s([*python, "import failmodes"], folder) - bare_s
        typer_s = _cpu_s([*python, PEER[0]], folder)
        help_s = _cpu_s([SCRIPT, "--help"], folder)
        query_s = _cpu_s([SCRIPT, "query", "select 1"], folder)
        database_s = _cpu_s([*python, DATABASE], folder)
    against = "{:g} s of CPU promised"
    unit = "s of CPU"
    yield Result("startup/import", import_s, unit, IMPORT_LIMIT_S / import_s, against.format(IMPORT_LIMIT_S))
    yield Result("startup/help", help_s, unit, COMMAND_LIMIT_S / help_s, against.format(COMMAND_LIMIT_S))
    yield Result("startup/help/typer", help_s, unit, typer_s / help_s, PEER[1])
    yield Result("startup/query", query_s, unit, COMMAND_LIMIT_S / query_s, against.format(COMMAND_LIMIT_S))
    yield Result("startup/query/duckdb", query_s, unit, database_s / query_s, "typer, and select 1 in memory, alone")


def _cpu_s(command: list[str | Path], folder: Path) -> float:
    """Median CPU seconds of a process and its children, after one that warms the disk's cache."""
    return median([_once_s(command, folder) for _ in range(ROUNDS + 1)][1:])


def _once_s(command: list[str | Path], folder: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(list(map(str, command)), cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
