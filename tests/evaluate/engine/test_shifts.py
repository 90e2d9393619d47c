"""Natural shifts of a study: rows, restricted predictions, resuming, processes, status and estimate."""

import multiprocessing
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pytest
import torch
from tiny_study import hashes, run_and_read, write_tiny_study

from failmodes.evaluate.engine.estimate import estimate_run
from failmodes.evaluate.engine.plan import plan_evaluations
from failmodes.evaluate.engine.tasks import RunCallbacks
from failmodes.evaluate.evaluation_data import open_study_data
from failmodes.evaluate.study.study_file import read_study
from failmodes.ingest.datasets.layout import DatasetSpec, open_dataset
from failmodes.ingest.datasets.layouts.arrays import write_arrays
from failmodes.runtime.errors import StudyError
from failmodes.status_command import study_progress
from failmodes.warehouse.database.load import load

SHIFTS = """
[[shifts]]
label = "Noisy"
kind = "arrays"
path = "noisy"
images = 40
[[shifts]]
label = "Three"
kind = "arrays"
path = "three"
"""
DIGITS = DatasetSpec(kind="digits")


def write_shifts(folder: Path) -> None:
    """Noisy training digits under all classes in another order, and three classes of them."""
    digits = open_dataset(DIGITS, folder, split="train")
    rng = np.random.default_rng(0)
    images = np.asarray(digits.images[:80]).astype(int) + rng.normal(0, 30, (80, *digits.images.shape[1:]))
    noisy, labels = images.clip(0, 255).astype(np.uint8), digits.labels[:80]
    write_arrays(folder / "noisy", noisy, 9 - labels, digits.class_names[::-1])
    kept = np.isin(labels, (7, 2, 5))
    place = {7: 0, 2: 1, 5: 2}
    names = tuple(digits.class_names[one] for one in place)
    write_arrays(folder / "three", noisy[kept], np.array([place[int(one)] for one in labels[kept]]), names)


@pytest.fixture(scope="module")
def shifted_study(two_models: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of the first of two trained models."""
    folder = tmp_path_factory.mktemp("shifted")
    write_shifts(folder)
    shutil.copytree(two_models[0].parent / "out" / "checkpoints", folder / "out" / "checkpoints")
    path = write_tiny_study(folder, extra=SHIFTS)
    run_and_read(path)
    return path


def test_shifts_are_evaluated_once_each_and_compared_with_clean_images_of_their_classes(shifted_study: Path) -> None:
    study = read_study(shifted_study)
    load([study.output], study.output / "w.duckdb")
    dataset = open_dataset(study.dataset, study.cache)
    groups = plan_evaluations(study, dataset, torch.device("cpu"))
    assert [len(group[0].data.cells(study)) for group in groups] == [5, 1, 1, 1]
    accuracies = []
    for group in groups:  # among the outputs of the shift's classes, of the whole model
        (evaluation,), data = group, group[0].data
        whole = groups[0][0].model
        assert whole.model_id == evaluation.model.model_id
        outputs = [dataset.class_names.index(name) for name in data.dataset.class_names]
        logits = whole.predict(np.asarray(data.dataset.images[data.subset.clean_ids])).numpy()[:, outputs]
        accuracies.append(float((logits.argmax(1) == data.dataset.labels[data.subset.clean_ids]).mean()))
    with duckdb.connect(str(study.output / "w.duckdb"), read_only=True) as con:
        rows = con.sql("from accuracy_by_shift order by shift_order").pl()
    assert rows["shift"].to_list() == ["Noisy", "Three"]
    assert rows["accuracy"].to_list() == pytest.approx([accuracies[1], accuracies[2]])
    assert rows["clean_accuracy"].to_list() == pytest.approx([accuracies[0], accuracies[3]])
    assert rows["restricted"].to_list() == [False, True]
    assert rows.select("image_count", "clean_image_count", "class_count").row(0) == (40, 60, 10)
    assert rows.select("clean_image_count", "class_count").row(1) == (18, 3)
    assert rows["model_label"].to_list() == ["Net 0", "Net 0"]


def test_status_and_estimate_count_shifts(shifted_study: Path) -> None:
    progress = study_progress(shifted_study)
    assert progress is not None
    assert [(one.source_label, one.cell_count, one.missing_count) for one in progress.evaluations] == [
        ("cifar-c recipe, seed 0", 5, 0), ("shift Noisy", 1, 0), ("shift Three", 1, 0),
        ("clean images for shift Three", 1, 0),
    ]  # fmt: skip
    study = read_study(shifted_study)
    (model,) = estimate_run(study, open_dataset(study.dataset, study.cache)).models
    assert (model.cells, model.missing) == (8, 0)


class Stopped(Exception):
    """Raised by a callback."""


@pytest.mark.test_all
def test_an_interrupted_run_resumes_to_the_same_rows_also_in_processes(shifted_study: Path, tmp_path: Path) -> None:
    expected = hashes(read_study(shifted_study).output)
    for name, extra in (("here", ""), ("several", '[evaluation]\nexecutor = "processes"\nprocesses = 2\n')):
        folder = tmp_path / name
        folder.mkdir()
        write_shifts(folder)
        path = write_tiny_study(folder, extra=SHIFTS + extra)
        study = read_study(path)
        shutil.copytree(read_study(shifted_study).output / "checkpoints", study.output / "checkpoints")
        if name == "here":
            written = []

            def stop(key: object, written: list[object] = written) -> None:
                written.append(key)
                if len(written) == 3:
                    raise Stopped

            with pytest.raises(Stopped):
                run_and_read(path, progress=RunCallbacks(shard=stop))
        result, _ = run_and_read(path)
        assert result.existing + result.written == 8
        assert hashes(study.output) == expected
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        (SHIFTS.replace('"Three"', '"Noisy"'), "two shifts have the label 'Noisy'"),
        (SHIFTS.replace('"three"', '"noisy"').replace("images = 40", ""), "shifts 'Noisy' and 'Three' hold the same"),
        (SHIFTS.replace('path = "three"', 'path = "gone"'), "gone does not exist"),
        (SHIFTS.replace('path = "three"', 'pth = "three"'), "shifts.1.pth: unknown key; did you mean 'path'"),
        (SHIFTS.replace("images = 40", "images = 4000"), "4,000 images are requested, and the dataset has 80"),
    ],
    ids=["a label twice", "the same images", "no folder", "an unknown key", "too many images"],
)
def test_bad_shifts_are_refused_before_any_evaluation(tmp_path: Path, extra: str, says: str) -> None:
    write_shifts(tmp_path)

    def open_all(path: Path) -> None:
        study = read_study(path)
        open_study_data(study, open_dataset(study.dataset, study.cache))

    with pytest.raises(StudyError, match=says):
        open_all(write_tiny_study(tmp_path, extra=extra))
