"""Two processes at once on one study: each does its work or names the other, and rows are what they would be."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from fault_trials import Trial, attempt
from soak_study import COMMANDS, Base, Found, Job, resumed, unlike_a_refusal

PART = "two at once"
PAIRS = ("run", "evaluate", "train", "import", "load", "shapes", "report", "corrupt", "export")
MIXED = (("load", "evaluate"), ("load", "ingest"), ("report", "load"), ("report", "shapes"), ("export", "load"))
QUERIES, LOADS = 12, 4


def pair_jobs(base: Base, seed: int) -> list[Job]:
    """Every command beside itself, twice, and beside others; and queries while a load replaces what they read."""
    pairs = [(name, name, turn) for turn in range(2) for name in PAIRS] + [(*names, 0) for names in MIXED]
    jobs: list[Job] = [partial(_try_pair, base, name, other, f"{seed}/{turn}") for name, other, turn in pairs]
    return [*jobs, partial(_try_queries, base)]


def _try_pair(base: Base, name: str, other: str, seed: str, folder: Path) -> Found:
    command = COMMANDS[name]
    command.prepare(base, folder)
    later_s = random.Random(f"{seed} {name}").choice((0.0, 0.2, 1.0))

    def start(name: str, after_s: float) -> Trial:
        time.sleep(after_s)
        return attempt(*COMMANDS[name].arguments, folder=folder)

    with ThreadPoolExecutor(2) as pool:
        trials = list(pool.map(start, (name, other), (0.0, later_s)))
    wrong = [] if any(trial.code == 0 for trial in trials) else ["neither did its work"]
    wrong += [line for trial in trials for line in unlike_a_refusal(trial, "process")]  # each names the other
    wrong += resumed(folder, command, base)
    lines = [trial.stderr.strip().splitlines()[-1] if trial.code else "done" for trial in trials]
    return Found(
        PART,
        f"{name} + {other}",
        f"{later_s:g} s apart: {'; '.join(lines)}",
        wrong,
        {"codes": [t.code for t in trials]},
    )


def _try_queries(base: Base, folder: Path) -> Found:
    """Queries in a loop while the warehouse is loaded again and again: each sees a whole one."""
    COMMANDS["report"].prepare(base, folder)
    ask = partial(
        attempt, "query", "select count(*), sum(confidence) from prediction_facts", "--format", "csv", folder=folder
    )
    expected = ask().stdout

    def load_often() -> list[Trial]:
        return [attempt("load", "--rebuild", folder=folder) for _ in range(LOADS)]

    with ThreadPoolExecutor(1) as pool:
        loads = pool.submit(load_often)
        queries = [ask() for _ in range(QUERIES)]
        wrong = [f"a load: {trial.stderr.strip()}" for trial in loads.result() if trial.code]
    wrong += [f"a query: {trial}" for trial in queries if trial.code or trial.stdout != expected]
    return Found(PART, "load + query in a loop", f"{LOADS} loads, {QUERIES} queries", wrong)
