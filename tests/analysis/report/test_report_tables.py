"""The report's tables: all pairs of many models as decided by hand, and shapes with their reason."""

import duckdb
from checkpoint_comparisons import decided_cells, decided_pairs
from synthetic_results import Synthetic

from failmodes.analysis.report.pair_tables import pair_tables
from failmodes.analysis.report.report_tables import tables
from failmodes.analysis.selection import Selection
from failmodes.warehouse.database.own_tables import SHAPE_LABELS


def test_all_pairs_are_one_matrix_in_order_of_standing(
    many_con: duckdb.DuckDBPyConnection, many_selection: Selection, many_results: Synthetic
) -> None:
    (matrix,) = pair_tables(many_con, many_selection)
    names = [row[0].text.split(". ")[1] for row in matrix.rows]
    assert set(names[:2]) == {"Birch", "Fir"}
    assert names[-1] == "Cedar"
    won = {(a, b): cell.text.isdigit() for a, row in zip(names, matrix.rows, strict=True)
           for b, cell in zip(names, row[3:], strict=True)}  # fmt: skip
    assert {pair for pair, is_won in won.items() if is_won} == set(decided_cells(many_results))
    assert all(row[3 + place].text == "\u2013" for place, row in enumerate(matrix.rows))
    pairs = decided_pairs(many_results)
    for name, row in zip(names, matrix.rows, strict=True):
        ahead, behind = (sum(name == pair[side] for pair in pairs) for side in (0, 1))
        assert [cell.text for cell in row[1:3]] == [str(ahead), str(behind)]


def test_shapes_stand_with_the_reason_where_they_are_inconclusive(
    con: duckdb.DuckDBPyConnection, selection: Selection
) -> None:
    table = next(one for one in tables(con, selection) if one.caption == "Shapes of Alpha")
    cells = {row[0].text: row[1] for row in table.rows}
    assert cells["Brightness"].text == SHAPE_LABELS["inconclusive"]
    assert "drops from" in cells["Brightness"].small
    assert (cells["Fog"].text, cells["Fog"].small) == ("abrupt, between 4 and 5", "")


def test_shapes_have_their_rank_and_threshold(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    table = next(one for one in tables(con, selection) if one.caption == "Shapes of Alpha")
    place = table.columns.index("Rank")
    ranks = [row[place].text for row in table.rows]
    assert ranks[0] == "1 of 5"
    assert ranks == sorted(ranks)
    assert all(" to " in row[place].small for row in table.rows)
    thresholds = {row[0].text: row[table.columns.index("Threshold")] for row in table.rows}
    assert thresholds["Fog"].text == "supported"
    assert thresholds["Fog"].small.startswith("break between ")
    assert thresholds["Motion blur"].text == "contradicted"


def test_calibration_errors_have_their_interval(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    table = next(one for one in tables(con, selection) if one.caption == "Calibration of Alpha")
    cells = {row[0].text: row for row in table.rows}
    rows = con.sql(
        "select * from calibration_by_severity where model_label = 'Alpha' and corruption = 'fog' order by severity"
    ).pl()
    for cell, row in zip(cells["Fog"][1:], rows.rows(named=True), strict=True):
        assert cell.text == f"{row['ece']:.3f}"
        assert cell.small.startswith(f"[{row['ece_low']:.3f},\u00a0{row['ece_high']:.3f}]; ")
        assert cell.small.endswith(f"{100 * row['overconfidence']:+.1f}".replace("-", "\u2212"))
