"""Limits that a shell sets, on memory and on open files: a command works, or says so in one line.

Where a library ended the working process, nothing could tidy up after it: the next run does, as after a kill.
"""

from functools import partial
from pathlib import Path

from fault_trials import attempt, check_refusal, half_written, shell
from soak_study import COMMANDS, Base, Found, Job, compare

PART = "limits"
NAMES = ("query", "query to a file", "status", "shapes", "chart", "report", "load", "corrupt", "ingest", "import",
         "train", "evaluate")  # fmt: skip
HEAVY = ("import", "train", "evaluate")  # they need more of both
MEMORY_MB, HEAVY_MB = (150, 300, 600, 1200, 2400), (600, 2400, 4800)
OPEN_FILES, HEAVY_FILES = (8, 12, 24), (8, 32)


def limit_jobs(base: Base) -> list[Job]:
    """Every command under every limit."""
    jobs: list[Job] = []
    for name in NAMES:
        memory_mb, files = (HEAVY_MB, HEAVY_FILES) if name in HEAVY else (MEMORY_MB, OPEN_FILES)
        limits = [*(f"ulimit -v {mb * 1024}" for mb in memory_mb), *(f"ulimit -n {number}" for number in files)]
        jobs += [partial(_try_limit, base, name, limit) for limit in limits]
    return jobs


def _try_limit(base: Base, name: str, limit: str, folder: Path) -> Found:
    command, wrong = COMMANDS[name], []
    command.prepare(base, folder)
    trial = attempt(*command.arguments, folder=folder, through=shell(f"{limit}; "))
    if trial.code:
        try:
            check_refusal(trial)
        except AssertionError as error:
            wrong.append(f"not one line: {error}")
    was_ended = any(f"failmodes: {how}" in trial.stderr for how in ("ended by", "killed"))
    wrong += [f"half-written: {path}" for path in half_written(folder) if not (was_ended and command.makes)]
    if trial.code and command.makes and (folder / "out" / "results").exists():
        again = attempt(*command.arguments, folder=folder)
        wrong += [f"not resumed: {again.stderr.strip()}"] if again.code else compare(folder, command, base).wrong
        wrong += [f"half-written after the next run: {path}" for path in half_written(folder)]
    outcome = (
        trial.stderr.strip().splitlines()[-1] if trial.code and trial.stderr.strip() else f"ended with {trial.code}"
    )
    return Found(PART, f"{name}, {limit}", outcome, wrong, {"code": trial.code, "peak_mb": trial.peak_mb})
