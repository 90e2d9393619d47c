"""The report's tables: all pairs as decided by hand, shapes with their reason, and models among published ones."""

import shutil
from pathlib import Path

import duckdb
import pytest
from checkpoint_comparisons import decided_cells, decided_pairs
from published_files import CURVES, write_published_files
from synthetic_results import Synthetic, write_synthetic

from failmodes.analysis.evaluations.selection import Selection, select_one
from failmodes.analysis.report.report_tables import _summary, pair_tables, published_tables
from failmodes.analysis.statistics.published import compare_with_published
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.published import store_published
from failmodes.warehouse.published_layout import read_published


def test_all_pairs_are_one_matrix_in_order_of_standing(
    many_con: duckdb.DuckDBPyConnection, many_selection: Selection, many_results: Synthetic
) -> None:
    (matrix,) = pair_tables(many_con, many_selection)
    names = [row[0].text.split(". ")[1] for row in matrix.rows]
    won = {(a, b): cell.text.isdigit() for a, row in zip(names, matrix.rows, strict=True)
           for b, cell in zip(names, row[3:], strict=True)}  # fmt: skip
    assert {pair for pair, is_won in won.items() if is_won} == set(decided_cells(many_results))
    assert all(row[3 + place].text == "\u2013" for place, row in enumerate(matrix.rows))
    pairs = decided_pairs(many_results)
    for name, row in zip(names, matrix.rows, strict=True):
        ahead, behind = (sum(name == pair[side] for pair in pairs) for side in (0, 1))
        assert [cell.text for cell in row[1:3]] == [str(ahead), str(behind)]


@pytest.mark.test_all
def test_models_stand_among_published_ones(shaped_warehouse: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(shaped_warehouse, tmp_path / "w.duckdb"))
    with open_warehouse(path) as con:
        assert published_tables(con, select_one(con)) == []
    store_published(path, [read_published(write_published_files(tmp_path), "Synthetic digits")])
    with open_warehouse(path) as con:
        selection = select_one(con)
        (table,) = published_tables(con, selection)
        (comparison,) = compare_with_published(con, selection)
    assert "possibly measured under another protocol" in table.note
    names = [row[0].text for row in table.rows]
    assert sorted(names) == sorted([*CURVES, "\u2192 Alpha", "\u2192 Beta"])
    means = [float(row[3].text) for row in table.rows]
    assert means == sorted(means, reverse=True)
    ranks = {row[0].text: (row[4].text, row[4].small) for row in table.rows if row[4].text}
    expected = {f"\u2192 {s.model.label}": (str(s.rank), f"[{s.best}, {s.worst}]") for s in comparison.standings}
    assert ranks == expected


@pytest.mark.test_all
def test_normalized_error_stands_beside_the_plain_one_where_alexnet_is_defined(tmp_path: Path) -> None:
    headline = tuple(name for name, known in CORRUPTIONS.items() if known.headline)
    output = write_synthetic(tmp_path, images=40, models=("A", "B"), corruptions=headline).output
    load([output], tmp_path / "w.duckdb")
    with duckdb.connect(str(tmp_path / "w.duckdb")) as con:
        plain = _summary(con, select_one(con, models=["A"]))
        assert "mCE" not in plain.columns
        con.execute("update datasets set class_count = 1000")
        con.execute("update sources set recipe = null, source_kind = 'published'")
        table = _summary(con, select_one(con, models=["B"]))
        ((mce,),) = con.sql(
            "select mce from mce_by_baseline where baseline_id is null and model_label = 'B'"
        ).fetchall()
    assert table.columns[-1] == "mCE"
    assert table.rows[0][-1].text == f"{100 * mce:.1f}"
    assert "divided by AlexNet's as published" in table.note
