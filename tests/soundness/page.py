"""The measured rows as a table of a terminal and as a page."""

from collections.abc import Sequence

from claims import COVERAGE, FALSE, POWER, Row
from report_page import ReportSet, kind_table, scenario_table, shape_table, table_lines

from failmodes.analysis.judging.findings.registry import all_kinds

INTRO = """# Error rates of statements

- **Whole reports** are simulated with exactly known truth and judged by the code that judges real results: {reports}
- **Each kind of statement** is also measured alone where it is most likely to be false: at the threshold of its rule,
  or where nothing differs. It may be false in at most 5% of samples; {false_broken} of {false} rows break that limit.
- **95% intervals** contain the true value in 93.5 to 97% of samples, or in at least 93.5% where a note gives the reason
  for more; {coverage_broken} of {coverage} rows break that limit.
- **Power**, how often a true statement is printed, has no limit: it grows with the number of images.
- Images are independent, their difficulty normal and correlated over severities, corruptions and models; no figure is
  of a real model. "Inconclusive" never counts as false.
"""
WHOLE = """## Whole reports

Two models, 6 corruptions, 5 severities. A report prints every decided finding, as a sentence or counted in "and 3 more
like it"; the name of a curve's shape is false where the exact curve has another. Limits: at most 5% of first screens
contain a false statement, and at most 5% of printed statements are false on average (false-discovery proportion, FDP).
Each cell is *before → now*; before is commit {commit} ({date}). {count} A share of 5% of 100 reports has a standard
error of 2.2 points, of 300 one of 1.3. All figures: {link} in `tests/soundness/reports_before.json`.
"""
BY_KIND = """### Statements of whole reports, by kind

Means over the scenarios of 500 images, before → now; power over those where such a statement is true.
"""
BY_SHAPE = """### Shapes of curves in whole reports

How often a curve's true shape is printed, before → now, over the scenarios with such curves. The classes were others
before.
"""
ALONE = """## Each kind alone

The row of each kind that is nearest to its limit, with the 99% interval of the measured share (Clopper and Pearson). A
limit is broken where that whole interval lies beyond it. **All {count:,} rows: [soundness.csv](soundness.csv).**
"""


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _measured(row: Row) -> str:
    return f"{percent(row.share)} [{percent(row.low)}, {percent(row.high)}]"


def broken_lines(rows: Sequence[Row]) -> list[str]:
    return [
        f"BROKEN: {row.kind} | {row.measured} | {_where(row)} | {_measured(row)} | {row.limit}"
        for row in rows
        if not row.ok
    ]


def markdown(rows: Sequence[Row], before: ReportSet, now: ReportSet, made: str, stored: str) -> str:
    """The page.

    Args:
        rows: of each kind by itself.
        before: whole reports before the rules of now.
        now: whole reports; none where they were not measured yet.
        made: how and when all this was measured.
        stored: file of the whole reports, beside the page.
    """
    count = f"Now is of {now.date}." if now.rows else "Now is not measured yet."
    link = f"[now]({stored}), before" if now.rows else "before"
    parts = [
        INTRO.format(reports=_said_of_reports(now), **_counts(rows)),
        made,
        "",
        WHOLE.format(commit=before.commit, date=before.date, count=count, link=link),
        *scenario_table(before, now),
        "",
        BY_KIND,
        *kind_table(before, now),
        "",
        BY_SHAPE,
        *shape_table(before, now),
        "",
        ALONE.format(count=len(rows)),
        *statement_table(rows),
        "",
        "### Intervals",
        "",
        *interval_table(rows),
    ]
    return "\n".join(parts) + "\n"


def _said_of_reports(now: ReportSet) -> str:
    """The worst scenario of whole reports against both limits."""
    if not now.rows:
        return "at most\n  5% of first screens, and 5% of printed statements, may be false."
    screen = max(row.false_first_screens / row.reports for row in now.rows)
    proportion = max(row.false_proportion for row in now.rows)
    broken = sum(not row.ok for row in now.rows)
    return (
        f"in the worst\n  scenario {percent(screen)}% of first screens contain a false statement, and "
        f"{percent(proportion)}% of printed statements are\n  false (limit of both: 5%, broken in {broken} of "
        f"{len(now.rows)} rows)."
    )


def _counts(rows: Sequence[Row]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, measured in (("false", FALSE), ("coverage", COVERAGE)):
        own = [row for row in rows if row.measured == measured]
        found |= {name: len(own), f"{name}_broken": sum(not row.ok for row in own)}
    return found


def statement_table(rows: Sequence[Row]) -> list[str]:
    """Lines of the table of statements: the worst row of each kind, its limit, and its power."""
    header = ("statement", "rows", "false at worst, %", "where", "limit", "power, %")
    lines = []
    for kind in dict.fromkeys(row.kind for row in rows if row.measured == FALSE):
        here = [row for row in rows if (row.kind, row.measured) == (kind, FALSE)]
        worst, broken = _worst(here), sum(not row.ok for row in here)
        said = f"`{kind}`" if kind in all_kinds() else kind
        state = f"{worst.limit}{f', {broken} BROKEN' if broken else ''}"
        lines.append((said, str(len(here)), _measured(worst), _where(worst), state, _powers(rows, kind)))
    return table_lines(header, lines)


def interval_table(rows: Sequence[Row]) -> list[str]:
    """Lines of the table of intervals: the row of each with the lowest coverage."""
    header = ("interval", "rows", "lowest coverage, %", "where", "limit")
    lines = []
    for kind in dict.fromkeys(row.kind for row in rows if row.measured == COVERAGE):
        here = [row for row in rows if (row.kind, row.measured) == (kind, COVERAGE)]
        worst, broken = _worst(here), sum(not row.ok for row in here)
        state = f"{worst.limit}{f', {broken} BROKEN' if broken else ''}"
        lines.append((kind, str(len(here)), _measured(worst), _where(worst), state))
    return table_lines(header, lines)


def _worst(rows: Sequence[Row]) -> Row:
    """Of rows of one measure that which comes nearest to its limit."""
    pick = max if rows[0].measured == FALSE else min
    return pick(rows, key=lambda row: row.share)


def _where(row: Row) -> str:
    return f"{row.truth}, {row.images:,} images" + (f"; {row.note}" if row.note else "")


def _powers(rows: Sequence[Row], kind: str) -> str:
    """The rows of power of a kind: the least and the most of several."""
    found = [row for row in rows if (row.kind, row.measured) == (kind, POWER)]
    if not found:
        return ""
    if len(found) == 1:
        return f"{percent(found[0].share)}: {_where(found[0])}"
    low, high = (pick(found, key=lambda row: row.share) for pick in (min, max))
    return f"{percent(low.share)}: {_where(low)}; to {percent(high.share)}: {_where(high)}"
