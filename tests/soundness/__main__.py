"""`make soundness`: how often each kind of sentence is false, and how often each kind of interval holds the truth.

Data are simulated whose truth is known, and judged by the project's own functions. The exit code is 1 where a limit is
broken.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # processes share the cores
sys.path[:0] = [str(Path(__file__).parent)]

from claims import Job, Row  # noqa: E402
from page import broken_lines, markdown, summary_table  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: E402
from running import all_jobs, measure_all  # noqa: E402

SAMPLES, QUICK_SAMPLES = 4_000, 400


def main() -> None:
    """Measure every row, print the worst of each kind, write all where it is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.soundness", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SAMPLES} samples a row instead of {SAMPLES:,}")
    parser.add_argument("--seed", type=int, default=0, help="of all samples (default 0)")
    parser.add_argument("--only", choices=kinds(), metavar="KIND", help="measure rows of this kind alone")
    parser.add_argument("--json", type=Path, help="write all rows to this file")
    parser.add_argument("--markdown", type=Path, help="write all rows as a page to this file")
    parser.add_argument("--processes", type=int, default=2, help="at once (default 2)")
    arguments = parser.parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    jobs, started = all_jobs(arguments.only), time.monotonic()
    samples = QUICK_SAMPLES if arguments.quick else SAMPLES
    columns = (TextColumn("{task.description:40}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=sum(min(samples, job.samples or samples) for job in jobs))

        def finished(job: Job, count: int, rows: list[Row]) -> None:
            progress.update(task, advance=count, description=job.claims[0].kind)
            for line in broken_lines(rows):
                progress.console.print(line, soft_wrap=True, markup=False)

        rows = measure_all(jobs, samples, arguments.seed, arguments.processes, finished)
    minutes = (time.monotonic() - started) / 60
    console.print(summary_table(rows))
    console.print(f"{len(rows)} rows in {minutes:.1f} minutes with seed {arguments.seed}")
    if arguments.json:
        arguments.json.write_text(json.dumps([row._asdict() for row in rows], indent=2) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(markdown(rows, arguments.seed, minutes, arguments.processes))
    sys.exit(1 if any(not row.ok for row in rows) else 0)


def kinds() -> list[str]:
    return sorted({claim.kind for job in all_jobs() for claim in job.claims})


if __name__ == "__main__":
    main()
