"""`make soundness`: how often statements are false and intervals contain the truth, alone and in whole reports.

Simulated data with known truth are judged by the project's own functions. The exit code is 1 if a limit is broken.
"""

import argparse
import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # processes share the cores
sys.path[:0] = [str(Path(__file__).parent)]

from claims import Job, Row  # noqa: E402
from page import broken_lines, interval_table, markdown, statement_table  # noqa: E402
from report_page import ReportSet, broken_reports, read_reports, scenario_table, write_reports  # noqa: E402
from reports import ONLY, QUICK_REPORTS, REPORTS, ReportRow, measure_reports, report_jobs  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: E402
from running import all_jobs, measure_all  # noqa: E402
from stored_rows import read_rows, replaced, write_rows  # noqa: E402

SAMPLES, QUICK_SAMPLES = 2_500, 400
ROWS = "rows"  # of every kind, without whole reports


def main() -> None:
    """Measure every row and whole reports, print the worst of each kind, write all where it is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.soundness", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"{QUICK_SAMPLES} samples a row instead of {SAMPLES:,}, {QUICK_REPORTS} reports instead of {REPORTS}",
    )
    parser.add_argument("--seed", type=int, default=0, help="of all samples (default 0)")
    parser.add_argument(
        "--only",
        choices=[ONLY, ROWS, *kinds()],
        metavar="KIND",
        help=f"measure rows of this kind alone, all {ROWS} without whole reports, or whole {ONLY}",
    )
    parser.add_argument("--json", type=Path, help="write all rows to this file")
    parser.add_argument(
        "--markdown",
        type=Path,
        help="write the page to this file, and beside it all rows as CSV and whole reports as JSON; what was not "
        "measured stays as it is there",
    )
    parser.add_argument("--processes", type=int, default=2, help="at once (default 2)")
    arguments = parser.parse_args()
    console, started = Console(highlight=False, width=None if sys.stdout.isatty() else 200), time.monotonic()
    rows = [] if arguments.only == ONLY else measure_rows(arguments, console)
    if arguments.markdown and rows:  # reports take as long again: whatever happens to them, the rows are kept
        write_rows(arguments.markdown.with_suffix(".csv"), kept_with(rows, arguments))
    reports = measure_whole(arguments, console) if arguments.only in (None, ONLY) else []
    minutes = (time.monotonic() - started) / 60
    found = ReportSet(f"{datetime.now(UTC):%Y-%m-%d}", tuple(reports))
    lines = [*statement_table(rows, found), "", *interval_table(rows)] if rows else []
    lines += ["", *scenario_table(found)] if reports else []
    console.print("\n".join(lines), soft_wrap=True, markup=False)
    console.print(f"{len(rows)} rows and {len(reports)} of reports in {minutes:.1f} minutes with seed {arguments.seed}")
    if arguments.json:
        listed = {"rows": [row._asdict() for row in rows], "reports": [row._asdict() for row in reports]}
        arguments.json.write_text(json.dumps(listed, indent=2) + "\n")
    if arguments.markdown:
        write_page(arguments, rows, found, minutes)
    sys.exit(1 if any(not row.ok for row in (*rows, *reports)) else 0)


def measure_rows(arguments: argparse.Namespace, console: Console) -> list[Row]:
    """All rows of each kind by itself, with a line for each whose limit is broken."""
    only = None if arguments.only == ROWS else arguments.only
    jobs, samples = all_jobs(only), QUICK_SAMPLES if arguments.quick else SAMPLES
    with progress_bar(console) as progress:
        task = progress.add_task("", total=sum(min(samples, job.samples or samples) for job in jobs))

        def finished(job: Job, count: int, rows: list[Row]) -> None:
            progress.update(task, advance=count, description=job.claims[0].kind)
            for line in broken_lines(rows):
                progress.console.print(line, soft_wrap=True, markup=False)

        return measure_all(jobs, samples, arguments.seed, arguments.processes, finished)


def measure_whole(arguments: argparse.Namespace, console: Console) -> list[ReportRow]:
    """Whole reports of all scenarios, with a line for each limit that is broken."""
    count = QUICK_REPORTS if arguments.quick else REPORTS
    with progress_bar(console) as progress:
        task = progress.add_task(ONLY, total=count * len(report_jobs()))

        def finished(scenario: str, count: int) -> None:
            progress.update(task, advance=count, description=scenario)

        rows = measure_reports(count, arguments.seed, arguments.processes, finished)
    for line in broken_reports(rows):
        console.print(line, soft_wrap=True, markup=False)
    return rows


def progress_bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description:40}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


def kept_with(rows: list[Row], arguments: argparse.Namespace) -> list[Row]:
    """The measured rows, with those that the file has of kinds that were not measured."""
    if arguments.only in (None, ROWS):
        return rows
    return replaced(read_rows(arguments.markdown.with_suffix(".csv")), rows, arguments.only)


def write_page(arguments: argparse.Namespace, rows: list[Row], reports: ReportSet, minutes: float) -> None:
    """Write the page and the data beside it; what was not measured is kept."""
    path = arguments.markdown
    table, stored = path.with_suffix(".csv"), path.with_name(f"{path.stem}-reports.json")
    all_rows = kept_with(rows, arguments) if rows else read_rows(table)
    now = reports if reports.rows else read_reports(stored)
    made = (
        f"Measured by `make soundness` on {reports.date} with seed {arguments.seed} in {minutes:.1f} minutes on "
        f"{arguments.processes} process{'es' * (arguments.processes > 1)}"
    )
    made += f" ({arguments.only} only; the rest is older)." if arguments.only else "."
    write_rows(table, all_rows)
    if now.rows:
        write_reports(stored, now)
    path.write_text(
        markdown(read_rows(table), now, made, stored.name), encoding="utf-8"
    )  # of the rounded data beside it


def kinds() -> list[str]:
    return sorted({claim.kind for job in all_jobs() for claim in job.claims})


if __name__ == "__main__":
    main()
