"""Limits that a shell sets, on memory and on open files: a command works, says so in one line, or a library ends it.

Where a library ended the process, nothing could tidy up after it: the next run does, as after a kill.
"""

from functools import partial
from pathlib import Path

from fault_trials import attempt, half_written, shell
from soak_study import COMMANDS, Base, Found, Job, resumed, unlike_a_refusal

PART = "limits"
MEMORY_MB = {"query": (150, 600), "load": (300, 1200), "train": (600, 2400), "evaluate": (2400,)}
OPEN_FILES = {"query": (8,), "load": (12,), "evaluate": (8, 32)}


def limit_jobs(base: Base) -> list[Job]:
    """A command that reads, that writes, and that needs PyTorch, under limits of each kind."""
    limits = [(name, f"ulimit -v {mb * 1024}") for name, sizes in MEMORY_MB.items() for mb in sizes]
    limits += [(name, f"ulimit -n {number}") for name, numbers in OPEN_FILES.items() for number in numbers]
    return [partial(_try_limit, base, name, limit) for name, limit in limits]


def _try_limit(base: Base, name: str, limit: str, folder: Path) -> Found:
    command, wrong = COMMANDS[name], []
    command.prepare(base, folder)
    trial = attempt(*command.arguments, folder=folder, through=shell(f"{limit}; "))
    outcome = (trial.stderr.strip().splitlines() or [""])[-1] if trial.code else "works"
    if outcome.startswith("failmodes: "):
        wrong += unlike_a_refusal(trial) + [f"half-written: {path}" for path in half_written(folder)]
    if trial.code and command.is_compared:
        wrong += resumed(folder, command, base)
        wrong += [f"half-written after the next run: {path}" for path in half_written(folder)]
    return Found(PART, f"{name}, {limit}", outcome, wrong, {"code": trial.code, "peak_mb": trial.peak_mb})
