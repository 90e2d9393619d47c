"""Views of some of the images: beside counts from `predictions`, scikit-learn, and the stored values of all images."""

import shutil

import numpy as np
import polars as pl
import pytest
from opened_results import Opened
from polars.testing import assert_frame_equal
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

import failmodes
from failmodes.analysis.statistics.views_of_images import VIEWS
from failmodes.runtime.errors import FailmodesError


@pytest.fixture(scope="module")
def w(with_metadata: Opened, tmp_path_factory: pytest.TempPathFactory) -> failmodes.Warehouse:
    copy = tmp_path_factory.mktemp("copied") / "w.duckdb"  # the other is open
    return failmodes.open(shutil.copy(with_metadata.made.output / "w.duckdb", copy))


@pytest.mark.parametrize(
    "by",
    ["camera", "class_name", *(pytest.param(name, marks=pytest.mark.test_all) for name in ("indoors", "iso speed"))],
)
def test_accuracy_of_each_group_is_a_direct_count_with_its_exact_interval(w: failmodes.Warehouse, by: str) -> None:
    rows = w.table("accuracy_by_severity", by=by, model_label="Alpha", corruption="fog")
    column = "label_name" if by == "class_name" else by
    counts = w.sql(
        f'select "{column}"::varchar as value, severity, count(*)::int as images, count_if(correct)::int as hits '
        "from predictions where model_label = 'Alpha' and corruption in ('fog', 'none') group by all"
    )
    assert rows.select(pl.len()).item() == len(counts)
    for value, severity, images, hits in counts.rows():
        (row,) = rows.filter(pl.col(by).eq_missing(value), severity=severity).rows(named=True)
        interval = binomtest(hits, images).proportion_ci(0.95, "exact")
        assert (row["image_count"], row["correct_count"]) == (images, hits)
        assert [row["accuracy_low"], row["accuracy_high"]] == pytest.approx([interval.low, interval.high])


@pytest.mark.test_all
def test_quartiles_are_named_by_their_bounds(w: failmodes.Warehouse) -> None:
    rows = w.table("accuracy_by_severity", by="age", model_label="Alpha", corruption="fog", severity=5)
    ages = 7 * np.arange(160) % 90
    for name, count in rows.select("age", "image_count").rows():
        low, _, high = name.replace("below ", "-1 to ").replace(" and above", " to 90").partition(" to ")
        bounds = (int(low), int(high) - name.startswith("below"))
        assert count == ((ages >= bounds[0]) & (ages <= bounds[1])).sum()
    assert rows["image_count"].sum() == 160
    assert rows["image_count"].to_list() == pytest.approx([40] * 4, abs=3)


@pytest.mark.test_all
@pytest.mark.parametrize("view", VIEWS)
def test_a_group_of_all_images_has_the_stored_values(w: failmodes.Warehouse, view: str) -> None:
    stored = w.table(view)
    computed = w.table(view, filter="image_id >= 0")
    assert_frame_equal(computed, stored, check_row_order=False, rel_tol=1e-9)


def test_metrics_of_a_filter_are_those_of_its_rows(w: failmodes.Warehouse) -> None:
    rows = w.table("failure_prediction", filter="camera = 'B'", corruption="fog", score="confidence")
    for label, severity, auroc in rows.select("model_label", "severity", "auroc").rows():
        images = w.table("predictions", model_label=label, corruption="fog", severity=severity, camera="B")
        assert auroc == pytest.approx(roc_auc_score(images["correct"], images["confidence"]), abs=1e-6)
    assert len(rows) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "robustness_by_model", "by": "camera"}, "expected one of accuracy_by_severity"),
        ({"name": "predictions", "filter": "camera = 'B'"}, "expected one of accuracy_by_severity"),
        ({"by": "camra"}, "did you mean 'camera'"),
        ({"by": "corruption"}, "has the column corruption itself"),
        ({"by": "camera", "corrupton": "fog"}, "did you mean 'corruption'"),
        ({"filter": "camera = 'Z'"}, "no evaluated image matches"),
        ({"filter": "camera ="}, "expected a condition"),
        ({"filter": ["camera = 'B'"]}, "expected a condition"),
    ],
)
def test_refusals(w: failmodes.Warehouse, arguments: dict[str, str], message: str) -> None:
    options = {"name": "accuracy_by_severity"} | arguments
    with pytest.raises(FailmodesError) as error:
        w.table(options.pop("name"), **options)
    assert message in str(error.value)
