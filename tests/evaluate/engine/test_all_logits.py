"""All logits of more than ten classes: float16 in the record alone, and nothing else is another."""

from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
import torch
from tiny_study import run_and_read, write_tiny_study

from failmodes.evaluate.study_models import load_study_models
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.query import run_query
from failmodes.warehouse.schema import LOGITS
from failmodes.warehouse.shards.format import list_results_files, read_verified

ALL = '[evaluation]\nlogits = "all"'


def logit_files(output: Path) -> list[Path]:
    return [Path(path) for path in list_results_files(output, LOGITS)]


@pytest.mark.slow
def test_they_stand_in_the_results_as_float16_and_all_else_is_as_without(study_with, tmp_path: Path) -> None:
    _, study = run_and_read(study_with(""))
    assert not logit_files(study.output)
    report, study = run_and_read(study_with(ALL))
    assert report.written == 3, "it is another evaluation"
    both = pl.read_parquet(study.output / "results" / "prediction_facts", hive_partitioning=True)
    plain, kept = both.sort("corruption", "severity", "image_id").partition_by("evaluation_id", include_key=False)
    assert kept.equals(plain)
    dataset = open_dataset(study.dataset, study.cache)
    (model,) = load_study_models(study, dataset)
    prepared = model.to(torch.device("cpu"))
    (clean,) = (path for path in logit_files(study.output) if "corruption=none" in str(path))
    stored = read_verified(clean).rows
    with torch.no_grad():
        images = np.asarray(dataset.images[stored["image_id"].to_numpy()])
        outputs = prepared.module(prepared.inputs(images)).numpy()[:, model.logit_outputs]
    found = np.array(stored["logits"].to_pylist())
    np.testing.assert_allclose(found, outputs, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(found, found.astype(np.float16))
    files = f"{study.output}/results/logits/*/*/*/*.parquet"
    assert duckdb.sql(f"select distinct len(logits) from read_parquet('{files}')").fetchall() == [(12,)]
    assert pl.scan_parquet(clean).select(pl.col("logits").list.len().unique()).collect().to_series().to_list() == [12]
    load([study.output], tmp_path / "w.duckdb")
    assert run_query(tmp_path / "w.duckdb", "from duckdb_tables() where table_name = 'logits'").is_empty()


@pytest.mark.slow
def test_a_lost_file_of_logits_is_recomputed(study_with) -> None:
    _, study = run_and_read(study_with(ALL))
    before = {path: read_verified(path).content_hash for path in logit_files(study.output)}
    lost, damaged, _ = before
    lost.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-50])
    report, _ = run_and_read(study_with(ALL), redo_damaged=True)
    assert report.written == 2
    assert {path: read_verified(path).content_hash for path in logit_files(study.output)} == before


@pytest.mark.slow
def test_up_to_ten_classes_all_are_stored_already(tmp_path: Path) -> None:
    report, study = run_and_read(write_tiny_study(tmp_path, images=20))
    assert report.written
    report, _ = run_and_read(write_tiny_study(tmp_path, images=20, extra=ALL))
    assert not report.written
    assert not logit_files(study.output)
