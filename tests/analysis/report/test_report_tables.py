"""The table of all pairs of many networks against SciPy's decisions."""

import duckdb
from model_comparisons import decided_by_hand
from synthetic_record import Synthetic

from failmodes.analysis.report.report_tables import pair_tables
from failmodes.analysis.selection import Selection


def test_all_pairs_are_one_matrix_in_order_of_standing(
    many_con: duckdb.DuckDBPyConnection, many_selection: Selection, many_record: Synthetic
) -> None:
    (matrix,) = pair_tables(many_con, many_selection)
    names = [row[0].text.split(". ")[1] for row in matrix.rows]
    assert set(names[:2]) == {"Birch", "Fir"}
    assert names[-1] == "Cedar"
    won = {(a, b): cell.text.isdigit() for a, row in zip(names, matrix.rows, strict=True)
           for b, cell in zip(names, row[3:], strict=True)}  # fmt: skip
    assert {pair for pair, is_won in won.items() if is_won} == set(decided_by_hand(many_record))
    assert all(row[3 + place].text == "\u2013" for place, row in enumerate(matrix.rows))
