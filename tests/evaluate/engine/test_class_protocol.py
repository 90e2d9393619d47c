"""More outputs than classes: both class protocols, and the notes after the clean images."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmark_sets import write_class_folders
from import_files import stored_rows
from tiny_study import run_and_read

from failmodes.evaluate.engine.tasks import RunResult
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.study_models import load_study_models
from failmodes.ingest.datasets.imagenet_classes import by_wordnet_id
from failmodes.ingest.datasets.layout import open_dataset
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.query import run_query
from failmodes.warehouse.database.status import warehouse_status
from failmodes.warehouse.schema import ATTENTION, MODELS
from failmodes.warehouse.shards.format import list_results_files, read_verified

OTHERS = (4, 8)


def clean_outputs(path: Path) -> tuple[RunResult, Model, np.ndarray]:
    """The report of a run, the model, and all its outputs (N, 12) for the clean images, by itself."""
    report, study = run_and_read(path)
    dataset = open_dataset(study.dataset, study.cache)
    (model,) = load_study_models(study, dataset)
    ids = stored_rows(study.output).filter(corruption="none")["image_id"].to_numpy()
    prepared = model.to(torch.device("cpu"))
    with torch.no_grad():
        return report, model, prepared.all_logits(prepared.inputs(np.asarray(dataset.images[ids]))).numpy()


@pytest.mark.test_all
def test_a_prediction_among_all_outputs_may_be_no_class_of_the_data_set(study_with, tmp_path: Path) -> None:
    _, model, outputs = clean_outputs(study_with(""))
    rows = stored_rows(tmp_path / "out").filter(corruption="none")
    assert (model.output_map.protocol, model.row()["class_protocol"]) == ("all", "all")
    predictions = outputs.argmax(1)
    assert set(OTHERS) & set(predictions), "the case is empty"
    assert rows["predicted_output"].to_list() == predictions.tolist()
    class_of = {output: index for index, output in enumerate(model.output_map.class_outputs)}
    assert rows["predicted"].to_list() == [class_of.get(int(prediction)) for prediction in predictions]
    p = np.exp(outputs - outputs.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    np.testing.assert_allclose(rows["confidence"], p.max(1), rtol=1e-5)
    own = p[np.arange(40), np.array(model.output_map.class_outputs)[rows["label"].to_numpy()]]
    np.testing.assert_allclose(rows["label_probability"], own, rtol=1e-4, atol=1e-7)
    assert rows["label_rank"].to_list() == (1 + (p > own[:, None]).sum(1)).tolist()
    load([tmp_path / "out"], tmp_path / "w.duckdb")
    assert all(check.passed for check in warehouse_status(tmp_path / "w.duckdb").checks)
    names = run_query(tmp_path / "w.duckdb", "select distinct predicted_name from confusion_by_severity")
    assert "another class" in names["predicted_name"].to_list()
    (row,) = read_verified(next(iter(list_results_files(tmp_path / "out", MODELS)))).rows.to_pylist()
    assert (row["class_protocol"], row["output_count"]) == ("all", 12)
    attention = [read_verified(path).rows for path in list_results_files(tmp_path / "out", ATTENTION)]
    assert None in [target for rows in attention for target in rows["target_class"].to_pylist()]
    assert not any(rows["mass"].null_count for rows in attention)  # there is a map of the other output too


@pytest.mark.test_all
@pytest.mark.parametrize(
    "keys",
    ['classes = "subset"', 'class_map = { zero = "zero", one = "one" }'],
)
def test_a_subset_leaves_other_outputs_out_and_the_accuracy_names_it(study_with, tmp_path, keys: str) -> None:
    report, model, outputs = clean_outputs(study_with(keys))
    rows = stored_rows(tmp_path / "out").filter(corruption="none")
    predictions = outputs[:, model.output_map.class_outputs].argmax(1)
    assert rows["predicted"].to_list() == predictions.tolist()
    assert model.output_map.protocol == "subset"
    (note,) = (note.line for note in report.notes if note.topic == "clean_accuracy")
    correct = (predictions == rows["label"].to_numpy()).mean()
    assert f"clean accuracy {correct:.1%} (n = 40), predicting among the 10 classes" in note
    assert note.count("%") == 1


PROTOCOLS = [
    ("imagenet-a", "", "subset"),
    ("imagenet-sketch", "", "all"),
    pytest.param("imagenet-r", 'classes = "all"', "all", marks=pytest.mark.test_all),
]


@pytest.mark.test_all
@pytest.mark.parametrize(("kind", "keys", "protocol"), PROTOCOLS)
def test_the_published_protocol_of_a_test_set_is_the_default(study_with, tmp_path, kind: str, keys: str, protocol: str):
    ids = list(by_wordnet_id())[:12]
    images = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3)).astype(np.uint8)
    write_class_folders(tmp_path / "photos", images, [ids[number % 4] for number in range(40)], "png")
    path = study_with(f"class_names = {json.dumps(ids)}\n{keys}")
    dataset = f'kind = "{kind}"\npath = "photos"\nimage_size = 32'
    path.write_text(path.read_text().replace('kind = "digits"\nimages = 40', dataset))
    report, model, outputs = clean_outputs(path)
    rows = stored_rows(tmp_path / "out").filter(corruption="none")
    accuracy = (outputs[:, : 4 if protocol == "subset" else 12].argmax(1) == rows["label"].to_numpy()).mean()
    assert (model.output_map.protocol, (rows["label_rank"] == 1).mean()) == (protocol, accuracy)
    (note,) = (note.line for note in report.notes if note.topic == "clean_accuracy")
    assert re.findall(r"[0-9.]+%", note) == [f"{accuracy:.1%}"]
    assert f'classes = "{protocol}"' in note
