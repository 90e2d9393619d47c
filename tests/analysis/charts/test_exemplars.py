"""Exemplars: the images that are stored, with their predictions."""

from pathlib import Path

import duckdb
import pytest

from failmodes.analysis.charts.exemplars import chart
from failmodes.analysis.selection import Selection, select_one
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.errors import WarehouseError
from failmodes.warehouse.schema import EXEMPLAR_REASONS

FIRST = """
    select corruption, severity, predicted = label as is_correct, confidence, image_id from exemplars
    where evaluation_id = $1 qualify image_id = first_value(image_id) over (
        partition by corruption order by list_position($2, reason), reason_rank, image_id
    )
"""


def test_each_corruption_has_the_first_image_in_rank(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    figure = chart(con, selection)
    spec = figure.to_dict()
    shown = [row for rows in spec["datasets"].values() for row in rows if "url" in row]
    stored = con.execute(FIRST, [selection.ids[0], list(EXEMPLAR_REASONS)]).fetchall()
    order = list(selection.corruptions)
    expected = sorted(
        (
            order.index(corruption),
            "clean" if not severity else f"{float(severity):g}",
            is_correct,
            f"{100 * confidence:.0f}%",
        )
        for corruption, severity, is_correct, confidence, _ in stored
    )
    assert sorted((row["row"], row["column"], row["is_correct"], row["notes"]) for row in shown) == expected
    last = [row for row in shown if row["column"] == "5"]
    incorrect = sum(not row["is_correct"] for row in last)
    assert figure.title.startswith(f"Alpha misclassifies {incorrect} of {len(order)}\N{NO-BREAK SPACE}example images")


def test_without_exemplars_it_says_so(warehouse_copy: Path) -> None:
    with duckdb.connect(str(warehouse_copy)) as changed:
        changed.execute("delete from exemplars")
    with open_warehouse(warehouse_copy) as con, pytest.raises(WarehouseError, match="no exemplars of Alpha"):
        chart(con, select_one(con, models=["Alpha"]))
