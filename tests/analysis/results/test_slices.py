"""Slices of a warehouse: a planted slice in Python, the command and all formats; what it refuses; one image a group."""

import json
import re
from importlib.util import find_spec
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from pictured_results import pictured
from run_commands import run
from scipy.stats import fisher_exact

import failmodes
from failmodes.analysis.results.opened_warehouse import Warehouse
from failmodes.analysis.results.slices import SlicesResult
from failmodes.ingest.sources import GeneratedSource
from failmodes.runtime.errors import QueryError, StudyError

IMAGES, CLASSES = 1_200, 4


def table(seed: int = 0, *, model: str = "Net", effect: float = 0.5) -> pl.DataFrame:
    """Predictions for images of three cameras by day and night; those of camera B at night fail under fog."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, CLASSES, IMAGES)
    facts = {
        "camera": rng.choice(["A", "B", "O'Hara"], IMAGES),
        "time": rng.choice(["day", "night"], IMAGES),
        "distance_m": rng.gamma(2, 10, IMAGES).round(1),
    }
    fails = (facts["camera"] == "B") & (facts["time"] == "night")
    rng = np.random.default_rng(seed)
    frames = []
    for corruption, severity in [("none", 0), ("fog", 1), ("fog", 3), ("snow", 1), ("snow", 3)]:
        correct = rng.random(IMAGES) < 0.95 - 0.05 * severity
        if corruption == "fog":
            correct &= ~(fails & (rng.random(IMAGES) < effect))
        predicted = np.where(correct, labels, (labels + 1) % CLASSES)
        frames.append(
            pl.DataFrame({
                "image": [f"{index}.png" for index in range(IMAGES)], "label": [f"class {label}" for label in labels],
                "prediction": [f"class {label}" for label in predicted], "corruption": corruption,
                "severity": severity, "model": model, **facts,
            })
        )  # fmt: skip
    return pl.concat(frames)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Net, and Other, which has no slice."""
    tables = pl.concat([table(), table(1, model="Other", effect=0.0)])
    return failmodes.import_predictions(tables, to=tmp_path_factory.mktemp("slices") / "mine")


@pytest.fixture(scope="module")
def found(opened: Warehouse) -> SlicesResult:
    """Slices of Net."""
    return opened.slices(model="Net")


@pytest.fixture(scope="module")
def pictured_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six images of two classes in turn, of which the first class is correct under fog."""
    warehouse = pictured(tmp_path_factory.mktemp("pictured"), GeneratedSource(), ("fog",), models=("Alpha",)).warehouse
    with duckdb.connect(warehouse) as con:
        con.execute("update cell_predictions set correct_images = '101010' where corruption = 'fog'")
    return warehouse


def test_the_planted_slice_is_first_and_worse_only_under_fog(opened: Warehouse, found: SlicesResult) -> None:
    first, *others = found
    assert first.condition == "camera = 'B' and time = 'night'"
    assert (first.corruption, first.verdict, first.on_clean) == ("fog", "supported", "not worse")
    assert first.low < first.difference < first.high < 0
    assert all(row.verdict == "inconclusive" for row in others)
    rows = opened.sql(first.query)
    assert len(rows) == first.images
    assert rows["correct"].mean() == pytest.approx(first.accuracy)
    cell = table().filter(pl.col("corruption") == "fog", pl.col("severity") == first.severity)
    inside = ((pl.col("camera") == "B") & (pl.col("time") == "night")).alias("inside")
    counts = cell.group_by(inside).agg(
        correct=(pl.col("label") == pl.col("prediction")).sum(), count=pl.len()
    ).sort("inside", descending=True)  # fmt: skip
    (hits, size), (other_hits, other_size) = counts.select("correct", "count").rows()
    assert first.rest_accuracy == pytest.approx(other_hits / other_size)
    contingency = [[hits, size - hits], [other_hits, other_size - other_hits]]
    comparisons = first.p / fisher_exact(contingency, alternative="less").pvalue
    assert comparisons / 15 == pytest.approx(round(comparisons / 15), rel=1e-6)  # slices by 5 cells and 3 depths
    assert comparisons > 500


def test_options_restrict_what_is_searched(opened: Warehouse, found: SlicesResult) -> None:
    by_camera = opened.slices(model="Net", corruption="fog", severity=3, by="camera, time", depth=1)
    assert {row.corruption for row in by_camera} == {"fog"}
    assert {row.severity for row in by_camera} == {3.0}
    assert all(" and " not in row.slice for row in by_camera)
    searched = by_camera.document.data["searched"][0]
    assert (searched["attributes"], searched["cells"], searched["slices"]) == (["camera", "time"], 1, 5)
    assert searched["tests"] == 5 < found.document.data["searched"][0]["tests"]
    assert len(opened.slices(model="Net", min_images=400, by=["camera"])) <= 3
    at_night = opened.slices(model="Net", filter="time = 'night'", corruption="fog")
    assert at_night[0].condition == "camera = 'B'"
    assert at_night.document.data["searched"][0]["images"] == int((table()["time"] == "night").sum()) / 5
    correct = opened.slices(model="Net", clean_prediction="correct")
    assert correct[0].condition == found[0].condition
    assert "none" not in {row.corruption for row in correct}
    assert opened.slices(model="Net", clean_prediction="class 1", corruption="fog", by="class_name") is not None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"by": "cammera"}, "did you mean 'camera'"),
        ({"depth": 4}, "1 to 3"),
        ({"min_images": 0}, "number of images"),
        ({"severity": "3"}, "expected numbers"),
        ({"severity": 2}, "severities are 1, 3"),
        pytest.param({"corruption": "fgo"}, "did you mean 'fog'", marks=pytest.mark.test_all),
        pytest.param({"model": "Nett"}, "did you mean 'Net'", marks=pytest.mark.test_all),
        ({"clean_prediction": "clas 1"}, "did you mean 'class 1'"),
        ({"filter": "camera = 'X'"}, "no evaluated image matches"),
    ],
)
def test_what_is_unknown_is_named_with_the_fix(opened: Warehouse, options: dict, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        opened.slices(**{"model": "Net"} | options)


@pytest.mark.test_all
def test_a_filter_is_one_condition(opened: Warehouse) -> None:
    with pytest.raises(QueryError):
        opened.slices(model="Net", filter="true); drop table images --")


def test_tests_of_several_models_are_corrected_together(opened: Warehouse, found: SlicesResult) -> None:
    of_both = opened.slices()
    assert {row.model_label for row in of_both if row.verdict == "supported"} == {"Net"}
    assert of_both[0].p == pytest.approx(2 * found[0].p)
    assert "No slice of Other" in of_both.to_text()
    assert opened.slices(model="Other")[0].verdict == "inconclusive"


@pytest.mark.test_all
def test_duplicates_count_as_one_image(opened: Warehouse, tmp_path: Path) -> None:
    """The second half of the images are copies of the first, as their hashes say."""
    path = tmp_path / "copies.duckdb"
    path.write_bytes(opened.path.read_bytes())
    with duckdb.connect(path) as con:
        con.execute(f"update images set pixel_hash = format('{{:032}}', image_id % {IMAGES // 2})")
    searched = failmodes.open(path).slices(model="Net").document.data["searched"][0]
    assert (searched["images"], searched["distinct_images"]) == (IMAGES, IMAGES // 2)


def test_the_command_prints_and_writes_every_format(opened: Warehouse, found: SlicesResult, tmp_path: Path) -> None:
    where, rows = opened.path, found
    printed = run("slices", where, "--model", "Net", folder=tmp_path).stdout
    assert "camera = B and time = night" in printed
    assert "not on clean images" in printed
    run("slices", where, "--model", "Net", "-o", "slices.csv", folder=tmp_path)
    content = json.loads(rows.to_json())
    assert rows.save(tmp_path / "slices.md").read_text() == rows.to_markdown()
    assert content["slices"][0]["condition"] == rows[0].condition
    assert content["command"] == "slices"
    csv = pl.read_csv(tmp_path / "slices.csv")
    assert csv["images"].to_list() == [row.images for row in rows]
    assert csv["p"].to_list() == pytest.approx([row.p for row in rows])
    by_hand = duckdb.sql(f"attach '{where}' as w (read_only); use w; {rows[0].query}").pl()
    assert len(by_hand) == rows[0].images


def test_the_command_refuses_in_one_line(opened: Warehouse, tmp_path: Path) -> None:
    for options in (
        ["--format", "yaml"],
        ["--filter", "camera"],
        ["--filter", ""],
        ["--filter", "1=1 --"],
        ["-o", "x.parquet"],
    ):
        done = run("slices", opened.path, *options, folder=tmp_path, expect=2)
        assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_slice_is_a_statement_of_claims(opened: Warehouse) -> None:
    cell = {"model": "Net", "corruptions": ["fog"], "severities": [3]}
    stated = cell | {"metric": "accuracy", "relation": "worse_than_rest"}
    worse, by_far, elsewhere = opened.claims([
        stated | {"filter": "camera = 'B' and time = 'night'"},
        stated | {"filter": "camera = 'B' and time = 'night'", "limit": 0.6},
        stated | {"filter": "camera = 'B' and time = 'day'"},
    ])  # fmt: skip
    cell = table().filter(pl.col("corruption") == "fog", pl.col("severity") == 3)
    correct = pl.col("label") == pl.col("prediction")
    inside = (pl.col("camera") == "B") & (pl.col("time") == "night")
    difference = cell.filter(inside).select(correct.mean()).item() - cell.filter(~inside).select(correct.mean()).item()
    assert worse.value == pytest.approx(difference)
    assert (worse.verdict, by_far.verdict) == ("supported", "contradicted")
    assert elsewhere.verdict != "supported"
    with pytest.raises(StudyError, match="write filter ="):
        opened.claims(stated)


@pytest.mark.test_all
def test_pictures_show_images_of_the_slice_along_severity(pictured_warehouse: Path, tmp_path: Path) -> None:
    with failmodes.open(pictured_warehouse) as w:
        slices = w.slices(min_images=2, by="class_name")
        first = next(row for row in slices if row.corruption != "none")
        members = w.sql(first.query)["image_id"].to_list()
        sheet = slices.images()
    rows = sheet.rows
    assert set(rows.filter(pl.col("corruption") == first.corruption)["image_id"]) == set(members)
    assert 0.0 in rows["severity"].to_list()
    assert sheet.pixels[0].shape == (32, 32, 3)
    options = ("--min-images", "2", "--by", "class_name")
    for name in ("slices.html", "slices.svg"):
        run("slices", pictured_warehouse, *options, "--pictures", name, folder=tmp_path)
        shown = (tmp_path / name).read_text()
        assert "inconclusive: class =" in shown
        drawn = set(re.findall(r"data:image/png;base64,[\w+/=]+", shown))
        assert len(drawn) == len({pixels.tobytes() for pixels in sheet.pixels})


@pytest.mark.test_all
def test_a_report_has_the_slices_where_images_have_attributes(opened: Warehouse, tmp_path: Path) -> None:
    page = opened.report(tmp_path / "report.html").read_text()
    assert "camera = B and time = night" in page
    assert "Searched: " in page


def test_the_worst_group_is_a_metric_of_claims_compare_and_gates(opened: Warehouse, tmp_path: Path) -> None:
    cell = table().filter(pl.col("corruption") == "fog", pl.col("severity") == 3)
    by_time = cell.group_by("time").agg(accuracy=(pl.col("label") == pl.col("prediction")).mean())
    metric = {"metric": "worst_slice_accuracy:time", "model": "Net", "corruptions": ["fog"], "severities": [3]}
    claimed, too_much = opened.claims([
        metric | {"relation": "at_least", "limit": 0.5}, metric | {"relation": "at_least", "limit": 0.95},
    ])  # fmt: skip
    assert claimed.value == pytest.approx(by_time["accuracy"].min())
    assert (claimed.verdict, too_much.verdict) == ("supported", "contradicted")
    assert claimed.low < by_time["accuracy"].min() < claimed.high
    night = opened.claims(metric | {"relation": "at_least", "limit": 0.5, "filter": "time = 'day'"})[0]
    assert night.value == pytest.approx(by_time.filter(pl.col("time") == "day")["accuracy"].item())
    with pytest.raises(StudyError, match="no attribute 'cammera'.*did you mean 'camera'"):
        opened.claims(metric | {"metric": "worst_slice_accuracy:cammera", "relation": "at_least", "limit": 0.5})
    compared = opened.compare("Net", "Other", corruption="fog", metrics=["worst_slice_accuracy:time"]).metrics
    of_groups = pl.col("metric") == "worst_slice_accuracy:time", pl.col("cells") == "corrupted"
    row = compared.filter(*of_groups).row(0, named=True)
    assert row["winner"] == "b"
    rules = tmp_path / "rules.toml"
    rules.write_text(
        '[gate]\nbaseline = "Other"\ncandidate = "Net"\n[[gate.rules]]\nmetric = "worst_slice_accuracy:time"\n'
        'corruptions = ["fog"]\nrelation = "worse_by_at_most"\nlimit = 0.05\n'
    )
    assert "worst group by time" in run("gate", rules, opened.path, folder=tmp_path, expect=1).stdout


# Error ratios of ImageNet-X's README (Idrissi et al. 2022, CC BY-NC 4.0)
PUBLISHED_RATIOS = {
    "ResNet50": {
        "texture": 2.394, "subcategory": 2.105, "person_blocking": 2.171, "multiple_objects": 1.974, "style": 1.928,
        "object_blocking": 1.923, "pose": 0.695,
    },
    "ViT": {
        "texture": 2.045, "subcategory": 2.015, "object_blocking": 1.986, "person_blocking": 1.936, "pose": 0.741,
    },
}  # fmt: skip


@pytest.mark.test_all
def test_error_ratios_of_imagenet_x_are_the_published_ones(real_data: Path, tmp_path: Path) -> None:
    spec = find_spec("imagenet_x")
    if spec is None or spec.origin is None:
        pytest.skip("needs the list of prototypes: pip install imagenet-x")
    folder = real_data / "imagenet_x"
    prototypes = pl.read_csv(Path(spec.origin).parent / "annotations" / "prototypical_paths.csv")["file_name"]
    factors = pl.read_parquet(folder / "factors_top.parquet").drop("class")
    factors.filter(~pl.col("file_name").is_in(prototypes.to_list())).write_parquet(tmp_path / "factors.parquet")
    names = [name for name in factors.columns if name != "file_name"]
    for label in PUBLISHED_RATIOS:
        w = failmodes.import_predictions(
            folder / f"{label}.parquet", to=tmp_path / "out", label=label, metadata=tmp_path / "factors.parquet"
        )
    annotated = "texture is not null"
    found = w.slices(by=names, depth=1, filter=annotated)
    assert found.document.data["searched"][0]["images"] == 46_110
    for factor in {name for published in PUBLISHED_RATIOS.values() for name in published}:
        groups = w.table("accuracy_by_severity", by=factor, filter=annotated)
        for label, published in PUBLISHED_RATIOS.items():
            own = groups.filter(model_label=label).with_columns(errors=pl.col("image_count") - pl.col("correct_count"))
            (errors, count) = own.filter(pl.col(factor) == "true").select("errors", "image_count").row(0)
            ratio = errors / count / (own["errors"].sum() / own["image_count"].sum())
            assert round(ratio, 3) == published.get(factor, round(ratio, 3))
            for row in found:
                if (row.model_label, row.slice) == (label, f"{factor} = true"):
                    assert (row.images, 1 - row.accuracy) == (count, pytest.approx(errors / count))
    worst = [row.slice for row in found if row.model_label == "ResNet50"]
    assert {"texture = true", "subcategory = true", "person_blocking = true"} <= {*worst}
    assert all(row.verdict == "supported" for row in found)


def test_gaps_between_groups_of_one_attribute(opened: Warehouse) -> None:
    by_camera = opened.slices(model="Net", by="camera", corruption="fog")
    (gap,) = by_camera.document.data["gaps"]
    cell = table().filter(pl.col("corruption") == "fog", pl.col("severity") == gap["severity"])
    accuracies = dict(cell.group_by("camera").agg((pl.col("label") == pl.col("prediction")).mean()).rows())
    assert gap["worst"] == min(accuracies, key=accuracies.__getitem__) == "B"
    assert gap["gap"] == pytest.approx(max(accuracies.values()) - min(accuracies.values()))
    assert 0 < gap["low"] < gap["gap"] < gap["high"]
    assert "Gap between groups by camera" in by_camera.to_text()
    assert opened.slices(model="Net", by=["camera", "time"], corruption="fog").document.data["gaps"] == []
