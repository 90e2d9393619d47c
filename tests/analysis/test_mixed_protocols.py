"""Evaluations that differ in a respect of their protocol are not ranked, unless the user mixes them."""

import json
import re
import shutil
from pathlib import Path

import duckdb
import pytest
from run_commands import run
from synthetic_results import write_synthetic
from uneven_results import Grid, write_uneven

from failmodes.analysis.charts.registry import draw_from_warehouse
from failmodes.analysis.charts.style.frame import PAGE
from failmodes.analysis.evaluations.comparability import mixed_sentence
from failmodes.analysis.evaluations.selection import select_one
from failmodes.analysis.judging.compare import compare_named
from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.analysis.judging.gate import run_gate
from failmodes.analysis.statistics.model_accuracy import model_accuracies
from failmodes.runtime.errors import StudyError
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load

BETA = "(select evaluation_id from evaluations join models using (model_id) where model_label = 'Beta')"
COPY_OF_IMAGES = (
    "insert into datasets select * replace ('other' as dataset_id) from datasets",
    "insert into classes select * replace ('other' as dataset_id) from classes",
    "insert into images select * replace ('other' as dataset_id, {label} as label) from images",
    f"update evaluations set dataset_id = 'other' where evaluation_id = {BETA}",
)
RESPECTS = {
    "images": [text.format(label="label") for text in COPY_OF_IMAGES],
    "labels": ["update images set file = concat('image ', image_id)", *(text.format(label="3 - label")
               for text in COPY_OF_IMAGES)],
    "class restriction": ["update models set class_protocol = 'all', output_count = 10 where model_label = 'Beta'"],
    "source of pixels": [
        "insert into sources select * replace ('other' as source_id, 'published' as source_kind, null as recipe) "
        "from sources",
        f"update evaluations set source_id = 'other' where evaluation_id = {BETA}",
    ],
    "averaging": [f"update evaluations set averaging = 'mCE, published AlexNet' where evaluation_id = {BETA}"],
}  # fmt: skip
SECOND_RESPECTS = ("class restriction", "source of pixels", "averaging")  # each a column


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alike")
    write_synthetic(folder / "results", images=60, corruptions=("fog", "contrast"), severities=(1, 5))
    load([folder / "results"], folder / "w.duckdb", derivation=DERIVATION)
    return folder / "w.duckdb"


def changed(alike: Path, folder: Path, statements: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    path = Path(shutil.copy(alike, folder / "w.duckdb"))
    with duckdb.connect(str(path)) as con:
        for statement in statements:
            con.execute(statement)
    return path


@pytest.mark.parametrize(
    "respect",
    ["images", "labels", *(pytest.param(one, marks=pytest.mark.test_all) for one in SECOND_RESPECTS)],
)
def test_one_respect_that_differs_is_named_and_can_be_mixed(alike: Path, tmp_path: Path, respect: str) -> None:
    path = changed(alike, tmp_path, RESPECTS[respect])
    refused = rf"not comparable.* differ in {respect}: .*--mixed-protocols"
    mixed = rf"Mixed protocols: these numbers differ in {respect}: "
    with pytest.raises(StudyError, match=refused):
        compare_named("Alpha", "Beta", path)
    rules = {"gate": {"rules": [{"metric": "accuracy", "relation": "worse_by_at_most", "limit": 0.1}]}}
    if respect == "images":
        assert "independent samples" in str(run_gate(rules, path, candidate="Beta", baseline="Alpha"))
    else:
        with pytest.raises(StudyError, match=f"not comparable with the baseline Alpha.* differ in {respect}: "):
            run_gate(rules, path, candidate="Beta", baseline="Alpha")
    with open_warehouse(path) as con:
        with pytest.raises(StudyError, match=refused):
            select_one(con, mixed=False, ranked=True)
        selection = select_one(con, mixed=True, ranked=True)
    assert {evaluation.label for evaluation in selection.evaluations} == {"Alpha", "Beta"}
    assert re.match(mixed, selection.exclusions[0])
    (differs,) = compare_named("Alpha", "Beta", path, mixed=True).pair.mixed
    assert re.match(mixed, mixed_sentence([differs]))


@pytest.mark.test_all
def test_models_that_differ_in_preprocessing_are_ranked(alike: Path, tmp_path: Path) -> None:
    other = "update models set resize_px = 256, crop_px = 224, input_mean = [0, 0, 0] where model_label = 'Beta'"
    path = changed(alike, tmp_path, [other, "update evaluations set precision = 'float16'"])
    with open_warehouse(path) as con:
        assert len(select_one(con, mixed=False, ranked=True).evaluations) == 2
    assert not compare_named("Alpha", "Beta", path).pair.mixed


@pytest.mark.test_all
def test_a_ranking_of_two_subsets_is_on_the_images_of_both(tmp_path: Path) -> None:
    for label, images in (("Alpha", 60), ("Beta", 40)):
        options = {"corruptions": ("fog", "contrast"), "severities": (1, 5)}
        write_synthetic(tmp_path / label, images=images, models=(label,), **options)
    load([tmp_path / "Alpha", tmp_path / "Beta"], tmp_path / "w.duckdb", derivation=DERIVATION)
    of_alpha = f"select dataset_id from evaluations where evaluation_id <> {BETA}"
    path = changed(tmp_path / "w.duckdb", tmp_path / "one", [f"update evaluations set dataset_id = ({of_alpha})"])
    drawn = draw_from_warehouse(path, "ranking", frame=PAGE)
    assert "40 images" in drawn.subtitle
    with open_warehouse(path) as con:
        accuracies = model_accuracies(con, select_one(con, ranked=True, on_shared_images=True))
        with pytest.raises(StudyError, match="differ in images"):
            select_one(con, ranked=True)
    with duckdb.connect(str(path)) as con:
        counted = con.execute(
            "select model_label, avg(correct::int) filter (severity > 0), avg(correct::int) filter (severity = 0) "
            "from predictions where image_id < 40 group by all"
        ).fetchall()
        con.execute(f"update prediction_facts set image_id = image_id + 50 where evaluation_id = {BETA}")
    assert {model.label: (known.corrupted.value, known.clean.value) for model, known in accuracies.items()} == {
        label: pytest.approx(values) for label, *values in counted
    }
    with open_warehouse(path) as con, pytest.raises(StudyError, match="differ in images"):
        select_one(con, ranked=True, on_shared_images=True)


@pytest.mark.test_all
def test_severities_without_a_shared_one_are_refused(tmp_path: Path) -> None:
    write_uneven(tmp_path / "results", images=40, Alpha=Grid((1,), ("fog",)), Beta=Grid((2,), ("fog",)))
    load([tmp_path / "results"], tmp_path / "w.duckdb")
    with open_warehouse(tmp_path / "w.duckdb") as con, pytest.raises(StudyError, match="not comparable: severities"):
        select_one(con, ranked=True)
    with pytest.raises(StudyError, match="not comparable in severities"):
        compare_named("Alpha", "Beta", tmp_path / "w.duckdb")


@pytest.mark.test_all
def test_the_command_names_what_it_mixes(alike: Path, tmp_path: Path) -> None:
    changed(alike, tmp_path, RESPECTS["averaging"])
    arguments = ("chart", "ranking", "w.duckdb", "-o", "ranking.json")
    assert "differ in averaging" in run(*arguments, folder=tmp_path, expect=2).stderr
    done = run(*arguments, "--mixed-protocols", folder=tmp_path)
    assert "Mixed protocols" in done.stderr
    assert "Mixed protocols" in (tmp_path / "ranking.json").read_text()
    drawn = json.loads((tmp_path / "ranking.json").read_text())
    assert all(name in str(drawn["title"]) for name in ("Alpha", "Beta"))
    published = run("publish", "w.duckdb", "-o", "out.csv", "--mixed-protocols", folder=tmp_path)
    assert "Mixed protocols" in published.stderr
    with pytest.raises(StudyError, match="ranks no models"):
        draw_from_warehouse(tmp_path / "w.duckdb", "curves", frame=PAGE, mixed=True)
