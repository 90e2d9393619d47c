"""Folders that may only be read: who reads works, who writes says where it cannot, and nothing changes."""

import os
import shutil
from functools import partial
from pathlib import Path

from fault_trials import attempt
from soak_study import COMMANDS, Base, Found, Job, unlike_a_refusal

PART = "read-only folders"
READERS = ("status", "query")
# The system administrator may write anywhere, unless this is taken from the process
ANYWHERE = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")


def read_only_jobs(base: Base) -> list[Job]:
    """Every command in a folder that may not be written to; none where that cannot be arranged."""
    return [partial(_try_read_only, base, name) for name in COMMANDS]


def _try_read_only(base: Base, name: str, folder: Path) -> Found:
    command = COMMANDS[name]
    here = folder / "here"
    here.mkdir()
    command.prepare(base, here)
    paths = [here, *here.rglob("*")]
    if os.geteuid() == 0 and not shutil.which(ANYWHERE[0]):
        return Found(PART, name, "not tried: this user may write anywhere", [])
    before = {path: path.stat().st_mtime_ns for path in paths}
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    trial = attempt(*command.arguments, folder=here, through=ANYWHERE if os.geteuid() == 0 else ())
    after = {path: path.stat().st_mtime_ns for path in (here, *here.rglob("*"))}
    for path in paths:
        path.chmod(0o755 if path.is_dir() else 0o644)
    wrong = [] if after == before else [f"changed: {sorted(map(str, dict(after.items() ^ before.items())))}"]
    wrong += unlike_a_refusal(trial, "permi")  # "permission denied", "not permitted"
    wrong += [f"only reads: {trial.stderr}"] if name in READERS and trial.code else []
    outcome = trial.stderr.strip().splitlines()[-1] if trial.code else "works"
    return Found(PART, name, outcome, wrong, {"code": trial.code})
