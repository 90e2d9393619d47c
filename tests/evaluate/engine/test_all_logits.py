"""All logits of more than ten classes: float16 in the results only, without other changes."""

import numpy as np
import polars as pl
import pytest
import torch
from import_files import stored_rows
from tiny_study import run_and_read

from failmodes.evaluate.study_models import load_study_models
from failmodes.ingest.datasets.layout import open_dataset
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.metrics.abstention import choosing_half
from failmodes.warehouse.metrics.cell_rows import CellRows
from failmodes.warehouse.schema import LOGITS
from failmodes.warehouse.shards.format import list_results_files, read_verified

PLAIN = "[evaluation]\nattention = false\n"


def test_they_stand_in_the_results_as_float16_and_all_else_is_as_without(study_with) -> None:
    _, study = run_and_read(study_with(PLAIN))
    assert not list(list_results_files(study.output, LOGITS))
    report, study = run_and_read(study_with(PLAIN + 'logits = "all"'))
    assert report.written == 3, "it is another evaluation"
    both = pl.read_parquet(study.output / "results" / "prediction_facts", hive_partitioning=True)
    plain, kept = both.sort("corruption", "severity", "image_id").partition_by("evaluation_id", include_key=False)
    assert kept.equals(plain)
    dataset = open_dataset(study.dataset, study.cache)
    (model,) = load_study_models(study, dataset)
    prepared = model.to(torch.device("cpu"))
    (clean,) = (path for path in list_results_files(study.output, LOGITS) if "corruption=none" in str(path))
    stored = read_verified(clean).rows
    with torch.no_grad():
        images = np.asarray(dataset.images[stored["image_id"].to_numpy()])
        outputs = prepared.all_logits(prepared.inputs(images)).numpy()[:, model.output_map.logits]
    found = np.array(stored["logits"].to_pylist())
    assert found.shape == (40, 12)
    np.testing.assert_allclose(found, outputs, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(found, found.astype(np.float16))


@pytest.mark.test_all
def test_conformal_sets_are_measured_of_the_evaluation_that_keeps_all_logits_alone(study_with) -> None:
    run_and_read(study_with(PLAIN))
    _, study = run_and_read(study_with(PLAIN + 'logits = "all"'))
    image_ids = stored_rows(study.output).filter(corruption="none")["image_id"].unique()
    load([study.output], study.output / "w.duckdb")
    with open_warehouse(study.output / "w.duckdb") as con:
        sets = con.sql("select evaluation_id, n from cell_metrics where metric = 'lac_set_size'").fetchall()
        ((shares,),) = con.sql("select count(*) from cell_metrics where metric = 'accuracy'").fetchall()
    others = sum(not choosing_half(CellRows.of({"image_id": [number]}))[0] for number in image_ids)
    assert {n for _, n in sets} == {others}
    assert len(sets) == shares / 2
