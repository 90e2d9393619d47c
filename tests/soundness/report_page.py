"""The rows of whole reports: stored as JSON, as tables of the page beside those before, and as one of a terminal."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from reports import ReportRow

MAIN_SIZE = 500  # images of the reports that tables by kind are about
KINDS = {  # what is stated, by kind
    "better_model": "which model is better",
    "largest_drop": "which corruption hurts most",
    "shape": "the shape of a curve",
    "abrupt_drop": "accuracy drops in one step",
    "flat": "accuracy stays near the clean one",
    "rise": "accuracy rises above the clean one",
    "prediction_collapse": "one class dominates the predictions",
    "class_failure": "one class fails",
    "overconfidence": "over- or underconfidence",
    "calibration_error": "clean confidence is miscalibrated",
    "confidence_below_chance": "confidence finds failures worse than chance",
    "early_warning": "a score predicts failure at the next severity",
}
Value = Callable[[ReportRow], float | None]


class ReportSet(NamedTuple):
    """Rows of one state of the code.

    Attributes:
        commit: of the code that judged; empty for that of now.
        date: of the measurement.
        rows: of all scenarios.
    """

    commit: str
    date: str
    rows: tuple[ReportRow, ...]


NOTHING = ReportSet("", "", ())


def write_reports(path: Path, found: ReportSet) -> None:
    content = {"commit": found.commit, "date": found.date, "rows": [row._asdict() for row in found.rows]}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_reports(path: Path) -> ReportSet:
    """The stored rows; none where the file is missing."""
    if not path.exists():
        return NOTHING
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return ReportSet(content["commit"], content["date"], tuple(ReportRow(**row) for row in content["rows"]))


def broken_reports(rows: Iterable[ReportRow]) -> list[str]:
    """A line for each limit that is broken."""
    found = []
    for row in rows:
        where = f"BROKEN: whole reports | {row.scenario} | {row.images:,} images | "
        if not row.is_first_screen_sound:
            found.append(f"{where}a false statement on {row.false_first_screens} of {row.reports} first screens")
        if not row.is_proportion_sound:
            found.append(f"{where}{100 * row.false_proportion:.1f} % of printed statements are false")
    return found


def _percent_of(count: Callable[[ReportRow], int]) -> Value:
    return lambda row: 100 * count(row) / row.reports


def _power(kind: str) -> Value:
    def of_row(row: ReportRow) -> float | None:
        return 100 * row.power[kind] if kind in row.power else None

    return of_row


MEASURES: tuple[tuple[str, Value], ...] = (
    ("reports with a false statement, %", _percent_of(lambda row: row.false_reports)),
    ("first screens with one, %", _percent_of(lambda row: row.false_first_screens)),
    ("false share of printed statements (FDP), %", lambda row: 100 * row.false_proportion),
    ("false statements a report", lambda row: sum(row.false.values())),
    ("better model named, %", _power("better_model")),
    ("corruption with the largest drop named, %", _power("largest_drop")),
)


def scenario_table(before: ReportSet, now: ReportSet) -> list[str]:
    """Lines of the table of whole reports: before and now."""
    header = ("scenario", "images", "reports", *(title for title, _ in MEASURES))
    lines = []
    for key, (former, row) in _paired(before, now).items():
        values = [_beside(value(former) if former else None, value(row) if row else None) for _, value in MEASURES]
        counts = " → ".join(f"{one.reports:,}" if one else "–" for one in (former, row))
        lines.append((key[0], f"{key[1]:,}", counts, *values))
    return table_lines(header, lines)


def kind_table(before: ReportSet, now: ReportSet) -> list[str]:
    """Lines of the table by kind: printed, false and said, over the scenarios of MAIN_SIZE images."""
    sets = [[row for row in one.rows if row.images == MAIN_SIZE] for one in (before, now)]
    lines = []
    for kind, stated in KINDS.items():
        known = [bool(rows) and any(kind in (*row.printed, *row.power) for row in rows) for rows in sets]
        if not any(known):
            continue
        values = []
        for mean in (_mean_printed, _mean_false, _mean_power):
            found = [mean(rows, kind) if is_known else None for rows, is_known in zip(sets, known, strict=True)]
            values.append(_beside(*found))
        lines.append((f"`{kind}`: {stated}", *values))
    header = ("statement", "printed per report", "false per 100 reports", "power, %")
    return table_lines(header, lines)


def shape_table(before: ReportSet, now: ReportSet) -> list[str]:
    """Lines of the table by shape of a curve: how often the true one is printed, by number of images."""
    sizes = sorted({row.images for row in (*before.rows, *now.rows)})
    prefix, lines = "shape: ", []
    names = sorted({name for row in (*before.rows, *now.rows) for name in row.power if name.startswith(prefix)})
    for name in names:
        values = []
        for size in sizes:
            found = [_mean_power([row for row in one.rows if row.images == size], name) for one in (before, now)]
            values.append(_beside(*found))
        lines.append((name.removeprefix(prefix), *values))
    return table_lines(("true shape", *(f"{size:,} images, %" for size in sizes)), lines)


def _mean_printed(rows: Sequence[ReportRow], kind: str) -> float:
    return sum(row.printed.get(kind, 0.0) for row in rows) / len(rows)


def _mean_false(rows: Sequence[ReportRow], kind: str) -> float:
    return 100 * sum(row.false.get(kind, 0.0) for row in rows) / len(rows)


def _mean_power(rows: Sequence[ReportRow], kind: str) -> float | None:
    """Over the scenarios in which there is something true of the kind to say."""
    found = [row.power[kind] for row in rows if kind in row.power]
    return 100 * sum(found) / len(found) if found else None


def _paired(before: ReportSet, now: ReportSet) -> dict[tuple[str, int], tuple[ReportRow | None, ReportRow | None]]:
    """Rows before and now of each scenario and number of images, in the order of the scenarios."""
    former = {(row.scenario, row.images): row for row in before.rows}
    current = {(row.scenario, row.images): row for row in now.rows}
    return {key: (former.get(key), current.get(key)) for key in {**former, **current}}


def _beside(before: float | None, now: float | None) -> str:
    """Two figures as '28.4 → 3.1'; one alone where the other is not known, with a dash in its place."""
    if before is None and now is None:
        return ""
    return f"{_number(before)} → {_number(now)}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}" if abs(value) < 1 and value else f"{value:.1f}"


def table_lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *cells)]
