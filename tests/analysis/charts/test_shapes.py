"""Shape space: words are counted where they are shown, and curves that do not drop are left out."""

from collections import Counter

import duckdb

from failmodes.analysis.charts.drawing import CHARTS
from failmodes.analysis.charts.shapes import VERBS
from failmodes.analysis.selection import Selection, read_for_selection


def test_curves_that_are_not_shown_to_drop_are_counted(
    many_con: duckdb.DuckDBPyConnection, many_selection: Selection
) -> None:
    spec = CHARTS["shapes"](many_con, many_selection).to_dict()
    assert "left out, because not shown to drop: 4\u00a0curves of 2 models" in spec["usermeta"]["subtitle"]


def test_titles_count_words(
    con: duckdb.DuckDBPyConnection, many_con: duckdb.DuckDBPyConnection, selection: Selection, many_selection: Selection
) -> None:
    for of, shown in ((con, selection), (many_con, many_selection)):
        text = CHARTS["shapes"](of, shown).to_dict()["usermeta"]["finding"]
        rows = read_for_selection(of, "shapes", shown).rows(named=True)
        counts = Counter(row["shape"] for row in rows if row["curvature"] is not None)
        assert f"{sum(counts.values())}\u00a0curves that drop" in text
        for shape, count in counts.items():
            assert f"{count} {VERBS[shape][count > 1]}" in text


def test_few_models_name_what_is_left_out(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    subtitle = CHARTS["shapes"](con, selection).to_dict()["usermeta"]["subtitle"]
    left_out = subtitle.split("left out, because not shown to drop: ")[1]
    assert sorted(left_out.rstrip(".").split(" and ")) == ["Gaussian noise", "brightness"]
