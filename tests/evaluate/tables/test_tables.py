"""Tables of predictions without a study: what is stored, shared, refused and left out, beside hand counts."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from import_files import stored_rows
from PIL import Image
from run_commands import run
from scipy.special import softmax
from sklearn.metrics import log_loss, top_k_accuracy_score

import failmodes
from failmodes.evaluate.tables.importing import TableReport, check_tables, import_table
from failmodes.evaluate.tables.options import table_options
from failmodes.evaluate.tables.table_dataset import stored_dataset
from failmodes.runtime.errors import DataError, IncompleteRunError, StudyError
from failmodes.warehouse.database.load import load
from failmodes.warehouse.schema import EVALUATIONS
from failmodes.warehouse.shards.format import list_results_files
from failmodes.warehouse.shards.inventory import read_rows

CLASSES = ["ant", "bird", "cat", "dog"]


def small_table() -> pl.DataFrame:
    """Six images, clean and under fog at two severities: 5, 4 and 2 of 6 predictions are correct."""
    labels = ["cat", "cat", "dog", "dog", "bird", "bird"]
    predicted = {
        ("none", 0): ["cat", "cat", "dog", "dog", "bird", "dog"],
        ("fog", 1): ["cat", "cat", "dog", "dog", "dog", "dog"],
        ("fog", 2): ["cat", "dog", "dog", "cat", "dog", "dog"],
    }
    return pl.DataFrame(
        [
            {"file_name": f"{number}.png", "label": label, "predicted_class": own, "corruption": name,
             "severity": severity, "camera": f"camera {number % 2}", "trial": f"{severity}-{number}"}
            for (name, severity), predictions in predicted.items()
            for number, (label, own) in enumerate(zip(labels, predictions, strict=True))
        ]
    )  # fmt: skip


def imported(table: object, folder: Path, **options: object) -> failmodes.Warehouse:
    return failmodes.import_predictions(table, to=folder, **({"label": "Net", "progress": False} | options))


def store(table: object, folder: Path, **options: dict[str, str] | object) -> TableReport:
    """Import a table as the command does: the results, without a warehouse."""
    given = {"label": "Net"} | options | {role: options.get(role, {}).items() for role in ("axes", "columns")}
    settings = table_options(folder, **given)
    return import_table(check_tables([table], folder, settings), folder, settings)


def accuracies(w: failmodes.Warehouse, label: str) -> dict[tuple[str, float], tuple[int, int]]:
    rows = w.table("accuracy_by_severity", model_label=label)
    keys = ["corruption", "severity", "correct_count", "image_count"]
    return {(c, s): (correct, count) for c, s, correct, count in rows.select(keys).rows()}


def written(frame: pl.DataFrame, path: Path) -> Path:
    write = {".csv": frame.write_csv, ".parquet": frame.write_parquet, ".jsonl": frame.write_ndjson}
    write[path.suffix](path)
    return path


def outputs_table(prefix: str, values: np.ndarray) -> pl.DataFrame:
    columns = {f"{prefix}{name}": values[:, place] for place, name in enumerate(CLASSES)}
    labels = np.random.default_rng(1).integers(0, len(CLASSES), len(values))
    return pl.DataFrame({"image": range(len(values)), "label": [CLASSES[place] for place in labels], **columns})


CONFIDENCE = np.round(np.linspace(0.35, 0.95, 18), 3)
LOGITS = np.random.default_rng(0).normal(0, 2, (200, 4))


def with_missing_predictions() -> pl.DataFrame:
    is_missing = pl.int_range(pl.len()).is_in([0, 7])
    return small_table().with_columns(
        predicted_class=pl.when(is_missing).then(pl.lit("na")).otherwise("predicted_class")
    )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the six images, of which two are the same."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for number in range(5):
        Image.fromarray(rng.integers(0, 256, (300, 400, 3), np.uint8)).save(folder / f"{number}.png")
    shutil.copy(folder / "4.png", folder / "5.png")
    return folder


@pytest.fixture(scope="module")
def w(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> failmodes.Warehouse:
    """A folder of many tables, loaded after the first one, which has pixels, and again after the last one."""
    out = tmp_path_factory.mktemp("tables")
    imported(small_table(), out, images=pictures)
    new = small_table()[:1].with_columns(file_name=pl.lit("00.png"), label=pl.lit("ant"), predicted_class=pl.lit("ant"))
    store(pl.concat([small_table(), new]).filter(corruption="none"), out, label="With an ant")
    store(small_table().with_columns(confidence=pl.Series(CONFIDENCE)), out, label="Confident")
    store(with_missing_predictions(), out, label="Not always", missing=["na"])
    runs = pl.concat(small_table().with_columns(observer=pl.lit(f"subject-0{n}")) for n in (3, 7))
    store(runs.filter((pl.col("observer") != "subject-07") | (pl.col("severity") < 2)), out, label="People")
    store(pl.concat([small_table().with_columns(model=pl.lit(name)) for name in ("A", "B")]), out)
    store(outputs_table("logit_", LOGITS), out, label="logit_")
    store(outputs_table("probability_", softmax(LOGITS, axis=1)), out, label="probability_")
    load([out], out / "warehouse.duckdb")
    return failmodes.open(out)


FORMS: dict[str, Callable[[pl.DataFrame, Path], object]] = {
    "CSV": lambda frame, folder: written(frame, folder / "p.csv"),
    "Parquet": lambda frame, folder: written(frame, folder / "p.parquet"),
    "JSON lines": lambda frame, folder: written(frame, folder / "p.jsonl"),
    "pandas": lambda frame, _: frame.to_pandas(),
    "Arrow": lambda frame, _: frame.to_arrow(),
}


@pytest.mark.parametrize("form", [pytest.param(f, marks=[pytest.mark.test_all] * (f == "pandas")) for f in FORMS])
def test_every_form_of_a_table_is_the_same_evaluation(form: str, tmp_path: Path) -> None:
    if form == "pandas":
        pytest.importorskip("pandas")
    shuffled = small_table().sample(fraction=1, shuffle=True, seed=1)
    report = store(FORMS[form](shuffled, tmp_path), tmp_path / "out")
    again = store(small_table(), tmp_path / "again")
    assert report.evaluation_ids == again.evaluation_ids
    assert stored_rows(tmp_path / "out").equals(stored_rows(tmp_path / "again"))
    assert "trial" not in stored_dataset(tmp_path / "out").metadata, "it is not constant by image"
    assert stored_dataset(tmp_path / "out").metadata["camera"].to_pylist() == ["camera 0", "camera 1"] * 3


def test_several_files_are_one_table(w: failmodes.Warehouse, tmp_path: Path) -> None:
    files = [written(small_table()[:7], tmp_path / "a.csv"), written(small_table()[7:], tmp_path / "b.csv")]
    assert accuracies(w, "Net") == {("fog", 0): (5, 6), ("fog", 1): (4, 6), ("fog", 2): (2, 6)}
    run("import", *files, "--to", "out", "--label", "Net", folder=tmp_path)
    store(small_table(), tmp_path / "again")
    assert stored_rows(tmp_path / "out").equals(stored_rows(tmp_path / "again"))


def test_measurements_are_left_out_while_a_table_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("failmodes.evaluate.tables.reading.FIRST_COMPARED_ROWS", 8)
    monkeypatch.setattr("failmodes.evaluate.tables.reading.BATCH_ROWS", 4)
    store(written(small_table(), tmp_path / "p.parquet"), tmp_path / "out")
    metadata = stored_dataset(tmp_path / "out").metadata
    assert {name: values.to_pylist() for name, values in metadata.items()} == {"camera": ["camera 0", "camera 1"] * 3}


def test_a_table_of_metadata_is_joined_by_the_names_of_images(tmp_path: Path) -> None:
    meta = pl.DataFrame(
        {"path": [f"{n}.png" for n in range(5)], "iso": [100, 200, 100, 200, 100], "split": list("aabbc")}
    )
    meta.write_csv(tmp_path / "meta.csv")
    written(small_table().with_columns(margin=pl.lit(0.5)), tmp_path / "p.csv")
    printed = run("import", "p.csv", "--to", "out", "--metadata", "meta.csv", folder=tmp_path).stderr
    assert stored_dataset(tmp_path / "out").metadata["iso"].to_pylist() == [100, 200, 100, 200, 100, None]
    assert "metadata of images: camera, iso, split" in printed
    assert "meta.csv has no row for 1 of 6 images" in printed
    assert "columns of these names: margin" in printed, "the view predictions has a margin"
    meta.rename({"split": "camera"}).write_csv(tmp_path / "meta.csv")
    with pytest.raises(DataError, match="has a column 'camera' too: rename one"):
        store(small_table(), tmp_path / "other", metadata=tmp_path / "meta.csv")
    assert not (tmp_path / "other").exists()


def test_no_torch_is_needed(tmp_path: Path) -> None:
    written(small_table(), tmp_path / "p.csv")
    code = "import sys; from failmodes.cli import app; app(sys.argv[1:], standalone_mode=False); "
    words = [sys.executable, "-c", code + "assert 'torch' not in sys.modules", "import", "p.csv", "--to", "out"]
    subprocess.run(words, cwd=tmp_path, check=True)
    assert len(stored_rows(tmp_path / "out")) == 18


def test_a_dry_run_prints_columns_and_stores_nothing(tmp_path: Path) -> None:
    written(small_table(), tmp_path / "p.csv")
    said = run("import", "p.csv", "--to", "out", "--dry-run", folder=tmp_path).stderr
    assert "image = file_name, label, prediction = predicted_class, corruption, severity" in said
    assert "camera" in said
    assert not (tmp_path / "out").exists()


def test_importing_again_does_nothing_and_a_damaged_cell_is_written_again(tmp_path: Path) -> None:
    path = written(small_table(), tmp_path / "p.csv")
    run("import", path, "--to", "out", folder=tmp_path)
    files = {file: file.read_bytes() for file in (tmp_path / "out").rglob("*.parquet")}
    assert "nothing to do" in run("import", path, "--to", "out", folder=tmp_path).stderr
    assert {file: file.read_bytes() for file in (tmp_path / "out").rglob("*.parquet")} == files
    damaged = next(file for file in files if "severity_text=2" in str(file))
    damaged.write_bytes(files[damaged][:-100])
    assert "1 cell imported" in run("import", path, "--to", "out", folder=tmp_path).stderr


@pytest.mark.test_all
def test_tables_of_a_folder_share_images_and_later_ones_add_theirs(w: failmodes.Warehouse) -> None:
    assert accuracies(w, "Net") == {("fog", 0): (5, 6), ("fog", 1): (4, 6), ("fog", 2): (2, 6)}
    assert accuracies(w, "With an ant") == {("none", 0): (6, 7)}
    counts = w.sql(
        "select datasets.image_count, class_count from datasets inner join evaluations using (dataset_id) group by all"
    )
    assert counts.rows() == [(207, 4)]
    assert w.sql("select count(*) from datasets").item() == 1
    names = w.sql("select distinct file, label_name from predictions where model_label = 'Net' order by 1").rows()
    assert names == small_table().select("file_name", "label").unique().sort("file_name").rows()
    images = w.sql("select image_id, file, camera from images where image_id in (0, 1, 6) order by 1").rows()
    assert images == [(0, "0.png", "camera 0"), (1, "1.png", "camera 1"), (6, "00.png", "camera 0")]


def test_contradictory_labels_are_refused_within_a_table_and_beside_an_earlier_one(tmp_path: Path) -> None:
    other = small_table().with_columns(
        label=pl.when(pl.int_range(pl.len()) == 8).then(pl.lit("cat")).otherwise("label")
    )
    with pytest.raises(DataError, match=r"line 10: label 'cat' of image '2\.png' contradicts 'dog' at .*line 4"):
        imported(written(other, tmp_path / "p.csv"), tmp_path / "out")
    store(small_table(), tmp_path / "out")
    with pytest.raises(DataError, match=r"image '0\.png' has label 'dog', but 'cat'"):
        store(small_table().with_columns(label=pl.col("label").replace("cat", "dog")), tmp_path / "out", label="B")


def at(row: int, **values: object) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Change values of one row."""
    here = pl.int_range(pl.len()) == row
    return lambda frame: frame.with_columns(
        pl.when(here).then(pl.lit(value)).otherwise(pl.col(name)).alias(name) for name, value in values.items()
    )


WRONG: dict[str, tuple[Callable[[pl.DataFrame], pl.DataFrame], str]] = {
    "no label": (at(3, label=None), "line 5: no label"),
    "no image": (at(3, file_name=None), "line 5: no image"),
    "no prediction": (at(3, predicted_class=None), "line 5: no prediction: .*--missing"),
    "an unknown class": (at(3, predicted_class="dgo"), "line 5: prediction 'dgo' is no class .*'dog'"),
    "a severity in words": (at(8, severity="high"), "line 10: severity 'high'"),
    "a severity below 0": (lambda f: at(8, severity=-1)(f), "line 10: severity '-1'"),
    "clean at a severity": (at(0, severity=2), "line 2: corruption 'none' at severity 2"),
    "a strange corruption": (at(8, corruption="fog!"), "line 10: corruption 'fog!'"),
    "an image twice": (lambda f: pl.concat([f, f[8:9]]), r"line 20: another prediction for image '2\.png' in fog 1, "),
    "no column of images": (lambda f: f.drop("file_name"), "no column is the image: .*--columns image=COLUMN"),
    "no prediction at all": (lambda f: f.drop("predicted_class"), "no column is the prediction"),
    "one class": (lambda f: f.with_columns(label=pl.lit("dog"), predicted_class=pl.lit("dog")), "has one class, 'dog'"),
    "a percentage": (lambda f: f.with_columns(confidence=pl.lit(87.5)), "line 2: confidence 87.5 .*percentages"),
    "some confidences": (
        lambda f: f.with_columns(confidence=pl.when(pl.int_range(pl.len()) != 4).then(0.5)), "line 6: no confidence",
    ),
    "another class than the outputs": (
        lambda f: f.with_columns(logit_bird=pl.lit(0.5), logit_cat=pl.lit(2.0), logit_dog=pl.lit(1.0)),
        "line 4: prediction 'dog' is not the class of the largest output, 'cat'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_an_invalid_row_is_named_by_its_line_and_nothing_is_stored(name: str, tmp_path: Path) -> None:
    change, said = WRONG[name]
    path = written(change(small_table()), tmp_path / "p.csv")
    with pytest.raises(DataError, match=said) as caught:
        imported(path, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


OPTIONS: dict[str, tuple[dict[str, object], str]] = {
    "an unknown role": ({"columns": {"picture": "file_name"}}, "unknown role 'picture'"),
    "an axis without values": ({"axes": {"fog": "0..2"}}, "--axis needs a column of levels"),
    "no regular expression": ({"image_pattern": "("}, "no regular expression"),
    "a missing text that is a class": ({"missing": ["dog"]}, "'dog' is a class"),
    "a reference that does not occur": ({"reference": "clear"}, "'clear' is none of"),
    "a label that no chart can show": ({"label": "\x1b[2J"}, "label"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_that_does_not_fit_is_one_error(name: str, tmp_path: Path) -> None:
    options, said = OPTIONS[name]
    with pytest.raises(StudyError, match=said):
        imported(small_table(), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("to", ["out.duckdb", "study.toml", "s3://bucket/out", "a file"])
def test_an_output_that_is_no_local_folder_is_one_error(to: str, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    written(small_table(), tmp_path / "p.csv")
    assert "no local folder" in run("import", "p.csv", "--to", to, folder=tmp_path, expect=2).stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a file", "p.csv"]


def test_missing_predictions_are_incorrect_counted_and_shown(w: failmodes.Warehouse, tmp_path: Path) -> None:
    with pytest.raises(IncompleteRunError, match="2 of 18 predictions are missing"):
        imported(with_missing_predictions(), tmp_path / "out", missing=["na"], strict=True)
    assert accuracies(w, "Not always") == {("fog", 0): (4, 6), ("fog", 1): (3, 6), ("fog", 2): (2, 6)}
    rows = w.sql("select image_id, predicted_name, correct, finite from predictions where not finite order by 1").rows()
    assert rows == [(0, None, False, False), (1, None, False, False)]
    warning = w.sql("select note from evaluation_notes where level = 'warning'").item()
    assert "2 of 18 predictions are missing ('na')" in warning


def test_confidence_alone_gives_calibration_and_failure_prediction(w: failmodes.Warehouse) -> None:
    correct = np.array([1, 1, 1, 1, 0, 0])
    own = CONFIDENCE[6:12]
    bins = np.floor(own * 15).astype(int)
    expected = sum(abs((own - correct)[bins == b].sum()) for b in set(bins)) / 6
    cell = {"model_label": "Confident", "corruption": "fog", "severity": 1}
    row = w.table("calibration_by_severity", **cell).row(0, named=True)
    assert row["ece"] == pytest.approx(expected, abs=1e-6)
    assert row["mean_confidence"] == pytest.approx(own.mean(), abs=1e-6)
    assert (row["nll_nats"], row["brier"]) == (None, None)
    auroc = w.table("failure_prediction", score="confidence", **cell)
    failed, kept = own[correct == 0], own[correct == 1]
    assert auroc["auroc"].item() == pytest.approx((failed[:, None] < kept).mean())


@pytest.mark.parametrize("kind", ["logit_", "probability_"])
def test_outputs_of_every_class_give_all_metrics(kind: str, w: failmodes.Warehouse) -> None:
    p = softmax(LOGITS, axis=1)
    row = w.table("accuracy_by_severity", model_label=kind).row(0, named=True)
    labels = [CLASSES.index(name) for name in outputs_table(kind, p)["label"]]
    assert row["accuracy"] == pytest.approx(top_k_accuracy_score(labels, p, k=1))
    assert row["nll_nats"] == pytest.approx(log_loss(labels, p), rel=1e-5)
    rows = w.sql("from predictions where model_label = $kind order by image_id", kind=kind)
    np.testing.assert_allclose(rows["confidence"], p.max(axis=1), rtol=1e-5)
    np.testing.assert_allclose(rows["margin"], np.diff(np.sort(p)[:, -2:])[:, 0], rtol=1e-4, atol=1e-6)
    assert rows["max_logit"].null_count() == (0 if kind == "logit_" else 200)


@pytest.mark.test_all
def test_a_table_of_outputs_is_what_an_import_with_a_study_stores(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from import_files import SMALL_STUDY, import_into, sixty_digits_images, small_frame

    (tmp_path / "study.toml").write_text(SMALL_STUDY)
    small_frame().write_parquet(tmp_path / "p.parquet")
    import_into(tmp_path / "study.toml", tmp_path / "p.parquet")
    theirs = stored_rows(tmp_path / "out")
    labels = dict(zip(*sixty_digits_images(), strict=True))
    table = small_frame().with_columns(label=pl.col("image_id").replace_strict(labels))
    store(table, tmp_path / "table")
    ours = stored_rows(tmp_path / "table")
    known = ["label", "predicted", "confidence", "loss_nats", "entropy_nats", "log_sum_exp", "logits", "label_rank"]
    assert ours.select(known).equals(theirs.select(known))


def test_runs_are_training_seeds_and_one_may_lack_a_condition(w: failmodes.Warehouse) -> None:
    seeds = w.sql("select model_label, training_seed from models where starts_with(model_label, 'People') order by 2")
    assert seeds.rows() == [("People, run 3", 3), ("People, run 7", 7)]
    assert accuracies(w, "People, run 7") == {("fog", 0): (5, 6), ("fog", 1): (4, 6)}
    names = "select distinct model_name from evaluation_labels where starts_with(model_label, 'People')"
    assert w.sql(names).item() == "People"


def test_two_files_of_different_models_need_a_command_each(tmp_path: Path) -> None:
    files = [written(small_table(), tmp_path / f"{name}.csv") for name in "ab"]
    with pytest.raises(DataError, match="a command each, with --label"):
        imported(files, tmp_path / "out")


@pytest.mark.test_all
def test_several_models_of_one_table(w: failmodes.Warehouse) -> None:
    of_a, of_b = w.sql("select evaluation_id from evaluation_labels where model_label in ('A', 'B')")["evaluation_id"]
    query = "select agree_count from pair_cells where evaluation_id_a in ($a, $b) and evaluation_id_b in ($a, $b)"
    assert w.sql(query, a=of_a, b=of_b)["agree_count"].to_list() == [6, 6, 6]


def unpaired_table(counts: dict[str, int]) -> pl.DataFrame:
    """Other images in each condition: half of them correct at c100, a quarter at c50, none at c10."""
    shares = {"c100": 2, "c50": 4, "c10": 10**6}
    rows = [
        {"imagename": f"{number:04d}_{condition}_cat_{condition}-{number}", "category": "cat" if number % 2 else "dog",
         "object_response": ("cat" if number % 2 else "dog") if number % shares[condition] == 0 and number else
         ("dog" if number % 2 else "cat"), "condition": condition, "subj": f"s{observer}"}
        for condition, count in counts.items() for number in range(count) for observer in (1, 2)
    ]  # fmt: skip
    return pl.DataFrame(rows)


CONTRAST = {
    "axes": {"contrast": "%,100..10,log"}, "level_pattern": r"c(\d+)", "image_pattern": "([^_]+_[^_]+)$",
}  # fmt: skip


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a warehouse of predicted classes alone: neither a study, images nor confidence."""
    folder = tmp_path_factory.mktemp("people")
    written(unpaired_table({"c100": 40, "c50": 20, "c10": 30}), folder / "p.csv")
    run(
        "import", "p.csv", "--to", "out", "--label", "People", "--axis", f"contrast={CONTRAST['axes']['contrast']}",
        "--level-pattern", CONTRAST["level_pattern"], "--image-pattern", CONTRAST["image_pattern"], folder=folder,
    )  # fmt: skip
    run("load", "out", folder=folder)
    return folder / "out"


def test_conditions_of_other_images_do_not_pair(people: Path) -> None:
    w = failmodes.open(people)
    sums = w.sql(
        "select corruption, severity, sum(correct_count)::int, sum(image_count)::int from accuracy_by_severity "
        "group by all order by all"
    )
    assert sums.rows() == [("contrast", 0, 38, 80), ("contrast", 1, 8, 40), ("contrast", 2, 0, 60)]
    assert w.sql("select distinct paired, image_count from evaluations").rows() == [(False, 90)]
    levels = w.sql("select level_value, severity from levels order by 2").rows()
    assert levels == [(100.0, 0.0), (50.0, 1.0), (10.0, 2.0)]


def test_conditions_of_as_many_other_images_do_not_pair(tmp_path: Path) -> None:
    store(unpaired_table({"c100": 40, "c50": 40, "c10": 40}), tmp_path, label="People", **CONTRAST)
    rows = [read_rows(path, EVALUATIONS).to_pylist() for path in list_results_files(tmp_path, EVALUATIONS)]
    assert [(row["paired"], row["image_count"]) for (row,) in rows] == [(False, 120)] * 2


def test_words_are_corruptions_and_one_is_the_reference(tmp_path: Path) -> None:
    table = unpaired_table({"c100": 40, "c50": 40}).with_columns(
        pl.col("condition").replace({"c100": "cr", "c50": "bw"})
    )
    store(table, tmp_path, reference="cr")
    assert set(stored_rows(tmp_path).select("corruption", "severity").rows()) == {("bw", "1.000"), ("none", "0.000")}


@pytest.mark.test_all
def test_a_folder_of_images_adds_thumbnails_sizes_and_duplicates(w: failmodes.Warehouse, pictures: Path) -> None:
    query = "select count(*), count(pixel_hash), count(image_sharpness), count(distinct pixel_hash) from images"
    assert w.sql(query).rows() == [(207, 6, 6, 5)]
    first = w.sql("from images where image_id = 0").row(0, named=True)
    gray = np.asarray(Image.open(pictures / "0.png").convert("L"))
    assert first["image_luminance"] == pytest.approx(gray.mean() / 255)
    assert first["file_bytes"] == (pictures / "0.png").stat().st_size
    size = [first[name] for name in ("image_width_px", "image_height_px", "image_aspect")]
    assert size == [400, 300, np.float32(4 / 3)]
    assert w.sql("select distinct height_px, width_px from thumbnails").rows() == [(192, 256)]
    assert len(w.images("model_label = 'Net' and severity = 0 limit 2").rows) == 2


def test_a_folder_of_images_has_all_of_them_and_no_others(pictures: Path, tmp_path: Path) -> None:
    store(small_table(), tmp_path / "all", images=pictures)
    assert stored_dataset(tmp_path / "all").size_px == (300, 400)
    shutil.copytree(pictures, tmp_path / "pictures", ignore=shutil.ignore_patterns("5.png"))
    with pytest.raises(DataError, match=r"1 of 6 images are missing: '5\.png'"):
        store(small_table(), tmp_path / "out", images=tmp_path / "pictures")
    escaping = small_table().with_columns(file_name=pl.lit("../pictures/") + pl.col("file_name"))
    with pytest.raises(DataError, match="is not a path within"):
        store(escaping, tmp_path / "out", images=tmp_path / "pictures")
    assert not (tmp_path / "out").exists()


@pytest.mark.test_all
def test_a_rule_on_what_a_table_lacks_is_not_measurable(people: Path) -> None:
    w = failmodes.open(people)
    rules = [{"metric": name, "relation": "at_most", "limit": 0.5} for name in ("ece", "nll_nats", "error")]
    result = failmodes.gate({"gate": {"candidate": "People, run 1", "rules": rules}}, w)
    assert [rule.verdict for rule in result.rules][:2] == ["not_measurable"] * 2
    for name in ("calibration", "abstention", "failure-prediction", "distortion", "exemplars"):
        with pytest.raises(failmodes.WarehouseError, match=r"^no |^models"):
            w.chart(name)


@pytest.mark.test_all
def test_the_report_of_a_table_names_what_it_lacks(people: Path) -> None:
    run("report", people, folder=people)
    page = (people / "report.html").read_text()
    assert "Not measured: calibration and failure prediction (no confidence)" in page


@pytest.mark.test_all
def test_people_under_contrast(real_data: Path, tmp_path: Path) -> None:
    w = imported(
        real_data / "human_trials" / "contrast.parquet", tmp_path / "out", label="People", missing=["na"],
        columns={"image": "imagename"}, axes={"contrast": "%,100..1,log"}, level_pattern=r"c(\d+)",
        image_pattern="([^_]+_[^_]+)$",
    )  # fmt: skip
    rows = w.sql("select severity, sum(correct_count)::int as n from accuracy_by_severity group by 1 order by 1")
    assert rows["n"].to_list() == [548, 529, 509, 470, 381, 226, 96, 40]
    assert w.sql("select image_count from datasets").item() == 1280


@pytest.mark.test_all
def test_factors_of_imagenet_x_join_predictions_by_file_name(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "imagenet_x"
    w = imported(folder / "ViT.parquet", tmp_path / "out", label="ViT", metadata=folder / "factors_top.parquet")
    factors = pl.read_parquet(folder / "factors_top.parquet")
    joined = pl.read_parquet(folder / "ViT.parquet").join(factors, on="file_name")
    assert (w.sql("select count(*), count(texture) from images").rows(), len(joined)) == ([(50_000, 48_868)], 48_868)
    for factor in ("texture", "pose", "object_blocking", "style"):
        own = joined.filter(factor).select(pl.len(), (pl.col("label") == pl.col("predicted_class")).sum()).row(0)
        assert w.sql(f"select count(*), count_if(correct) from predictions where {factor}").row(0) == own


@pytest.mark.test_all
def test_two_models_of_imagenet_x(real_data: Path, tmp_path: Path) -> None:
    for name, label in (("ResNet50", "ResNet-50"), ("ViT", "ViT")):
        w = imported(real_data / "imagenet_x" / f"{name}.parquet", tmp_path / "out", label=label)
    found = dict(w.table("accuracy_by_severity").select("model_label", "accuracy").rows())
    assert found == {"ResNet-50": pytest.approx(0.76130), "ViT": pytest.approx(0.78006)}
    files = [real_data / "imagenet_x" / f"{name}.parquet" for name in ("ResNet50", "ViT")]
    is_correct = pl.col("label") == pl.col("predicted_class")
    a, b = (pl.read_parquet(file).sort("file_name").select(is_correct) for file in files)
    discordant = w.sql("select only_a_correct_count + only_b_correct_count from pair_cells").item()
    assert discordant == (a.to_series() != b.to_series()).sum()
    said = " ".join(str(w.compare("ResNet-50", "ViT")).split())
    assert "ViT is 1.9 points [1.5, 2.2] more accurate than ResNet-50" in said
    assert w.table("calibration_by_severity")["ece"].null_count() == 0


@pytest.mark.test_all
def test_accuracy_by_factor_of_imagenet_x_is_a_direct_count(real_data: Path, tmp_path: Path) -> None:
    factors = pl.read_parquet(real_data / "imagenet_x" / "factors_top.parquet").drop("class")
    joined = {
        label: pl.read_parquet(real_data / "imagenet_x" / f"{label}.parquet").join(factors, on="file_name", how="left")
        for label in ("ResNet50", "ViT")
    }
    folder = real_data / "imagenet_x"
    for label in joined:
        w = imported(
            folder / f"{label}.parquet", tmp_path / "out", label=label, metadata=folder / "factors_top.parquet"
        )
    names = [name for name in factors.columns if name != "file_name"]
    assert len(names) == 16
    for factor in names:
        found = w.table("accuracy_by_severity", by=factor)
        for label, rows in joined.items():
            is_correct = (pl.col("label") == pl.col("predicted_class")).sum().alias("correct")
            counts = rows.group_by(pl.col(factor).cast(pl.String)).agg(is_correct, pl.len())
            own = found.filter(model_label=label).select(factor, "correct_count", "image_count")
            assert sorted(own.rows(), key=str) == sorted(counts.rows(), key=str)
    kept = w.compare("ResNet50", "ViT", filter="texture").comparison
    of_texture = [rows.filter(pl.col("texture")) for rows in joined.values()]
    accuracy = [(rows["label"] == rows["predicted_class"]).mean() for rows in of_texture]
    assert (kept.overall.a, kept.overall.b) == pytest.approx(accuracy)
    assert kept.pair.filter is not None
    assert kept.pair.filter[1:] == (len(of_texture[0]), 50_000, 50_000 - len(factors))
