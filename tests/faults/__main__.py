"""`make soak`: kills, failing calls, full disks, limits, two at once, clocks, signals, read-only folders; all compared.

Every trial has a folder of its own and is printed when it is over, what did not hold beneath it. The exit code is not 0
where anything did not hold.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "references")]
os.environ["OMP_NUM_THREADS"] = "1"  # rows are compared by hash, and several trials share the cores

from clocks import clock_jobs  # noqa: E402
from failing_calls import failing_jobs  # noqa: E402
from full_disks import disk_jobs  # noqa: E402
from kills import instants_table, kill_jobs  # noqa: E402
from process_limits import limit_jobs  # noqa: E402
from read_only_folders import read_only_jobs  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from soak_study import Base, Found, Job, make_base  # noqa: E402
from stop_signals import signal_jobs  # noqa: E402
from two_at_once import pair_jobs  # noqa: E402

PARTS: dict[str, Callable[[Base, int, int], list[Job]]] = {
    "kills": lambda base, kills, seed: kill_jobs(base, kills, seed),
    "disks": lambda base, _kills, seed: disk_jobs(base, seed),
    "calls": lambda base, _kills, seed: failing_jobs(base, seed),
    "limits": lambda base, _kills, _seed: limit_jobs(base),
    "pairs": lambda base, _kills, seed: pair_jobs(base, seed),
    "clocks": lambda base, _kills, _seed: clock_jobs(base),
    "signals": lambda base, _kills, seed: signal_jobs(base, seed),
    "read-only": lambda base, _kills, _seed: read_only_jobs(base),
}


def main() -> None:
    """Try everything, print it line by line and in a table, write the list where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write what was found to this file")
    parser.add_argument("--only", choices=PARTS, help="try this part alone")
    parser.add_argument("--kills", type=int, default=100, help="how many kills (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the instants and sizes (default 0)")
    parser.add_argument("--at-once", type=int, default=2, help="trials at once (default 2)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that disks and folders go with it
    console = Console(highlight=False, soft_wrap=True, markup=False, width=None if sys.stdout.isatty() else 140)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="failmodes-soak-") as name:
        base = make_base(Path(name))
        stays = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in base.stays_s.items())
        console.print(f"undisturbed: {stays}")
        parts = [arguments.only] if arguments.only else PARTS
        jobs = [job for part in parts for job in PARTS[part](base, arguments.kills, arguments.seed)]
        found = run_jobs(jobs, Path(name), arguments.at_once, console)
    if any(result.part == "kills" for result in found):
        console.print(instants_table(found))
    console.print(summary_table(found))
    failed = sum(bool(result.wrong) for result in found)
    console.print(
        f"{len(found)} trials in {time.monotonic() - started:.0f} s with seed {arguments.seed}, {failed} failed"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps([result._asdict() for result in found], indent=2) + "\n")
    sys.exit(1 if failed or not found else 0)


def run_jobs(jobs: list[Job], folder: Path, at_once: int, console: Console) -> list[Found]:
    """Run all, some at once; each is printed as it ends."""
    found = []
    with ThreadPoolExecutor(at_once) as pool:
        futures = [pool.submit(_run_job, job, folder / f"job-{number}") for number, job in enumerate(jobs)]
        try:
            for future in as_completed(futures):
                result = future.result()
                found.append(result)
                state = "FAILED" if result.wrong else "held"
                console.print(f"{result.part:18} {result.name:32} {state:7} {result.outcome}")
                for line in result.wrong:
                    console.print(f"{'':18} {line[:2000]}")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return found


def _run_job(job: Job, folder: Path) -> Found:
    """Run one in a folder that is gone afterwards; an error of the trial itself is a failure too."""
    folder.mkdir()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=folder.name) as name:
        try:
            return job(Path(name))
        except Exception as error:
            return Found("soak", str(getattr(job, "args", ())[1:]), "the trial itself failed", [repr(error)])


def summary_table(found: list[Found]) -> Table:
    """Trials and failures of every part."""
    table = Table("part", "trials", "failed", title="Soak", title_justify="left")
    for part in dict.fromkeys(result.part for result in found):
        here = [result for result in found if result.part == part]
        table.add_row(part, str(len(here)), str(sum(bool(result.wrong) for result in here)))
    return table


if __name__ == "__main__":
    main()
