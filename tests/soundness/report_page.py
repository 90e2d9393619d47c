"""The rows of whole reports: stored as JSON, and as a table of the page and of a terminal."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from reports import ReportRow

MAIN_SIZE = 500  # images of the reports whose power the page shows
SHAPE = "shape: "  # prefix of the power of a shape


class ReportSet(NamedTuple):
    """Rows of one state of the code.

    Attributes:
        date: of the measurement.
        rows: of all scenarios.
    """

    date: str
    rows: tuple[ReportRow, ...]


def write_reports(path: Path, found: ReportSet) -> None:
    content = {"date": found.date, "rows": [row._asdict() for row in found.rows]}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_reports(path: Path) -> ReportSet:
    """Read the stored rows; none if the file is missing."""
    if not path.exists():
        return ReportSet("", ())
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return ReportSet(content["date"], tuple(ReportRow(**row) for row in content["rows"]))


def broken_reports(rows: Iterable[ReportRow]) -> list[str]:
    """One line per broken limit."""
    found = []
    for row in rows:
        where = f"BROKEN: whole reports | {row.scenario} | {row.images:,} images | "
        if not row.is_first_screen_sound:
            found.append(f"{where}a false statement on {row.false_first_screens} of {row.reports} first screens")
        if not row.is_proportion_sound:
            found.append(f"{where}{100 * row.false_proportion:.1f}% of printed statements are false")
    return found


def scenario_table(found: ReportSet) -> list[str]:
    """Lines of the table of whole reports, one row per scenario."""
    header = ("scenario", "images", "reports", "false share of printed statements, %",
              "first screens with a false statement, %", "reports with a false statement, %")  # fmt: skip
    lines = []
    for row in found.rows:
        shares = (row.false_proportion, row.false_first_screens / row.reports, row.false_reports / row.reports)
        lines.append((row.scenario, f"{row.images:,}", f"{row.reports:,}", *(_number(100 * one) for one in shares)))
    return table_lines(header, lines)


def power_of(found: ReportSet, kind: str) -> str:
    """How often a true statement of a kind is printed, %, over the scenarios of MAIN_SIZE images; empty if unknown."""
    power = _mean_power(found.rows, kind)
    return "" if power is None else _number(power)


def shape_power(found: ReportSet) -> str:
    """How often the true shape of a curve is printed, as a list in words, highest first."""
    names = {name for row in found.rows if row.images == MAIN_SIZE for name in row.power if name.startswith(SHAPE)}
    power = sorted(((_mean_power(found.rows, name) or 0.0, name.removeprefix(SHAPE)) for name in names), reverse=True)
    return ", ".join(f"`{name}` {_number(share)}%" for share, name in power)


def _mean_power(rows: Sequence[ReportRow], kind: str) -> float | None:
    """Mean over the scenarios in which a statement of the kind is true."""
    found = [row.power[kind] for row in rows if row.images == MAIN_SIZE and kind in row.power]
    return 100 * sum(found) / len(found) if found else None


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 1 and value else f"{value:.1f}"


def table_lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *cells)]
