"""Clocks that are wrong: a run in 1971, one in 2100, and files that say that they are of then.

The clock of Python's `time`, and that of `datetime` in the modules of this program, is set in every process of the
command by a `sitecustomize` on its path. DuckDB's own functions and the file system keep the machine's, so that the
times of files are set afterwards; so do other libraries' `datetime` (pandas does not bear a class in its place).
"""

import os
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from fault_trials import attempt
from soak_study import COMMANDS, Base, Found, Job, compare

PART = "clocks"
OFFSET = "SOAK_CLOCK_OFFSET_S"
CLOCK = f'''
import datetime, os, time
from importlib.machinery import SourceFileLoader

real_time, real_time_ns, real = time.time, time.time_ns, datetime.datetime
offset_s = int(os.environ["{OFFSET}"])
time.time = lambda: real_time() + offset_s
time.time_ns = lambda: real_time_ns() + offset_s * 10**9

class Kind(type):
    def __instancecheck__(cls, other):
        return isinstance(other, real)

class Shifted(real, metaclass=Kind):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls):
        return cls.now(datetime.timezone.utc).replace(tzinfo=None)

    today = now

Shifted.__name__ = Shifted.__qualname__ = "datetime"
Shifted.__module__ = "datetime"
run_module = SourceFileLoader.exec_module

def run_and_shift(self, module):
    run_module(self, module)
    if module.__name__.startswith("failmodes") and getattr(module, "datetime", None) is real:
        module.datetime = Shifted

SourceFileLoader.exec_module = run_and_shift
'''


def clock_jobs(base: Base) -> list[Job]:
    """A run that begins in one year and ends in the other, either way round, looked at again today."""
    return [partial(_try_clock, base, years) for years in ((1971, 2100), (2100, 1971))]


def _try_clock(base: Base, years: tuple[int, int], folder: Path) -> Found:
    (folder / "clock").mkdir()
    (folder / "clock" / "sitecustomize.py").write_text(CLOCK)
    here, command, wrong = folder / "study", COMMANDS["run"], []
    here.mkdir()
    command.prepare(base, here)
    for arguments, year in ((("train",), years[0]), (("evaluate",), years[0]), (command.arguments, years[1])):
        done = attempt(*arguments, folder=here, environment=_clock_of(year, folder / "clock"))
        wrong += [f"{arguments[0]} in {year}: {done.stderr.strip()}"] if done.code else []
        _set_file_times(here, year)
    wrong += compare(here, command, base)
    wrong += (
        [] if f"{years[1]}-" in attempt("status", folder=here).stdout else ["the clock was not the one that was set"]
    )
    for arguments in (command.arguments, ("load", "--rebuild"), ("report",), ("shapes",)):
        again = attempt(*arguments, folder=here)
        wrong += [f"{arguments[0]} today: {again.stderr.strip()}"] if again.code else []
        if arguments == command.arguments and "0 shards written" not in again.stderr:
            wrong.append(f"shards were made again: {again.stderr.strip()}")
    wrong += compare(here, command, base)
    return Found(
        PART, f"run, begun in {years[0]}, ended in {years[1]}", "and again today: nothing is made twice", wrong
    )


def _clock_of(year: int, folder: Path) -> dict[str, str]:
    offset_s = int(datetime(year, 7, 1, tzinfo=UTC).timestamp() - time.time())
    return {"PYTHONPATH": str(folder), OFFSET: str(offset_s)}


def _set_file_times(folder: Path, year: int) -> None:
    moment = datetime(year, 7, 1, tzinfo=UTC).timestamp()
    for path in folder.rglob("*"):
        os.utime(path, (moment, moment))
