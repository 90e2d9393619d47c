"""The n-th write, sync or rename of a command fails: one line, nothing half-written, resumed to the same rows.

The same seed fails the same call again, where a kill at a random instant does not repeat. A write that is cut short has
no place here, since strace can only say that it was: a disk that is full (`full_disks.py`) cuts it.
"""

import random
import re
import shutil
from collections import Counter
from functools import partial
from pathlib import Path

from fault_trials import attempt, half_written
from soak_study import COMMANDS, Base, Found, Job, resumed, unlike_a_refusal

PART = "failing calls"
NAMES = ("evaluate", "load", "import", "train", "corrupt", "export", "report", "query to a file")
FAILURES = {
    "write": ("ENOSPC", "EIO"),
    "pwrite64": ("ENOSPC", "EIO"),
    "fsync": ("EIO",),
    "rename": ("EACCES", "ENOSPC", "EIO"),
    "ftruncate": ("EIO",),
    "mkdir": ("ENOSPC",),
    "unlink": ("EIO",),
}  # the errors that each of these calls may have
TRIALS = 3  # of each call of a command


def failing_jobs(base: Base, seed: int) -> list[Job]:
    """Each call of each command at numbers of a seed."""
    if not shutil.which("strace"):
        return [lambda _folder: Found(PART, "all", "not tried: no strace is installed", [])]
    return [partial(_try_calls, base, name, f"{seed} {name}") for name in NAMES]


def _try_calls(base: Base, name: str, seed: str, folder: Path) -> Found:
    command, rng = COMMANDS[name], random.Random(seed)
    wrong, outcomes = [], Counter[str]()
    whole = folder / "whole"
    whole.mkdir()
    command.prepare(base, whole)
    calls = ",".join(FAILURES)
    traced = ("strace", "-f", "--seccomp-bpf", "-qq", "-o", str(folder / "calls"), "-e", f"trace={calls}")
    attempt(*command.arguments, folder=whole, through=traced)
    by_thread = Counter(re.findall(r"^(\d+) +(\w+)\(", (folder / "calls").read_text(errors="replace"), re.MULTILINE))
    for call, errors in FAILURES.items():
        most = max((count for (_, name), count in by_thread.items() if name == call), default=0)
        for number in sorted(rng.sample(range(1, most + 1), min(TRIALS, most))):
            here, error = folder / f"{call} {number}", rng.choice(errors)
            here.mkdir()
            command.prepare(base, here)
            inject = f"inject={call}:error={error}:when={number}"
            trial = attempt(
                *command.arguments, folder=here, through=(*traced[:-2], "-e", f"trace={call}", "-e", inject)
            )
            faults = unlike_a_refusal(trial)
            faults += [f"half-written: {path}" for path in half_written(here)]
            faults += resumed(here, command, base)
            wrong += [f"{call} {number} of {most} {error}, {trial.code}: {fault}" for fault in faults]
            outcomes[f"{call} {trial.code}"] += 1
            shutil.rmtree(here)
    said = ", ".join(f"{outcome}: {count}" for outcome, count in outcomes.items())
    return Found(PART, name, said, wrong, {"tries": outcomes.total()})
