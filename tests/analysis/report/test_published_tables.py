"""The report's table among published models: all of them in one order, with a caution."""

import shutil
from pathlib import Path

from published_files import CURVES, write_published_files

from failmodes.analysis.report.published_tables import published_tables
from failmodes.analysis.selection import select_one
from failmodes.analysis.statistics.published import compare_with_published
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.published import store_published
from failmodes.warehouse.published_layout import read_published


def test_models_stand_among_published_ones(shaped_warehouse: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(shaped_warehouse, tmp_path / "w.duckdb"))
    with open_warehouse(path) as con:
        assert published_tables(con, select_one(con)) == []
    store_published(path, [read_published(write_published_files(tmp_path), "Synthetic digits")])
    with open_warehouse(path) as con:
        selection = select_one(con)
        (table,) = published_tables(con, selection)
        (comparison,) = compare_with_published(con, selection)
    assert table.caption == "Among 3\u00a0published models (mine_unaggregated)"
    assert "measured on other images (here: synthetic and corrupted anew)" in table.note
    assert "averaged over fog and contrast at severities 1, 2, 3, 4 and 5" in table.note
    names = [row[0].text for row in table.rows]
    assert sorted(names) == sorted([*CURVES, "\u2192 Alpha", "\u2192 Beta"])
    means = [float(row[3].text) for row in table.rows]
    assert means == sorted(means, reverse=True)
    ranks = {row[0].text: (row[4].text, row[4].small) for row in table.rows if row[4].text}
    expected = {f"\u2192 {s.model.label}": (str(s.rank), f"[{s.best}, {s.worst}]") for s in comparison.standings}
    assert ranks == expected
