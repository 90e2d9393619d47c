"""Tables of predictions without a study: what is stored, shared, refused and left out, beside hand counts."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from installed_script import failmodes as command
from PIL import Image
from scipy.special import softmax
from sklearn.metrics import log_loss, top_k_accuracy_score

import failmodes
from failmodes.runtime.errors import DataError, IncompleteRunError, StudyError

CLASSES = ["bird", "cat", "dog"]


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


def accuracies(w: failmodes.Warehouse, **filters: object) -> dict[tuple[str, float], tuple[int, int]]:
    rows = w.table("accuracy_by_severity", **filters)
    keys = ["corruption", "severity", "correct_count", "image_count"]
    return {(c, s): (correct, count) for c, s, correct, count in rows.select(keys).sort(keys).rows()}


def written(frame: pl.DataFrame, path: Path) -> Path:
    write = {".csv": frame.write_csv, ".parquet": frame.write_parquet, ".jsonl": frame.write_ndjson}
    write[path.suffix](path)
    return path


FORMS: dict[str, Callable[[pl.DataFrame, Path], object]] = {
    "CSV": lambda frame, folder: written(frame, folder / "p.csv"),
    "Parquet": lambda frame, folder: written(frame, folder / "p.parquet"),
    "JSON lines": lambda frame, folder: written(frame, folder / "p.jsonl"),
    "Polars": lambda frame, _: frame,
    "pandas": lambda frame, _: frame.to_pandas(),
    "Arrow": lambda frame, _: frame.to_arrow(),
    "several files": lambda frame, folder: [written(frame[:7], folder / "a.csv"), written(frame[7:], folder / "b.csv")],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_table_is_the_same_evaluation(form: str, tmp_path: Path) -> None:
    if form == "pandas":
        pytest.importorskip("pandas")
    shuffled = small_table().sample(fraction=1, shuffle=True, seed=1)
    w = imported(FORMS[form](shuffled, tmp_path), tmp_path / "out")
    assert accuracies(w) == {("fog", 0): (5, 6), ("fog", 1): (4, 6), ("fog", 2): (2, 6)}
    again = imported(small_table(), tmp_path / "again")
    assert w.table("evaluations").drop("study").equals(again.table("evaluations").drop("study"))
    assert w.sql("select count(distinct camera) from images").item() == 2
    assert "trial" not in w.sql("from images").columns, "it is not constant by image"


def test_measurements_are_left_out_while_a_table_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("failmodes.evaluate.tables.reading.FIRST_COMPARED_ROWS", 8)
    monkeypatch.setattr("failmodes.evaluate.tables.reading.BATCH_ROWS", 4)
    w = imported(written(small_table(), tmp_path / "p.parquet"), tmp_path / "out")
    columns = w.sql("from images").columns
    assert ("camera" in columns, "trial" in columns) == (True, False)
    assert w.sql("select distinct image_id % 2, camera from images order by all").rows() == [
        (0, "camera 0"), (1, "camera 1"),
    ]  # fmt: skip


def test_a_table_of_metadata_is_joined_by_the_names_of_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    meta = pl.DataFrame(
        {"path": [f"{n}.png" for n in range(5)], "iso": [100, 200, 100, 200, 100], "split": list("aabbc")}
    )
    meta.write_csv(tmp_path / "meta.csv")
    table = small_table().with_columns(margin=pl.lit(0.5))
    w = imported(table, tmp_path / "out", metadata=tmp_path / "meta.csv", progress=True)
    expected = "select iso, sum(correct::int) from predictions where severity = 1 group by iso order by all"
    assert w.sql(expected).rows() == [(100, 2), (200, 2), (None, 0)]
    printed = capsys.readouterr().err
    assert "metadata of images: camera, iso, split" in printed
    assert "meta.csv has no row for 1 of 6 images" in printed
    assert "columns of these names: margin" in printed, "the view predictions has a margin"
    meta.rename({"split": "camera"}).write_csv(tmp_path / "meta.csv")
    with pytest.raises(DataError, match="has a column 'camera' too: rename one"):
        imported(table, tmp_path / "other", metadata=tmp_path / "meta.csv")
    assert not (tmp_path / "other").exists()


def test_no_study_images_or_torch_are_needed(tmp_path: Path) -> None:
    written(small_table(), tmp_path / "p.csv")
    command("import", "p.csv", "--to", "out", "--label", "Net", folder=tmp_path)
    command("load", "out", folder=tmp_path)
    command("report", "out", folder=tmp_path)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Not measured: calibration and failure prediction (no confidence)" in page
    code = "import sys, failmodes; failmodes.import_predictions('p.csv', to='two'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_a_dry_run_prints_columns_and_stores_nothing(tmp_path: Path) -> None:
    written(small_table(), tmp_path / "p.csv")
    said = command("import", "p.csv", "--to", "out", "--dry-run", folder=tmp_path).stderr
    assert "image = file_name, label, prediction = predicted_class, corruption, severity" in said
    assert "camera" in said
    assert not (tmp_path / "out").exists()


def test_importing_again_does_nothing_and_a_damaged_cell_is_written_again(tmp_path: Path) -> None:
    path = written(small_table(), tmp_path / "p.csv")
    command("import", path, "--to", "out", folder=tmp_path)
    files = {file: file.read_bytes() for file in (tmp_path / "out").rglob("*.parquet")}
    assert "nothing to do" in command("import", path, "--to", "out", folder=tmp_path).stderr
    assert {file: file.read_bytes() for file in (tmp_path / "out").rglob("*.parquet")} == files
    damaged = next(file for file in files if "severity_text=2" in str(file))
    damaged.write_bytes(files[damaged][:-100])
    assert "1 cell imported" in command("import", path, "--to", "out", folder=tmp_path).stderr


def test_tables_of_a_folder_share_images_and_later_ones_may_add_some(tmp_path: Path) -> None:
    first = small_table().filter(pl.col("file_name") != "3.png")
    imported(first, tmp_path / "out", label="A")
    before = accuracies(failmodes.open(tmp_path / "out"), model_label="A")
    more = pl.concat([small_table(), small_table()[:1].with_columns(file_name=pl.lit("9.png"), label=pl.lit("ant"),
                                                                    predicted_class=pl.lit("ant"))])  # fmt: skip
    w = imported(more.filter(pl.col("corruption") == "none"), tmp_path / "out", label="B")
    assert accuracies(w, model_label="A") == before
    ((images, classes),) = w.sql(
        "select datasets.image_count, class_count from datasets inner join evaluations using (dataset_id) group by all"
    ).rows()
    assert (images, classes) == (7, 4)
    assert w.sql("select count(*) from datasets").item() == 1
    names = w.sql("select distinct file, label_name from predictions where model_label = 'A' order by 1").rows()
    assert names == sorted(set(first.select("file_name", "label").rows()))
    assert w.sql("select count(*) from cell_predictions").item() == 4


def test_contradictory_labels_are_refused_within_a_table_and_beside_an_earlier_one(tmp_path: Path) -> None:
    other = small_table().with_columns(
        label=pl.when(pl.int_range(pl.len()) == 8).then(pl.lit("cat")).otherwise("label")
    )
    with pytest.raises(DataError, match=r"line 10: label 'cat' of image '2\.png' contradicts 'dog' at .*line 4"):
        imported(written(other, tmp_path / "p.csv"), tmp_path / "out")
    imported(small_table(), tmp_path / "out")
    with pytest.raises(DataError, match=r"image '0\.png' has label 'dog', but 'cat'"):
        imported(small_table().with_columns(label=pl.col("label").replace("cat", "dog")), tmp_path / "out", label="B")


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
    assert "no local folder" in command("import", "p.csv", "--to", to, folder=tmp_path, expect=2).stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a file", "p.csv"]


def test_missing_predictions_are_incorrect_counted_and_shown(tmp_path: Path) -> None:
    table = small_table().with_columns(
        predicted_class=pl.when(pl.int_range(pl.len()).is_in([0, 7])).then(pl.lit("na")).otherwise("predicted_class")
    )
    with pytest.raises(IncompleteRunError, match="2 of 18 predictions are missing"):
        imported(table, tmp_path / "out", missing=["na"], strict=True)
    w = imported(table, tmp_path / "out", missing=["na"])
    assert accuracies(w) == {("fog", 0): (4, 6), ("fog", 1): (3, 6), ("fog", 2): (2, 6)}
    rows = w.sql("select image_id, predicted_name, correct, finite from predictions where not finite order by 1").rows()
    assert rows == [(0, None, False, False), (1, None, False, False)]
    assert (
        "2 of 18 predictions are missing ('na')"
        in w.sql("select note from evaluation_notes where level='warning'").item()
    )


def test_confidence_alone_gives_calibration_and_failure_prediction(tmp_path: Path) -> None:
    confidence = np.round(np.linspace(0.35, 0.95, 18), 3)
    w = imported(small_table().with_columns(confidence=pl.Series(confidence)), tmp_path / "out")
    correct = np.array([1, 1, 1, 1, 0, 0])
    own = confidence[6:12]
    bins = np.floor(own * 15).astype(int)
    expected = sum(abs((own - correct)[bins == b].sum()) for b in set(bins)) / 6
    row = w.table("calibration_by_severity", corruption="fog", severity=1).row(0, named=True)
    assert row["ece"] == pytest.approx(expected, abs=1e-6)
    assert row["mean_confidence"] == pytest.approx(own.mean(), abs=1e-6)
    assert (row["nll_nats"], row["brier"]) == (None, None)
    auroc = w.table("failure_prediction", corruption="fog", severity=1, score="confidence")
    failed, kept = own[correct == 0], own[correct == 1]
    assert auroc["auroc"].item() == pytest.approx((failed[:, None] < kept).mean())


def outputs_table(count: int, prefix: str, values: np.ndarray) -> pl.DataFrame:
    columns = {f"{prefix}{name}": values[:, place] for place, name in enumerate(CLASSES)}
    labels = np.random.default_rng(1).integers(0, 3, count)
    return pl.DataFrame({"image": range(count), "label": [CLASSES[place] for place in labels], **columns})


@pytest.mark.parametrize("kind", ["logit_", "probability_"])
def test_outputs_of_every_class_give_all_metrics_without_torch(kind: str, tmp_path: Path) -> None:
    logits = np.random.default_rng(0).normal(0, 2, (200, 3))
    p = softmax(logits, axis=1)
    table = outputs_table(200, kind, logits if kind == "logit_" else p)
    w = imported(table, tmp_path / "out")
    row = w.table("accuracy_by_severity").row(0, named=True)
    labels = [CLASSES.index(name) for name in table["label"]]
    assert row["accuracy"] == pytest.approx(top_k_accuracy_score(labels, p, k=1))
    assert row["nll_nats"] == pytest.approx(log_loss(labels, p), rel=1e-5)
    rows = w.sql("from predictions order by image_id")
    np.testing.assert_allclose(rows["confidence"], p.max(axis=1), rtol=1e-5)
    np.testing.assert_allclose(rows["margin"], np.diff(np.sort(p)[:, -2:])[:, 0], rtol=1e-4, atol=1e-6)
    assert rows["max_logit"].null_count() == (0 if kind == "logit_" else 200)


def test_a_table_of_outputs_is_what_an_import_with_a_study_stores(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from import_files import SMALL_STUDY, import_into, sixty_digits_images, small_frame, stored_rows

    (tmp_path / "study.toml").write_text(SMALL_STUDY)
    small_frame().write_parquet(tmp_path / "p.parquet")
    import_into(tmp_path / "study.toml", tmp_path / "p.parquet")
    theirs = stored_rows(tmp_path / "out")
    labels = dict(zip(*sixty_digits_images(), strict=True))
    table = small_frame().with_columns(label=pl.col("image_id").replace_strict(labels))
    imported(table, tmp_path / "table")
    ours = stored_rows(tmp_path / "table")
    known = ["label", "predicted", "confidence", "loss_nats", "entropy_nats", "log_sum_exp", "logits", "label_rank"]
    assert ours.select(known).equals(theirs.select(known))


def test_runs_are_training_seeds_and_one_may_lack_a_condition(tmp_path: Path) -> None:
    table = pl.concat(small_table().with_columns(observer=pl.lit(f"subject-0{n}")) for n in (3, 7))
    table = table.filter((pl.col("observer") != "subject-07") | (pl.col("severity") < 2))
    w = imported(table, tmp_path / "out", label="People")
    seeds = w.sql("select model_label, training_seed from models order by 2").rows()
    assert seeds == [("People, run 3", 3), ("People, run 7", 7)]
    assert accuracies(w, model_label="People, run 7") == {("fog", 0): (5, 6), ("fog", 1): (4, 6)}
    assert w.sql("select distinct model_name from evaluation_labels").item() == "People"


def test_two_files_of_different_models_need_a_command_each(tmp_path: Path) -> None:
    files = [written(small_table(), tmp_path / f"{name}.csv") for name in "ab"]
    with pytest.raises(DataError, match="a command each, with --label"):
        imported(files, tmp_path / "out")


def test_several_models_of_one_table(tmp_path: Path) -> None:
    table = pl.concat([small_table().with_columns(model=pl.lit(name)) for name in ("A", "B")])
    w = imported(table, tmp_path / "out")
    assert w.sql("select model_label from models order by 1")["model_label"].to_list() == ["A", "B"]
    assert w.sql("select agree_count from pair_cells")["agree_count"].to_list() == [6, 6, 6]


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


@pytest.mark.parametrize("counts", [{"c100": 40, "c50": 40, "c10": 40}, {"c100": 40, "c50": 20, "c10": 30}])
def test_conditions_of_other_images_do_not_pair(counts: dict[str, int], tmp_path: Path) -> None:
    w = imported(unpaired_table(counts), tmp_path / "out", label="People", **CONTRAST)
    expected = {("contrast", s): (n, 2 * count) for s, (n, count) in
                enumerate(zip((2 * 19, 2 * (counts["c50"] // 4 - 1), 0), counts.values(), strict=True))}  # fmt: skip
    sums = w.sql(
        "select corruption, severity, sum(correct_count)::int, sum(image_count)::int from accuracy_by_severity "
        "group by all"
    )
    assert {(c, s): (correct, count) for c, s, correct, count in sums.rows()} == expected
    assert w.sql("select distinct paired, image_count from evaluations").rows() == [(False, sum(counts.values()))]
    levels = w.sql("select level_value, severity from levels order by 2").rows()
    assert levels == [(100.0, 0.0), (50.0, 1.0), (10.0, 2.0)]
    command("report", "out", folder=tmp_path)


def test_words_are_corruptions_and_one_is_the_reference(tmp_path: Path) -> None:
    table = unpaired_table({"c100": 40, "c50": 40}).with_columns(
        pl.col("condition").replace({"c100": "cr", "c50": "bw"})
    )
    w = imported(table, tmp_path / "out", reference="cr")
    assert sorted(w.sql("select distinct corruption, severity from shards").rows()) == [("bw", 1.0), ("none", 0.0)]


def test_a_folder_of_images_adds_thumbnails_sizes_and_duplicates(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for number in range(5):
        Image.fromarray(rng.integers(0, 256, (300, 400, 3), np.uint8)).save(tmp_path / "pictures" / f"{number}.png")
    with pytest.raises(DataError, match=r"1 of 6 images are missing: '5\.png'"):
        imported(small_table(), tmp_path / "out", images=tmp_path / "pictures")
    assert not (tmp_path / "out").exists()
    (tmp_path / "pictures" / "5.png").write_bytes((tmp_path / "pictures" / "4.png").read_bytes())
    w = imported(small_table(), tmp_path / "out", images=tmp_path / "pictures")
    assert w.sql("select height_px, width_px from datasets").rows() == [(300, 400)]
    assert w.sql("select count(distinct pixel_hash) from images").item() == 5
    first = w.sql("from images where image_id = 0").row(0, named=True)
    gray = np.asarray(Image.open(tmp_path / "pictures" / "0.png").convert("L"))
    assert first["image_luminance"] == pytest.approx(gray.mean() / 255)
    assert first["file_bytes"] == (tmp_path / "pictures" / "0.png").stat().st_size
    assert [first[name] for name in ("image_width_px", "image_height_px", "image_aspect")] == [
        400,
        300,
        np.float32(4 / 3),
    ]
    assert w.sql("select distinct height_px, width_px from thumbnails").rows() == [(192, 256)]
    assert len(w.images("severity = 0 limit 2").rows) == 2
    escaping = small_table().with_columns(file_name=pl.lit("../pictures/") + pl.col("file_name"))
    with pytest.raises(DataError, match="is not a path within"):
        imported(escaping, tmp_path / "other", images=tmp_path / "pictures")
    grown = imported(small_table()[:1].with_columns(file_name=pl.lit("9.png")), tmp_path / "out", label="B")
    current = "select dataset_id from evaluations"
    query = f"select count(*), count(pixel_hash), count(image_sharpness) from images where dataset_id in ({current})"
    assert grown.sql(query).rows() == [(7, 6, 6)]


def test_a_rule_on_what_a_table_lacks_is_not_measurable(tmp_path: Path) -> None:
    w = imported(small_table(), tmp_path / "out")
    rules = [{"metric": name, "relation": "at_most", "limit": 0.5} for name in ("ece", "nll_nats", "error")]
    result = failmodes.gate({"gate": {"candidate": "Net", "rules": rules}}, w)
    assert [rule.verdict for rule in result.rules][:2] == ["not_measurable"] * 2
    for name in ("calibration", "abstention", "failure-prediction", "distortion", "exemplars"):
        with pytest.raises(failmodes.WarehouseError, match=r"^no |^models"):
            w.chart(name)


@pytest.mark.data
def test_people_under_contrast(real_data: Path, tmp_path: Path) -> None:
    w = imported(
        real_data / "human_trials" / "contrast.parquet", tmp_path / "out", label="People", missing=["na"],
        columns={"image": "imagename"}, axes={"contrast": "%,100..1,log"}, level_pattern=r"c(\d+)",
        image_pattern="([^_]+_[^_]+)$",
    )  # fmt: skip
    rows = w.sql("select severity, sum(correct_count)::int as n from accuracy_by_severity group by 1 order by 1")
    assert rows["n"].to_list() == [548, 529, 509, 470, 381, 226, 96, 40]
    assert w.sql("select image_count from datasets").item() == 1280


@pytest.mark.data
def test_factors_of_imagenet_x_join_predictions_by_file_name(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "imagenet_x"
    w = imported(folder / "ViT.parquet", tmp_path / "out", label="ViT", metadata=folder / "factors_top.parquet")
    factors = pl.read_parquet(folder / "factors_top.parquet")
    joined = pl.read_parquet(folder / "ViT.parquet").join(factors, on="file_name")
    assert (w.sql("select count(*), count(texture) from images").rows(), len(joined)) == ([(50_000, 48_868)], 48_868)
    for factor in ("texture", "pose", "object_blocking", "style"):
        own = joined.filter(factor).select(pl.len(), (pl.col("label") == pl.col("predicted_class")).sum()).row(0)
        assert w.sql(f"select count(*), count_if(correct) from predictions where {factor}").row(0) == own


@pytest.mark.data
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


@pytest.mark.data
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
