"""The chart of natural shifts and the section of the report beside it."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from synthetic_results import write_synthetic
from synthetic_shifts import write_shift

from failmodes.analysis.charts.registry import draw_selection
from failmodes.analysis.charts.style.frame import FRAMES
from failmodes.analysis.evaluations.selection import select_one
from failmodes.analysis.report.sections import shift_limitations, shift_sections, shift_table
from failmodes.analysis.statistics.shifts import shift_rows
from failmodes.runtime.errors import WarehouseError
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load

NAMES = ("A", "B", "C", "D", "E")


@pytest.fixture(scope="module")
def of_shifts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """Five models under two shifts, the second of two classes with predictions among these only."""
    output = tmp_path_factory.mktemp("shifts")
    made = write_synthetic(output, images=24, models=NAMES, corruptions=("fog",), severities=(5,))
    write_shift(output, "V2", {name: 60 + 5 * place for place, name in enumerate(NAMES)}, clean=made.evaluations)
    hard = {name: 10 + place for place, name in enumerate(NAMES[:2])}
    clean = dict.fromkeys(hard, 45)
    write_shift(
        output, "Hard", hard, images=50, clean_correct=clean, clean_images=50, classes=2, order=2, note="cropped"
    )
    load([output], output / "warehouse.duckdb")
    with open_warehouse(output / "warehouse.duckdb") as con:
        yield con


@pytest.mark.parametrize("layout", FRAMES)
def test_a_point_for_each_model_and_shift_and_a_line_from_five_models_on(
    of_shifts: duckdb.DuckDBPyConnection, layout: str
) -> None:
    drawn = draw_selection("shifts", of_shifts, select_one(of_shifts), frame=FRAMES[layout])
    (rows,) = drawn.to_dict()["datasets"].values()
    points = [row for row in rows if row["accuracy"] is not None]
    assert sorted((row["shift"], row["label"]) for row in points) == [
        ("Hard", "A"), ("Hard", "B"), *(("V2", name) for name in NAMES),
    ]  # fmt: skip
    assert {row["shift"] for row in rows if row["line_x"] is not None} == {"V2"}
    assert "Hard: 50\u00a0images, 50\u00a0clean images, 2 of 4 classes, predictions among these only" in drawn.subtitle
    assert "Hard 68.0 to 70.0 points" in drawn.title


def test_the_report_states_protocol_and_restriction_beside_the_figures(of_shifts: duckdb.DuckDBPyConnection) -> None:
    selection = select_one(of_shifts)
    (section,) = shift_sections(of_shifts, selection)
    texts = [getattr(block, "text", "") for block in section.blocks]
    assert "V2: compared with Synthetic digits (A paper)." in texts
    restriction = "2 of 4 classes, predictions among these only"
    assert f"Hard: compared with Synthetic digits, {restriction}, cropped (A paper)." in texts
    assert len(shift_limitations(of_shifts, selection)) == 1
    table = shift_table(shift_rows(of_shifts, selection))
    assert len(table.rows) == 7
    assert [cell.text for cell in table.rows[-1]] == ["Hard", "B", "22.0", "90.0", "+68.0", "\u2013", "50", "50"]
    assert table.rows[-1][0].small == restriction


def test_a_warehouse_without_shifts_has_neither_chart_nor_section(sound_warehouse: Path) -> None:
    with open_warehouse(sound_warehouse) as con:
        selection = select_one(con)
        assert shift_sections(con, selection) == []
        with pytest.raises(WarehouseError, match="no natural shift to show"):
            draw_selection("shifts", con, selection)


def test_evaluations_of_shifts_are_in_no_selection(of_shifts: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    assert [one.label for one in select_one(of_shifts).evaluations] == list(NAMES)
