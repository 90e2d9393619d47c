"""Charts of groups of images: what is drawn is what a count gives, and what is stored of all images is left out."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from described_images import CAMERAS
from opened_results import Opened
from run_commands import run

import failmodes
from failmodes.runtime.errors import FailmodesError

OF_CAMERA = {
    camera: np.array([CAMERAS[image % 5] == camera for image in range(160)]) for camera in ("A", "B", "C", None)
}


@pytest.fixture(scope="module")
def w(with_metadata: Opened, tmp_path_factory: pytest.TempPathFactory) -> failmodes.Warehouse:
    copy = tmp_path_factory.mktemp("copied") / "w.duckdb"  # the other is open
    return failmodes.open(shutil.copy(with_metadata.made.output / "w.duckdb", copy))


def accuracies(figure: object) -> list[dict[tuple[str, float], float]]:
    """Accuracy of Alpha by corruption and severity, of each part of curves in the order drawn."""
    spec = figure.plot.to_dict()
    found = []
    for part in spec.get("concat", [spec]):
        rows = spec["datasets"][part["data"]["name"]]
        found.append({
            (row["corruption"].lower(), row["severity"]): row["accuracy"]
            for row in rows if row.get("label") == "Alpha" and row.get("chord") is not None
        })  # fmt: skip
    return found


INDOORS = np.arange(160) % 3 == 0
GROUPS = {
    "indoors": ((~INDOORS, INDOORS), ["false (106 images)", "true (54 images)"]),
    "camera": (OF_CAMERA.values(), ["A (32 images)", "B (64 images)", "C (32 images)", "missing (32 images)"]),
}


@pytest.mark.parametrize("by", ["indoors", pytest.param("camera", marks=pytest.mark.test_all)])
def test_curves_by_a_column_are_those_of_each_group(w: failmodes.Warehouse, with_metadata: Opened, by: str) -> None:
    images, titles = GROUPS[by]
    figure = w.chart("curves", by=by, model="Alpha", corruption="fog")
    for part, kept in zip(accuracies(figure), images, strict=True):
        expected = with_metadata.made.correct["Alpha", "fog"][:, kept].mean(axis=1)
        assert [part["fog", severity] for severity in (0, 1, 3, 5)] == pytest.approx(expected)
    found = [part["title"]["text"].replace("\xa0", " ") for part in figure.plot.to_dict()["concat"]]
    assert found == titles
    assert "shape" not in figure.subtitle


@pytest.mark.test_all
def test_a_number_is_cut_into_quartiles_with_their_bounds(w: failmodes.Warehouse) -> None:
    parts = w.chart("curves", by="age", model="Alpha").plot.to_dict()["concat"]
    titles = [part["title"]["text"] for part in parts]
    assert len(titles) == 4
    assert titles[0].startswith("below 2")
    assert " and above (" in titles[-1]


@pytest.mark.test_all
def test_a_filtered_chart_names_its_filter(w: failmodes.Warehouse, with_metadata: Opened) -> None:
    figure = w.chart("curves", filter="camera = 'B'")
    (drawn,) = accuracies(figure)
    expected = with_metadata.made.correct["Alpha", "fog"][:, OF_CAMERA["B"]].mean(axis=1)
    assert [drawn["fog", severity] for severity in (0, 1, 3, 5)] == pytest.approx(expected)
    assert "64\xa0images of Synthetic digits where camera = 'B'" in figure.subtitle
    assert "camera = 'B'" in figure.source
    assert figure.title == "Accuracy by severity", "findings are of all images"


@pytest.mark.test_all
@pytest.mark.parametrize("name", ["accuracy", "predictions", "ranking"])
def test_other_charts_of_some_images(w: failmodes.Warehouse, name: str) -> None:
    figure = w.chart(name, filter="camera = 'B'")
    assert "64\xa0images of Synthetic digits where camera = 'B'" in figure.subtitle
    assert len(w.chart(name, by="indoors").plot.to_dict()["concat"]) == 2


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("shapes", {"by": "camera"}, "of all images"),
        pytest.param("confusion", {"filter": "camera = 'B'"}, "of all images", marks=pytest.mark.test_all),
        ("curves", {"by": "camra"}, "did you mean 'camera'"),
        pytest.param("curves", {"by": "mask_area"}, "its only value", marks=pytest.mark.test_all),
        pytest.param("curves", {"filter": "camra = 'B'"}, "did you mean 'camera'", marks=pytest.mark.test_all),
        ("curves", {"filter": "camera = 'B'", "published": True}, "published models are of all images"),
    ],
)
def test_refusals(w: failmodes.Warehouse, name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(FailmodesError) as error:
        w.chart(name, **options)
    assert message in str(error.value)


@pytest.mark.test_all
def test_the_command(w: failmodes.Warehouse, tmp_path: Path) -> None:
    options = ("--by", "camera", "--filter", "not indoors", "--corruption", "fog", "-o", "c.json")
    run("chart", "curves", w.path, *options, folder=tmp_path)
    assert (tmp_path / "c.json").read_text().count('images)"') == 4, "titles of parts"
    assert json.loads((tmp_path / "c.json").read_text())["title"]
    wrong = run("chart", "onset", w.path, "--filter", "indoors", folder=tmp_path, expect=2)
    assert wrong.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]
