"""More outputs than classes: which of them may be the answer, and what the clean images tell of both protocols."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from import_files import stored_rows
from tiny_study import run_and_read

from failmodes.evaluate.engine.statistics import prediction_statistics
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.self_check import CleanResults, clean_notes
from failmodes.evaluate.study_models import load_study_models
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.query import run_query
from failmodes.warehouse.database.status import warehouse_status
from failmodes.warehouse.schema import ATTENTION, MODELS
from failmodes.warehouse.shards.format import list_results_files, read_verified

OTHERS = (4, 8)


def clean_outputs(path: Path) -> tuple[Model, np.ndarray]:
    """The model, and all its outputs (N, 12) for the clean images, by itself."""
    _, study = run_and_read(path)
    dataset = open_dataset(study.dataset, study.cache)
    (model,) = load_study_models(study, dataset)
    ids = stored_rows(study.output).filter(corruption="none")["image_id"].to_numpy()
    prepared = model.to(torch.device("cpu"))
    with torch.no_grad():
        return model, prepared.module(prepared.inputs(np.asarray(dataset.images[ids]))).numpy()


def test_a_prediction_among_all_outputs_may_be_no_class_of_the_data_set(study_with, tmp_path: Path) -> None:
    model, outputs = clean_outputs(study_with(""))
    rows = stored_rows(tmp_path / "out").filter(corruption="none")
    assert (model.protocol, model.row()["class_protocol"]) == ("all", "all")
    predictions = outputs.argmax(1)
    assert set(OTHERS) & set(predictions), "the case is empty"
    assert rows["predicted_output"].to_list() == predictions.tolist()
    class_of = {output: index for index, output in enumerate(model.class_outputs)}
    assert rows["predicted"].to_list() == [class_of.get(int(prediction)) for prediction in predictions]
    assert rows["finite"].all()
    p = np.exp(outputs - outputs.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    np.testing.assert_allclose(rows["confidence"], p.max(1), rtol=1e-5)
    own = p[np.arange(40), np.array(model.class_outputs)[rows["label"].to_numpy()]]
    np.testing.assert_allclose(rows["label_probability"], own, rtol=1e-4, atol=1e-7)
    assert rows["label_rank"].to_list() == (1 + (p > own[:, None]).sum(1)).tolist()
    assert all(0 <= c < 10 for row in rows["logit_classes"].to_list() for c in row if c is not None)
    assert any(c is None for row in rows["logit_classes"].to_list() for c in row)


@pytest.mark.slow
def test_a_subset_leaves_other_outputs_out_and_its_shards_are_as_they_were(study_with, tmp_path: Path) -> None:
    model, outputs = clean_outputs(study_with('classes = "subset"'))
    rows = stored_rows(tmp_path / "out").filter(corruption="none")
    assert rows["predicted"].to_list() == outputs[:, model.class_outputs].argmax(1).tolist()
    assert "predicted_output" not in rows.columns
    assert model.protocol == "subset"


@pytest.mark.slow
def test_where_the_study_maps_classes_itself_they_are_a_subset(study_with, tmp_path: Path) -> None:
    mapped = ", ".join(f'{name} = "{name}"' for name in ("zero", "one"))
    report, study = run_and_read(study_with(f"class_map = {{ {mapped} }}"))
    (model,) = load_study_models(study, open_dataset(study.dataset, study.cache))
    assert model.protocol == "subset"
    assert "10 classes on 10 of 12 outputs, the others left out" in "; ".join(model.assumptions().values())
    assert any('`classes = "subset"` counts here, and "all" is the other' in note.text for note in report.notes)


@pytest.mark.slow
def test_both_accuracies_are_reported_after_the_clean_images_whichever_counts(study_with, tmp_path: Path) -> None:
    model, outputs = clean_outputs(study_with('classes = "all"'))
    labels = stored_rows(tmp_path / "out").filter(corruption="none")["label"].to_numpy()
    shutil.rmtree(tmp_path / "out")
    first_parts = set()
    for classes in ("all", "subset"):
        report, _ = run_and_read(study_with(f'classes = "{classes}"'))
        (note,) = (note for note in report.notes if note.topic == "clean_accuracy")
        first_parts.add(note.line.split(";")[0])
    among = (outputs[:, model.class_outputs].argmax(1) == labels).mean()
    of_all = (outputs.argmax(1) == np.array(model.class_outputs)[labels]).mean()
    assert first_parts == {
        f"Twelve: clean accuracy {among:.1%} among the 10 classes of the data set, {of_all:.1%} among all 12 outputs"
    }


@pytest.mark.slow
def test_the_warehouse_holds_it_and_says_another_class(study_with, tmp_path: Path) -> None:
    _, study = run_and_read(study_with(""))
    load([study.output], tmp_path / "w.duckdb")
    status = warehouse_status(tmp_path / "w.duckdb")
    assert [check.name for check in status.checks if not check.passed] == []
    names = run_query(tmp_path / "w.duckdb", "select distinct predicted_name from confusion_by_severity")
    assert "another class" in names["predicted_name"].to_list()
    assert None not in names["predicted_name"].to_list()
    (row,) = read_verified(next(iter(list_results_files(study.output, MODELS)))).rows.to_pylist()
    assert (row["class_protocol"], row["output_count"]) == ("all", 12)
    attention = [read_verified(path).rows for path in list_results_files(study.output, ATTENTION)]
    targets = [target for rows in attention for target in rows["target_class"].to_pylist()]
    assert None in targets
    assert all(0 <= target < 10 for target in targets if target is not None)
    assert not any(rows["mass"].null_count for rows in attention)  # there is a map of the other output too


def notes_on(labels: np.ndarray, predictions: np.ndarray, count: int) -> list[str]:
    """Notes on a model of `count` outputs that makes these predictions."""
    names = tuple("abcdefghij"[:count])
    spec = _spec()
    model = Model(
        module=torch.nn.Identity(), spec=spec, architecture=spec.architecture, class_names=names, output_count=count
    )
    evaluation: Any = SimpleNamespace(model=model, data=SimpleNamespace(dataset=SimpleNamespace(class_names=names)))
    logits = 3 * torch.nn.functional.one_hot(torch.tensor(predictions), count).float() - 1
    found = CleanResults.of(labels, logits, prediction_statistics(logits, labels), count)
    return [note.line for note in clean_notes(evaluation, found) if note.level == "warning"]


def _spec():
    from failmodes.evaluate.study.study_schema import ModelSpec

    return ModelSpec(label="Net", architecture="nets:net")


def test_outputs_in_another_order_are_named_and_not_applied() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    correct = rng.random(200) < 0.755
    swapped = np.where(correct, 1 - labels, labels)
    lines = notes_on(labels, swapped, 2)
    assert "at or below chance (50.0%; n = 200)" in lines[0]
    assert "in another order (a = 1, b = 0) clean accuracy would be 7" in lines[1]
    assert "instead of 2" in lines[1]


@pytest.mark.parametrize("count", [2, 3, 10])
def test_noise_is_not_taken_for_another_order(count: int) -> None:
    rng = np.random.default_rng(count)
    alarms = 0
    for _ in range(200):
        labels = rng.integers(0, count, 100)
        predictions = np.where(rng.random(100) < 0.6, labels, rng.integers(0, count, 100))
        alarms += bool(notes_on(labels, predictions, count))
    assert alarms == 0


def test_a_model_that_predicts_one_class_is_at_chance() -> None:
    labels = np.arange(100) % 4
    lines = notes_on(labels, np.zeros(100, np.int64), 4)
    assert lines[0].startswith("warning: Net: clean accuracy is 25.0%, at or below chance (25.0%; n = 100): check the")
    assert lines[1].startswith("warning: Net: 100.0% of clean images are predicted as a (n = 100): check its norm")
    assert len(lines) == 2
