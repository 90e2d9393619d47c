"""The measured rows as a CSV file, docs/soundness.csv: what the page links to, and what later runs keep of it."""

import csv
from collections.abc import Sequence
from pathlib import Path

from claims import Row
from running import in_order

COLUMNS = ("kind", "measured", "truth", "images", "severities", "samples", "percent", "percent_low", "percent_high",
           "limit", "holds", "note")  # fmt: skip


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write all rows, shares in percent; `holds` is empty without a limit."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            holds = "" if row.limit == "none" else "yes" if row.ok else "BROKEN"
            shares = [f"{100 * share:.2f}" for share in (row.share, row.low, row.high)]
            writer.writerow([*row[:6], *shares, row.limit, holds, row.note])


def read_rows(path: Path) -> list[Row]:
    """The rows of such a file; none where it is missing."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Row(
                kind=row["kind"],
                measured=row["measured"],
                truth=row["truth"],
                images=int(row["images"]),
                severities=int(row["severities"]),
                samples=int(row["samples"]),
                share=float(row["percent"]) / 100,
                low=float(row["percent_low"]) / 100,
                high=float(row["percent_high"]) / 100,
                limit=row["limit"],
                ok=row["holds"] != "BROKEN",
                note=row["note"],
            )
            for row in csv.DictReader(file)
        ]


def replaced(kept: Sequence[Row], measured: Sequence[Row], kind: str) -> list[Row]:
    """The rows with those of `kind` replaced; of other kinds, only the cases that were measured with them."""
    cases = {_case(row) for row in measured}
    return in_order([*measured, *(row for row in kept if row.kind != kind and _case(row) not in cases)])


def _case(row: Row) -> tuple[object, ...]:
    return row.kind, row.measured, row.truth, row.images, row.severities, row.note
