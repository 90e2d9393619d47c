"""Ctrl-C and SIGTERM at random instants: one line, 130 or 143, no process left, and the same command goes on."""

import random
import signal
from functools import partial
from pathlib import Path

from fault_trials import attempt, half_written, outliving, stop
from soak_study import COMMANDS, Base, Command, Found, Job, resumed, unlike_a_refusal

PART = "signals"
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
INSTANTS = 2  # of each signal
NAMES = ("run", "train", "evaluate", "load", "corrupt", "query", "report")
GONE_WITHIN_S = 2


def signal_jobs(base: Base, seed: int) -> list[Job]:
    """A command of each kind, stopped by each signal at random instants."""
    return [partial(_try_signals, base, name, f"{seed} {name}") for name in NAMES]


def _try_signals(base: Base, name: str, seed: str, folder: Path) -> Found:
    command, rng = COMMANDS[name], random.Random(seed)
    wrong, outcomes = [], []
    whole_s = attempt(*command.arguments, folder=_prepared(command, base, folder / "whole")).elapsed_s
    for number, sign in enumerate([*CODES] * INSTANTS):
        here = _prepared(command, base, folder / str(number))
        after_s, group = round(rng.uniform(0, whole_s), 2), rng.random() < 0.5
        code, faults = _stop(command, here, sign, after_s, group)
        outcomes.append(f"{sign.name}{' to all' if group else ''} at {after_s} s: {code}")
        wrong += [f"{outcomes[-1]}: {fault}" for fault in faults]
    if command.makes:
        wrong += resumed(here, command, base)
    return Found(PART, name, ", ".join(outcomes), wrong, {"undisturbed_s": round(whole_s, 2)})


def _prepared(command: Command, base: Base, folder: Path) -> Path:
    folder.mkdir()
    command.prepare(base, folder)
    return folder


def _stop(command: Command, folder: Path, sign: signal.Signals, after_s: float, group: bool) -> tuple[int, list[str]]:
    """Stop a command; its exit code, 0 where it was done first, and what did not hold."""
    groups: list[int] = []

    def send(number: int) -> None:
        groups.append(number)
        stop(number, sign, after_s, group=group)

    trial = attempt(*command.arguments, folder=folder, start_new_session=True, meanwhile=send)
    left = outliving(groups[0], GONE_WITHIN_S)
    wrong = [f"processes left: {left}"] if left else []
    wrong += unlike_a_refusal(trial, "stopped", CODES[sign])
    wrong += [f"half-written: {path}" for path in half_written(folder) if trial.code]
    return trial.code, wrong
