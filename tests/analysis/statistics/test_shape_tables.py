"""Shapes in the warehouse: known curves come out as what they are, once, and anew only when something changed."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pytest
from opened_results import Opened
from rewritten_shards import cell_of, make_non_finite
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import ensure_shapes

from failmodes.analysis.statistics import shape_tables
from failmodes.analysis.statistics.curve_shape import ShapeSettings, describe_curve, stored_settings
from failmodes.analysis.statistics.model_accuracy import drop_rankings
from failmodes.analysis.statistics.shape_tables import update_shapes
from failmodes.analysis.statistics.shares import holm
from failmodes.analysis.statistics.sufficiency import chance_of
from failmodes.warehouse.curve_shapes import SHAPE_NAMES
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.updates import Derivation
from failmodes.warehouse.database_schema import CURVE_TABLES


def shapes_of(warehouse: Path, label: str = "Alpha") -> dict[str, dict]:
    """Rows of `shapes` of a model by corruption."""
    query = "select shapes.* from shapes join evaluation_labels using (evaluation_id) where model_label = ?"
    with open_warehouse(warehouse) as con:
        return {row["corruption"]: row for row in con.sql(query, params=[label]).pl().rows(named=True)}


def test_stored_figures_agree_with_correctness(shaped_warehouse: Path, synthetic: Synthetic) -> None:
    correct = synthetic.correct["Alpha", "fog"].mean(axis=1)
    row = shapes_of(shaped_warehouse)["fog"]
    with open_warehouse(shaped_warehouse) as con:
        steps = con.execute(
            "select accuracy_change from steps where evaluation_id = ? and corruption = 'fog' order by severity_from",
            [synthetic.evaluations["Alpha"]],
        ).fetchall()
    assert (row["total_drop"], row["largest_step"]) == pytest.approx((correct[0] - correct[5], correct[4] - correct[5]))
    assert (row["largest_step_from"], row["largest_step_to"], row["largest_change_at"]) == (4, 5, 5)
    assert [change for (change,) in steps] == pytest.approx(np.diff(correct).tolist())
    assert sum(row[f"share_{name}"] for name in SHAPE_NAMES) == pytest.approx(1)
    assert (row["image_count"], row["reason"], row["chance_from"]) == (400, None, None)


@pytest.mark.test_all
def test_a_load_computes_only_what_is_new_or_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    rows = shape_tables.shape_rows
    path = tmp_path / "w.duckdb"
    monkeypatch.setattr(shape_tables, "shape_rows", lambda con, name, own: asked.append(name) or rows(con, name, own))
    small = {"images": 40, "corruptions": ("fog",), "severities": (1, 5)}
    load([write_synthetic(tmp_path / "first", models=("Alpha",), **small).output], path)
    assert ensure_shapes(path, ShapeSettings(resamples=100))
    assert not ensure_shapes(path)  # no settings: those of the stored shapes
    more = write_synthetic(tmp_path / "more", models=("Gamma",), **small)
    load([more.output], path)
    assert ensure_shapes(path)
    assert asked[1:] == [more.evaluations["Gamma"]]
    assert ensure_shapes(path, ShapeSettings(resamples=100, curvature_threshold=0.5))
    with open_warehouse(path) as con:
        assert stored_settings(con) == ShapeSettings(resamples=100, curvature_threshold=0.5)
    monkeypatch.setattr(shape_tables, "source_hash", lambda *_: "another")
    assert ensure_shapes(path)
    assert len(asked) == 2 + 2 + 2


def test_chance_is_among_all_that_the_model_may_predict() -> None:
    with duckdb.connect() as con:
        con.execute("create table models as select 'm' as model_id, 10 as class_count, 1000 as output_count")
        con.execute(
            "create table evaluations as select unnest(['own', 'all', 'subset']) as evaluation_id, 'm' as model_id, "
            "unnest([null, 'all', 'subset']) as class_protocol"
        )
        assert [chance_of(con, name) for name in ("own", "all", "subset", "nobody")] == [0.1, 0.001, 0.1, None]
        con.execute("update models set output_count = null")
        assert chance_of(con, "all") is None


def test_every_curve_has_its_rows(con: duckdb.DuckDBPyConnection) -> None:
    ((curves,),) = con.execute("select count(*) from shapes").fetchall()
    rows_a_curve = {"shapes_over_distortion": 3, "change_points": 1, "curve_fits": 4, "corruption_ranks": 2}
    for table in CURVE_TABLES:
        keys = con.execute(f"select {', '.join(table.key)} from {table.name}").fetchall()
        assert len(keys) == len(set(keys)) == rows_a_curve.get(table.name, len(keys) / curves) * curves


def test_axes_are_the_mean_distortion(con: duckdb.DuckDBPyConnection) -> None:
    """The synthetic images lie as far from clean as severity says, so that all axes tell the same curvature."""
    rows = con.execute(
        "select axis, axis_end, curvature_change from shapes_over_distortion where corruption = 'contrast'"
    ).fetchall()
    assert {axis: end for axis, end, _ in rows} == pytest.approx({"severity": 5, "rmse": 0.1, "1-ssim": 0.5}, abs=1e-5)
    assert [change for *_, change in rows] == pytest.approx([0] * len(rows), abs=1e-5)


def test_p_values_are_corrected_over_the_curves_of_an_evaluation(con: duckdb.DuckDBPyConnection) -> None:
    for (evaluation,) in con.execute("select distinct evaluation_id from change_points").fetchall():
        query = "select p_value, adjusted_p_value from change_points where evaluation_id = ? and p_value is not null"
        raw, adjusted = zip(*con.execute(query, [evaluation]).fetchall(), strict=True)
        assert adjusted == pytest.approx(holm(raw))


def test_class_ranks_are_of_the_class_means(con: duckdb.DuckDBPyConnection) -> None:
    expected = con.execute(
        "select (evaluation_id, class_index), avg(clean.accuracy - last.accuracy) from accuracy_by_class as clean "
        "inner join accuracy_by_class as last using (evaluation_id, class_index, corruption) "
        "where clean.severity = 0 and last.severity = 5 group by all"
    ).fetchall()
    found = con.execute(
        "select (evaluation_id, class_index), accuracy_drop from class_ranks where measure = 'at_last'"
    ).fetchall()
    assert dict(found) == pytest.approx(dict(expected))


@pytest.mark.test_all
def test_what_is_not_ranked_says_why(tmp_path: Path) -> None:
    """Images that do not pair, rows without numbers, an extra; and few images."""
    made = write_synthetic(tmp_path / "a", images=80, models=("Alpha",), corruptions=("fog", "contrast", "spatter"),
                           severities=(1, 3, 5), paired=False)  # fmt: skip
    make_non_finite(made, cell_of(made, "Alpha", "contrast", 3))
    write_synthetic(tmp_path / "b", images=29, models=("Few",), corruptions=("fog",), severities=(1, 3, 5))
    load([tmp_path / "a", tmp_path / "b"], tmp_path / "w.duckdb")
    ensure_shapes(tmp_path / "w.duckdb", ShapeSettings(resamples=200))
    with open_warehouse(tmp_path / "w.duckdb") as con:
        ranks = con.execute(
            "select distinct image_count, corruption, rank, reason from corruption_ranks "
            "join evaluations using (evaluation_id)"
        ).fetchall()
        tested = con.execute("select distinct threshold, reason from change_points where reason like '29%'").fetchall()
        fitted = con.execute("select distinct corruption from curve_fits order by all").fetchall()
        over = con.execute("select reason from shapes_over_distortion where axis = 'rmse'").fetchall()
        assert con.execute("from class_ranks").fetchall() == []
    reasons = {(count, name): (rank, reason or "") for count, name, rank, reason in ranks}
    assert reasons[80, "fog"] == (1, "")
    for key, why in ((80, "contrast"), "not finite"), ((80, "spatter"), "extra"), ((29, "fog"), "29 images are too"):
        assert reasons[key][0] is None
        assert why in reasons[key][1]
    assert tested == [("inconclusive", "29 images are too few: at least 30 are needed")]
    assert ("contrast",) not in fitted
    assert any("do not pair" in str(reason) for (reason,) in over)


IMAGES, SEVERITIES = 120, (2, 5)
SETTINGS = ShapeSettings(resamples=200)


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """Alpha has one such row, of an image that it would be right on, Beta's fog many, and all clean ones of Gamma."""

    def spoil(made: Synthetic) -> None:
        make_non_finite(made, cell_of(made, "Alpha", "fog", 5), [int(made.correct["Alpha", "fog"][-1].argmax())])
        make_non_finite(made, cell_of(made, "Beta", "fog", 2), range(2))
        make_non_finite(made, cell_of(made, "Beta", "fog", 5), range(60))
        make_non_finite(made, cell_of(made, "Gamma"))

    options = {"images": IMAGES, "models": ("Alpha", "Beta", "Gamma"), "corruptions": ("fog", "contrast")}
    folder = tmp_path_factory.mktemp("spoiled")
    made = write_synthetic(folder, severities=SEVERITIES, **options)
    spoil(made)
    derivation = Derivation(lambda _: [], lambda con, _: update_shapes(con, SETTINGS))
    load([folder], folder / "w.duckdb", derivation=derivation)
    with open_warehouse(folder / "w.duckdb") as con:
        yield Opened(made, con)


@pytest.fixture(scope="module")
def shapes(spoiled: Opened) -> dict[tuple[str, str], dict]:
    """Rows of `shapes` by model and corruption."""
    rows = spoiled.con.sql("select model_label, shapes.* from shapes join evaluation_labels using (evaluation_id)").pl()
    return {(row["model_label"], row["corruption"]): row for row in rows.rows(named=True)}


@pytest.mark.test_all
def test_one_row_counts_as_incorrect_and_changes_nothing_else(spoiled: Opened, shapes: dict) -> None:
    correct = spoiled.made.correct["Alpha", "fog"].T.copy()
    correct[int(correct[:, -1].argmax()), -1] = False
    row = shapes["Alpha", "fog"]
    expected = describe_curve(correct, [0, *SEVERITIES], SETTINGS)
    assert (row["reason"], row["shape"]) == (None, expected.shape)
    for name, estimate in (("total_drop", expected.drop), ("largest_step", expected.largest)):
        assert (row[name], row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx(estimate[:3])


@pytest.mark.test_all
def test_a_shape_is_withheld_where_more_than_one_in_a_hundred_is_not_finite(shapes: dict) -> None:
    for model, corruption, severities in (("Beta", "fog", "2, 5"), ("Gamma", "fog", "0"), ("Gamma", "contrast", "0")):
        row = shapes[model, corruption]
        assert (row["shape"], row["stability"], row["share_late"]) == ("inconclusive", None, None)
        assert row["reason"].endswith(f"severity {severities}")
    assert shapes["Beta", "contrast"]["stability"] is not None


@pytest.mark.test_all
def test_drops_count_one_row_and_are_withheld_where_there_are_many(spoiled: Opened) -> None:
    alpha, beta, gamma = drop_rankings(spoiled.con, spoiled.selection).values()
    assert alpha.withheld == ()
    correct = spoiled.made.correct["Alpha", "fog"].sum(axis=1)
    drops = {drop.corruption: drop.at_last.value for drop in alpha.drops}
    assert drops["fog"] == pytest.approx((correct[0] - (correct[-1] - 1)) / IMAGES)
    assert ([drop.corruption for drop in beta.drops], beta.withheld) == (["contrast"], ("fog",))
    assert (gamma.drops, gamma.withheld) == ((), ("fog", "contrast"))
    assert not gamma.is_clear
