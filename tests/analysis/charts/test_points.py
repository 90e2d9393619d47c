"""What charts draw is what the warehouse holds: points are rows of a view, or counted from the images."""

from pathlib import Path

import duckdb
import numpy as np
import pytest
from checkpoint_comparisons import CORRUPTIONS
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix
from synthetic_results import Synthetic
from warehouse_files import change_file

from failmodes.analysis.charts import accuracy, curves, exemplars, onset
from failmodes.analysis.charts.registry import draw_selection
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAPER
from failmodes.analysis.evaluations.selection import Selection, select_one
from failmodes.runtime.errors import WarehouseError
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.schema import EXEMPLAR_REASONS


def rows_of(figure: Figure) -> list[dict]:
    """The rows of the chart's one table."""
    (rows,) = figure.to_dict()["datasets"].values()
    return rows


# By chart: the columns of its points, and the rows that these must be
POINTS = {
    "attention": (
        ("label", "corruption", "severity", "accuracy", "shift", "null"),
        "select model_label, corruption, severity::double, accuracy, median_centroid_shift, "
        "null_median_centroid_shift from attention_drift",
    ),
    "object-attention": (
        ("label", "severity", "mean_mask_share", "null_mean_mask_share", "even_mask_share"),
        "select distinct model_label, severity::double, mean_mask_share, null_mean_mask_share, even_mask_share "
        "from attention_on_object",
    ),
    "shapes": (
        ("label", "drop", "curvature"),
        "select model_label, 100 * total_drop, curvature from shapes join evaluation_labels using (evaluation_id) "
        "where curvature is not null",
    ),
    "accuracy": (
        ("label", "corruption", "severity", "accuracy"),
        "select model_label, corruption, severity::double, accuracy from accuracy_by_severity "
        "where corruption in (select corruption from corruptions where corruption_group <> 'clean')",
    ),
    "distortion": (
        ("series", "corruption", "severity", "mean"),
        "select distinct 'RMSE', corruption_label, severity::double, mean_rmse from distortion_by_severity",
    ),
}


@pytest.mark.parametrize("name", POINTS)
def test_points_are_rows_of_the_warehouse(con: duckdb.DuckDBPyConnection, name: str) -> None:
    columns, query = POINTS[name]
    tables = draw_selection(name, con, select_one(con)).to_dict()["datasets"].values()
    stored = sorted(set(con.execute(query).fetchall()))
    drawn = {tuple(row.get(column) for column in columns) for rows in tables for row in rows}
    shown = sorted(point for point in drawn if None not in point and point[0] in {row[0] for row in stored})
    assert len(shown) == len(stored) > 5
    for point, row in zip(shown, stored, strict=True):
        assert [*point] == [pytest.approx(value) if isinstance(value, float) else value for value in row]


def test_the_confusion_matrix_is_that_of_the_cell_of_the_lowest_accuracy(
    con: duckdb.DuckDBPyConnection, selection: Selection
) -> None:
    (worst,) = con.sql(
        "select corruption, severity, accuracy from accuracy_by_severity where model_label = 'Alpha' and severity > 0 "
        "order by accuracy limit 1"
    ).fetchall()
    images = con.sql(
        "select label, predicted from outcomes where evaluation_id = ? and corruption = ? and severity = ?",
        params=[selection.ids[0], *worst[:2]],
    ).pl()
    by_hand = confusion_matrix(images["label"], images["predicted"], normalize="true")
    spec = draw_selection("confusion", con, selection).to_dict()
    (rows,) = spec["datasets"].values()
    shares = {(row["label"], row["place"]): row["share_of_label"] for row in rows}
    assert shares == pytest.approx({
        (i, j): share for i, row in enumerate(by_hand) for j, share in enumerate(row) if share
    })  # fmt: skip
    assert f"Alpha {100 * worst[2]:.1f}% under " in spec["usermeta"]["title"]


def test_points_are_the_cells_and_their_chord_is_straight(
    con: duckdb.DuckDBPyConnection, selection: Selection, synthetic: Synthetic
) -> None:
    points = [
        row for row in rows_of(curves.chart(con, selection)) if row["chord"] is not None and row["corruption"] == "Fog"
    ]
    accuracy = synthetic.correct["Alpha", "fog"].mean(axis=1)
    assert [row["accuracy"] for row in points] == pytest.approx(accuracy.tolist())
    assert [row["chord"] for row in points] == pytest.approx(np.linspace(accuracy[0], accuracy[-1], 6).tolist())


def survivors(results: Synthetic, label: str, corruption: str) -> tuple[int, int]:
    """Images that are right at every severity, of those that are right when clean."""
    correct = results.correct[label, corruption]
    return int(np.all(correct, axis=0).sum()), int(correct[0].sum())


@pytest.mark.parametrize("label", ["Aspen", "Birch"])
def test_few_models_are_reported_with_their_interval(
    many_con: duckdb.DuckDBPyConnection, many_results: Synthetic, label: str
) -> None:
    counts = {corruption: survivors(many_results, label, corruption) for corruption in CORRUPTIONS}
    left, clean = min(counts.values())
    ends = binomtest(left, clean).proportion_ci(1 - 0.05 / len(CORRUPTIONS), method="exact")
    figure = onset.chart(many_con, select_one(many_con, models=[label]), frame=PAPER)
    assert f"{100 * left / clean:.1f}% [{100 * ends.low:.1f},\u00a0{100 * ends.high:.1f}]" in figure.title
    shown = {row["corruption"]: row["surviving_share"] for row in rows_of(figure) if row["text"]}
    assert shown == pytest.approx({corruption: left / clean for corruption, (left, clean) in counts.items()})


FIRST = """
    select corruption, severity, predicted = label as is_correct, confidence, image_id from exemplars
    where evaluation_id = $1 qualify image_id = first_value(image_id) over (
        partition by corruption order by list_position($2, reason), reason_rank, image_id
    )
"""


def test_each_corruption_has_the_first_image_in_rank(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    figure = exemplars.chart(con, selection)
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
    change_file(warehouse_copy, "delete from exemplars")
    with open_warehouse(warehouse_copy) as con, pytest.raises(WarehouseError, match="no exemplars of Alpha"):
        exemplars.chart(con, select_one(con, models=["Alpha"]))


@pytest.mark.parametrize("of", ["", "many_"])
def test_the_command_of_each_cell_selects_images_of_that_cell(request: pytest.FixtureRequest, of: str) -> None:
    con, selection = (request.getfixturevalue(f"{of}{name}") for name in ("con", "selection"))
    for cell in rows_of(accuracy.chart(con, selection)):
        condition = cell["command"].split('"')[1].removesuffix(" and not correct limit 24")
        found = con.sql(f"select avg(correct::int) as share from predictions where {condition}").pl().item()
        if cell["corruption"] != "Mean":
            assert found == pytest.approx(cell["accuracy"]), cell
