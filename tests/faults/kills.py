"""`kill -9` at random instants, and the same command to its end."""

import os
import random
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from fault_trials import attempt, half_written, has_ended, outliving
from rich.table import Table
from soak_study import (
    COMMANDS,
    POLLED_S,
    STAGES,
    Base,
    Command,
    Found,
    Job,
    compare,
    count_shards,
    stage_of,
    undisturbed,
)

PART = "kills"
# A kill each, again and again; a run takes longest, a load is soon done
TURNS = (
    "evaluate", "load", "import", "train", "corrupt", "report", "export", "run", "evaluate tar", "load", "import",
    "train", "corrupt to folders", "evaluate parquet", "export", "run", "load", "evaluate", "evaluate on demand",
    "load", "load another", "ingest tar", "slices",
)  # fmt: skip
TRIES = 8  # a command may be done before the instant comes
GONE_WITHIN_S = 10


def kill_jobs(base: Base, kills: int, seed: int) -> list[Job]:
    """A kill each, the commands in turns."""
    return [partial(_try_kill, base, TURNS[number % len(TURNS)], f"{seed}/{number}") for number in range(kills)]


def _try_kill(base: Base, name: str, seed: str, folder: Path) -> Found:
    command, rng = COMMANDS[name], random.Random(seed)
    for number in range(TRIES):
        here = folder / str(number)
        here.mkdir()
        command.prepare(base, here)
        stage = rng.choice(command.stages or STAGES[:1])
        longest_s = base.stays_s.get(stage, 1) if command.stages else undisturbed(base, command).seconds
        group, instant = _kill(command, here, stage, rng.uniform(0, longest_s))
        if instant is not None:
            break
    else:
        return Found(PART, name, "always done before it was killed", [f"never killed in {TRIES} tries"])
    survivors = outliving(group, GONE_WITHIN_S)
    wrong = [f"processes outlive it: {survivors}"] if survivors else []
    for survivor in survivors:
        with suppress(ProcessLookupError):
            os.kill(survivor, signal.SIGKILL)
    done = attempt(*command.arguments, folder=here)
    if done.code:
        wrong.append(f"the same command ended with {done.code}: {done.stderr.strip()}")
    else:
        differing = compare(here, command, base)
        wrong += differing
        instant |= {"compared": len(undisturbed(base, command).digests), "differing": len(differing)}
    within = ", within a write" if instant["within_a_write"] else ""
    outcome = f"killed after {instant['second']:.2f} s, {instant['shards']} shards, {instant['stage']}{within}"
    return Found(PART, name, outcome, wrong, {"command": name, **instant})


def _kill(command: Command, folder: Path, stage: str, after_s: float) -> tuple[int, dict[str, Any] | None]:
    """Kill a command `after_s` seconds after it reached a stage; the number of its group, and what it had published."""
    group, killed_s = 0, 0.0
    started = time.monotonic()

    def wait_and_kill(number: int) -> None:
        nonlocal group, killed_s
        group = number
        while not has_ended(number) and STAGES.index(stage_of(folder / "out")) < STAGES.index(stage):
            time.sleep(POLLED_S)
        deadline = time.monotonic() + after_s
        while not has_ended(number) and time.monotonic() < deadline:
            time.sleep(min(POLLED_S, max(0.0, deadline - time.monotonic())))
        killed_s = time.monotonic() - started
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)

    trial = attempt(*command.arguments, folder=folder, start_new_session=True, meanwhile=wait_and_kill)
    if trial.code != -signal.SIGKILL:
        return group, None
    return group, {
        "second": round(killed_s, 3),
        "stage": stage_of(folder / "out"),
        "shards": count_shards(folder / "out"),
        "within_a_write": bool(half_written(folder)),
    }


def instants_table(found: Iterable[Found]) -> Table:
    """Where the kills fell: by command and stage, how many, when, those within a write, and rows that differ."""
    table = Table("command", "stage at the kill", "kills", "earliest, s", "median, s", "latest, s", "in a write",
                  "tables and files", "differ", title="Instants of the kills", title_justify="left")  # fmt: skip
    kills = [result.figures for result in found if result.part == PART and result.figures]
    for name in COMMANDS:
        for stage in STAGES:
            here = [kill for kill in kills if (kill["command"], kill["stage"]) == (name, stage)]
            if here:
                seconds = [kill["second"] for kill in here]
                times = [f"{value:.2f}" for value in (min(seconds), median(seconds), max(seconds))]
                sums = [sum(kill.get(key, 0) for kill in here)
                        for key in ("within_a_write", "compared", "differing")]  # fmt: skip
                table.add_row(name, stage, str(len(here)), *times, *map(str, sums))
    return table
