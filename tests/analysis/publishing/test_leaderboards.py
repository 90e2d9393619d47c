"""Tables of leaderboards: counted values in the layouts that timm, RobustBench and Every Eval Ever read."""

import csv
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from published_results import CORRUPTIONS, MODELS
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import change_file

from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.analysis.publishing.formats import publish_results
from failmodes.ingest.corruptions.catalog import CORRUPTIONS as ALL
from failmodes.warehouse.database.load import load
from failmodes.warehouse.published_files import ACCURACY, read_published_file
from failmodes.warehouse.published_layout import CLEAN_CELL

# Every Eval Ever needs Python 3.12: its command in an environment of its own
VALIDATOR = os.environ.get("FAILMODES_EVERY_EVAL_EVER") or shutil.which("every_eval_ever")
TIMM = "model,top1,top1_err,top5,top5_err,param_count,img_size,crop_pct,interpolation"


def rows_of(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row["model"]: row for row in csv.DictReader(file)}


def test_timm_reads_clean_corrupted_and_shifted_accuracy(published: Synthetic, tmp_path: Path) -> None:
    done = publish_results(published.output / "warehouse.duckdb", "timm", tmp_path / "r.csv")
    assert [path.name for path in done.paths] == ["r.csv", "r-corrupted.csv", "r-digits-2.csv"]
    heads = [path.read_text().splitlines()[0] for path in done.paths]
    assert heads == [TIMM, *[f"{TIMM},top1_diff,top5_diff,rank_diff"] * 2]
    clean, corrupted, shifted = map(rows_of, done.paths)
    for label in MODELS:
        expected = 100 * published.correct[label, "fog"][0].mean()
        mean = sum(100 * published.correct[label, name][1:].mean() for name in CORRUPTIONS) / len(CORRUPTIONS)
        assert float(clean[label]["top1"]) == pytest.approx(expected, abs=6e-4)
        assert float(clean[label]["top1"]) + float(clean[label]["top1_err"]) == pytest.approx(100)
        assert float(corrupted[label]["top1"]) == pytest.approx(mean, abs=6e-4)
        assert float(corrupted[label]["top1_diff"]) == pytest.approx(mean - expected, abs=1e-3)
    assert [float(shifted[label]["top1"]) for label in MODELS] == [75, 70, 10]
    for before, after in ((clean, corrupted), (clean, shifted)):  # dicts keep the order of the file
        ranks = {label: list(before).index(label) - list(after).index(label) for label in MODELS}
        assert {label: int(after[label]["rank_diff"]) for label in MODELS} == ranks
    (read,) = read_published_file(done.paths[0])
    assert {model.name: model.accuracies[CLEAN_CELL] for model in read.models} == pytest.approx(
        {label: published.correct[label, "fog"][0].mean() for label in MODELS}
    )


def test_every_eval_ever_has_a_row_for_each_cell(published: Synthetic, tmp_path: Path) -> None:
    warehouse = published.output / "warehouse.duckdb"
    done = publish_results(warehouse, "every-eval-ever", tmp_path, organization="Our Lab")
    again = publish_results(warehouse, "every-eval-ever", tmp_path, organization="Our Lab")
    assert again.paths == done.paths  # the same results, the same files
    records = {record["model_info"]["name"]: record for record in (json.loads(p.read_text()) for p in done.paths)}
    assert set(records) == set(MODELS)
    for label, record in records.items():
        scores = {row["evaluation_result_id"]: row["score_details"] for row in record["evaluation_results"]}
        for name in CORRUPTIONS:
            found = scores[f"{name}/3/accuracy"]
            assert found["score"] == pytest.approx(published.correct[label, name][3].mean())
            interval = found["uncertainty"]["confidence_interval"]
            assert interval["lower"] < found["score"] < interval["upper"]
        assert record["source_metadata"]["source_organization_name"] == "Our Lab"


@pytest.mark.test_all
@pytest.mark.skipif(not VALIDATOR, reason="no every_eval_ever (Python 3.12) on PATH or in FAILMODES_EVERY_EVAL_EVER")
def test_every_eval_ever_validates_its_records(published: Synthetic, tmp_path: Path) -> None:
    publish_results(published.output / "warehouse.duckdb", "every-eval-ever", tmp_path)
    done = subprocess.run(
        [str(VALIDATOR), "validate", "--format", "json", "data/*/*/*/*.json"],
        cwd=tmp_path, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    reports = json.loads(done.stdout)
    assert len(reports) == len(MODELS)
    assert not any(report.get("errors") or report.get("warnings") for report in reports)


@pytest.mark.test_all
def test_robustbench_reads_the_json_beside_the_csv(tmp_path: Path) -> None:
    headline = tuple(known.name for known in ALL.values() if known.headline)
    made = write_synthetic(tmp_path / "out", images=40, models=("Net: A",), corruptions=headline)
    warehouse = made.output / "warehouse.duckdb"
    load([made.output], warehouse, derivation=DERIVATION)
    assert len(publish_results(warehouse, "robustbench", tmp_path / "x.csv").paths) == 2  # of no dataset of RobustBench
    change_file(warehouse, "update datasets set dataset_name = 'cifar10'")
    *_, path = publish_results(warehouse, "robustbench", tmp_path / "mine.csv").paths
    content = json.loads(path.read_text())
    expected = sum(made.correct["Net: A", name][1:].mean() for name in headline) / len(headline)
    assert float(content["corruptions_acc"]) == pytest.approx(100 * expected, abs=6e-3)
    assert (content["dataset"], content["architecture"]) == ("cifar10", "resnet18")
    (read,) = read_published_file(path)
    assert read.dataset == "CIFAR-10"
    assert read.models[0].averages[ACCURACY] == pytest.approx(expected, abs=6e-5)


@pytest.mark.test_all
def test_a_cell_that_one_model_lacks_is_left_out_and_said(tmp_path: Path) -> None:
    made = write_synthetic(tmp_path / "out", images=40, models=("A", "B"), corruptions=("fog", "contrast"))
    for path in list((tmp_path / "out").rglob("*contrast*")):
        if made.evaluations["B"] in str(path):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    warehouse = made.output / "warehouse.duckdb"
    load([made.output], warehouse, derivation=DERIVATION)
    done = publish_results(warehouse, "robustbench", tmp_path / "x.csv")
    assert "contrast" not in done.paths[0].read_text()
    assert any("5\u00a0cells" in note for note in done.notes)
    assert all("contrast" in note for note in done.notes[-1:])  # B has no average
    publish_results(warehouse, "latex", tmp_path / "x.tex")
    assert "B & 95.0" in (tmp_path / "x.tex").read_text().replace("\\textbf{", "").replace("}", "")
    (corrupted,) = (path for path in publish_results(warehouse, "timm", tmp_path / "t.csv").paths[1:])
    assert [row["rank_diff"] for row in rows_of(corrupted).values()] == ["0"]
