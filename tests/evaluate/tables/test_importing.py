"""Import of predictions: the same evaluation as a direct one."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from corrupted_datasets import write_published
from import_files import LOGITS, SMALL_STUDY, import_into, small_frame, stored_rows, write_as
from marked_cases import quick
from PIL import Image
from scipy.special import log_softmax

from failmodes.evaluate.evaluation_data import open_evaluation_data
from failmodes.evaluate.study.study_file import read_study
from failmodes.ingest.datasets.layout import open_dataset
from failmodes.runtime.errors import DataError, IncompleteRunError
from failmodes.warehouse.schema import EVALUATION_NOTES, EXEMPLARS, PREDICTION_FACTS
from failmodes.warehouse.shards.format import list_results_files, read_verified

FORMS = ["array of logits, severity a decimal", "logits as CSV", "list of probabilities"]


@quick("form", FORMS, FORMS[0])
def test_an_import_stores_what_a_direct_evaluation_stores(
    form, tiny_run, fresh_study, exported_predictions, tmp_path
) -> None:
    report = import_into(fresh_study, write_as(form, exported_predictions, tmp_path))
    assert (report.written, report.existing, report.rows) == (5, 0, 300)
    ours, theirs = stored_rows(tiny_run[0].parent / "out"), stored_rows(fresh_study.parent / "out")
    assert ours.columns == theirs.columns
    nulls = {"log_sum_exp", "max_logit"} if "probabilities" in form else set()
    for name in ours.columns:
        if name in nulls:
            assert theirs[name].null_count() == 300
        elif name == "logits":
            mine, other = (np.array(frame[name].to_list()) for frame in (ours, theirs))
            if nulls:
                mine = log_softmax(mine, axis=1)
            np.testing.assert_allclose(other, mine, atol=2e-6, rtol=1e-6)
        elif ours[name].dtype.is_float():
            np.testing.assert_allclose(theirs[name].to_numpy(), ours[name].to_numpy(), atol=2e-6, err_msg=name)
        else:
            assert theirs[name].equals(ours[name]), name
    ours, theirs = (
        pl.concat([pl.DataFrame(read_verified(p).rows) for p in list_results_files(folder / "out", EXEMPLARS)])
        for folder in (tiny_run[0].parent, fresh_study.parent)
    )
    same = [c for c in ours.columns if c not in ("evaluation_id", "confidence") and not c.startswith("map_")]
    assert len(theirs) > 0
    assert theirs.select(same).equals(ours.select(same))
    assert theirs["map_f16"].null_count() == len(theirs)


def files_of(output: Path) -> dict[Path, str]:
    return {
        p: read_verified(p).content_hash
        for table in (PREDICTION_FACTS, EXEMPLARS)
        for p in list_results_files(output, table)
    }


@pytest.mark.test_all
def test_an_interrupted_import_goes_on_where_it_stopped(small_import, tmp_path) -> None:
    def stop(unit: str, done: int, _total: int | None) -> None:
        if (unit, done) == ("cells", 2):
            raise KeyboardInterrupt

    small_frame().write_parquet(tmp_path / "p.parquet")
    with pytest.raises(KeyboardInterrupt):
        import_into(small_import, tmp_path / "p.parquet", on_progress=stop)
    assert len(files_of(small_import.parent / "out")) == 2
    report = import_into(small_import, tmp_path / "p.parquet")
    assert (report.written, report.existing) == (3, 2)
    assert len(files_of(small_import.parent / "out")) == 5 + 2


def test_unpaired_corrupted_images_go_by_their_own_labels(small_import, tmp_path) -> None:
    study = read_study(small_import, require_models=False)
    dataset = open_dataset(study.dataset, study.cache)
    order = np.random.default_rng(1).permutation(len(dataset.labels))
    folder = write_published(tmp_path / "C", np.asarray(dataset.images)[order], dataset.labels[order])
    keys = f'names = ["contrast"]\nseverities = [1, 5]\npublished = "{folder}"\n'
    small_import.write_text(SMALL_STUDY.partition("names")[0] + keys)
    study = read_study(small_import, require_models=False)
    (data,) = open_evaluation_data(study, dataset)
    keys = pl.concat(
        pl.DataFrame({"image_id": ids, "corruption": cell.corruption, "severity": float(cell.severity)})
        for cell in study.cells
        for ids in [data.subset.clean_ids if cell.is_clean else data.subset.corrupted_ids]
    )
    logits = pl.DataFrame(np.random.default_rng(0).normal(0, 1, (len(keys), 10)), schema=LOGITS)
    pl.concat([keys, logits], how="horizontal").write_parquet(tmp_path / "p.parquet")
    import_into(small_import, tmp_path / "p.parquet")
    rows = stored_rows(small_import.parent / "out").filter(corruption="contrast", severity="5.000")
    assert rows["rmse"].null_count() == len(rows) == 20
    assert rows["label"].to_list() == dataset.labels[order][rows["image_id"].to_numpy()].tolist()


FOLDER_STUDY = """
name = "small"
output = "out"
[dataset]
kind = "folder"
path = "photographs"
[corruptions]
names = ["contrast"]
severities = [5]
"""


@pytest.fixture
def photographs(tmp_path: Path) -> tuple[Path, pl.DataFrame]:
    """A study of 20 photographs of 2 classes, and right logits for them by the files' names."""
    rng, keys = np.random.default_rng(0), []
    for number in range(20):
        file = f"{'cat' if number < 10 else 'dog'}/{number % 10}.png"
        (tmp_path / "photographs" / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(tmp_path / "photographs" / file)
        answer = [2.0, -2.0] if number < 10 else [-2.0, 2.0]
        keys += [
            {"file": file, "corruption": name, "severity": level, "logits": answer}
            for name, level in (("none", 0.0), ("contrast", 5.0))
        ]
    (tmp_path / "study.toml").write_text(FOLDER_STUDY)
    return tmp_path / "study.toml", pl.DataFrame(keys).sample(fraction=1, shuffle=True, seed=0)


@pytest.mark.test_all
def test_images_may_be_named_by_file(photographs, tmp_path: Path) -> None:
    study, frame = photographs
    path = tmp_path / "p.parquet"
    frame.write_parquet(path)
    assert import_into(study, path).rows == 40
    rows = stored_rows(tmp_path / "out")
    assert (rows["predicted"] == rows["label"]).all()
    frame.with_columns(file=pl.col("file").str.replace("cat/3.png", "cats/3.png")).write_parquet(path)
    with pytest.raises(DataError, match="row [0-9]+: file 'cats/3.png' is not in the dataset"):
        import_into(study, path)


def test_what_is_found_of_predictions_is_kept_with_them(photographs, tmp_path: Path) -> None:
    study, frame = photographs
    swapped = frame.with_columns(pl.col("logits").list.reverse())
    swapped.write_parquet(tmp_path / "p.parquet")
    with pytest.raises(IncompleteRunError, match="strict: 2 warnings"):
        import_into(study, tmp_path / "p.parquet", strict=True)
    assert not list(tmp_path.rglob("out/results/*"))
    for _ in range(2):
        report = import_into(study, tmp_path / "p.parquet")
        assert [note.topic for note in report.notes if note.level == "warning"] == ["chance", "class_order"]
    stored = [read_verified(path).rows.to_pylist() for path in list_results_files(tmp_path / "out", EVALUATION_NOTES)]
    assert {"clean_accuracy", "chance", "class_order"} < {row["topic"] for rows in stored for row in rows}
