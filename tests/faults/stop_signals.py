"""Signals at random instants: one line, 130 or 143, no process left, the same command goes on; pauses do nothing."""

import os
import random
import signal
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from fault_trials import attempt, half_written, has_ended, outliving, stop
from soak_study import COMMANDS, Base, Command, Found, Job, compare, resumed, unlike_a_refusal

PART = "signals"
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}
HANGS_UP = ("env", "--default-signal=HUP")  # even if the soak itself runs under nohup
INSTANTS = 2  # of each signal
NAMES = ("run", "train", "evaluate", "load", "corrupt", "query", "report")
GONE_WITHIN_S = 2


def signal_jobs(base: Base, seed: int) -> list[Job]:
    """A command of each kind, stopped by each signal at random instants."""
    tries = (_try_signals, _try_pauses, _try_impatience)
    return [partial(one, base, name, f"{seed} {name}") for name in NAMES for one in tries]


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
    wrong += resumed(here, command, base)
    return Found(PART, name, ", ".join(outcomes), wrong, {"undisturbed_s": round(whole_s, 2)})


def _try_pauses(base: Base, name: str, seed: str, folder: Path) -> Found:
    """SIGSTOP and SIGCONT, as Ctrl-Z and `fg` send them, again and again: the result is the same."""
    command, rng = COMMANDS[name], random.Random(f"pauses {seed}")
    pauses = 0

    def pause(number: int) -> None:
        nonlocal pauses
        while not has_ended(number):
            for sign in (signal.SIGSTOP, signal.SIGCONT):
                with suppress(ProcessLookupError):
                    os.killpg(number, sign)
                time.sleep(rng.uniform(0.05, 0.5))
            pauses += 1

    here = _prepared(command, base, folder / "paused")
    trial = attempt(*command.arguments, folder=here, start_new_session=True, meanwhile=pause)
    wrong = [f"ended with {trial.code}: {trial.stderr}"] if trial.code else compare(here, command, base)
    return Found(PART, f"{name}, pauses", f"{pauses} pauses: {trial.code}", wrong, {"pauses": pauses})


def _try_impatience(base: Base, name: str, seed: str, folder: Path) -> Found:
    """A second Ctrl-C while the first one is cleaned up: the command ends, and the next run goes on."""
    command, rng = COMMANDS[name], random.Random(f"impatience {seed}")
    here = _prepared(command, base, folder / "impatient")
    groups: list[int] = []

    def send(number: int) -> None:
        groups.append(number)
        stop(number, signal.SIGINT, rng.uniform(0, 3), group=True)
        time.sleep(rng.choice((0.0, 0.01, 0.05, 0.2)))
        with suppress(ProcessLookupError):
            os.killpg(number, signal.SIGINT)

    trial = attempt(*command.arguments, folder=here, start_new_session=True, meanwhile=send)
    wrong = [] if trial.code in (0, 130, -signal.SIGINT) else [f"ended with {trial.code}: {trial.stderr}"]
    wrong += [f"processes left: {left}"] if (left := outliving(groups[0], GONE_WITHIN_S)) else []
    wrong += resumed(here, command, base)
    return Found(PART, f"{name}, Ctrl-C twice", str(trial.code), wrong, {"code": trial.code})


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

    trial = attempt(*command.arguments, folder=folder, through=HANGS_UP, start_new_session=True, meanwhile=send)
    left = outliving(groups[0], GONE_WITHIN_S)
    wrong = [f"processes left: {left}"] if left else []
    wrong += unlike_a_refusal(trial, "stopped", CODES[sign])
    wrong += [f"half-written: {path}" for path in half_written(folder) if trial.code]
    return trial.code, wrong
