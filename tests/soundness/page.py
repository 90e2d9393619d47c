"""The measured rows as a table of a terminal and as a page."""

from collections.abc import Sequence
from datetime import UTC, datetime

from claims import COVERAGE, FALSE, Row
from rich.table import Table

INTRO = """# How often what is said is false

Each row is measured, none derived: answers of models are simulated whose accuracy, confidence or attention is known,
the project's own functions judge them as a report does, and it is counted how often they say what is not true.
A *false claim* may be made of at most 5 % of such data, a 95 % interval must hold the truth in 93.5 to 97 %, or in at
least 93.5 % where a note says why it holds it more often. False claims are measured where they are most likely: at the
threshold of a rule, or where nothing is different. *Power*, how often what is true is said, has no limit.
A limit is broken where the 99 % interval of the measured share (Clopper and Pearson) lies wholly beyond it. Images of a
draw are independent, their difficulty normal and correlated over severities; no figure is of a real model.
"""


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def cells_of(row: Row) -> tuple[str, ...]:
    state = "yes" if row.ok else "BROKEN"
    holds = state if row.limit != "none" else ""
    grid = str(row.severities or "")
    measured = f"{percent(row.share)} [{percent(row.low)}, {percent(row.high)}]"
    return (
        row.kind,
        row.measured,
        row.truth,
        f"{row.images:,}",
        grid,
        f"{row.samples:,}",
        measured,
        row.limit,
        holds,
        row.note,
    )


HEADER = ("kind", "measured", "truth", "images", "severities", "samples", "% [99 % interval]", "limit", "holds", "note")


def summary_table(rows: Sequence[Row]) -> Table:
    """Of each kind and measure the row nearest to its limit, and how many rows are broken."""
    table = Table(*HEADER[:7], "limit", "rows", "broken", title="Soundness, worst rows", title_justify="left")
    for kind, measured in dict.fromkeys((row.kind, row.measured) for row in rows):
        here = [row for row in rows if (row.kind, row.measured) == (kind, measured)]
        pick = max if measured == FALSE else min
        worst = pick(here, key=lambda row: row.share)
        broken = sum(not row.ok for row in here)
        table.add_row(*cells_of(worst)[:8], str(len(here)), str(broken or ""))
    return table


def broken_lines(rows: Sequence[Row]) -> list[str]:
    return ["BROKEN: " + " | ".join(cells_of(row)) for row in rows if not row.ok]


def markdown(rows: Sequence[Row], seed: int, minutes: float, processes: int) -> str:
    """The page: what it says, how it was made, and all rows."""
    count = sum(row.samples for row in rows)
    false, covered = (sum(row.measured == measured for row in rows) for measured in (FALSE, COVERAGE))
    made = (
        f"Made by `make soundness` on {datetime.now(UTC):%Y-%m-%d} with seed {seed}, {count:,} answers in "
        f"{minutes:.0f} minutes, {processes} processes on two shared CPU cores: {len(rows)} rows, {false} of "
        f"false claims and {covered} of coverage, {sum(not row.ok for row in rows)} broken.\n"
    )
    lines = ["| " + " | ".join(HEADER) + " |", "|" + " --- |" * len(HEADER)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells_of(row)) + " |" for row in rows]
    return "\n".join([INTRO, made, *lines]) + "\n"
