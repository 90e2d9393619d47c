"""Logits that are probabilities, probabilities that were rounded, and how a user finds out what image_id is."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from import_files import LOGITS, import_into, sixty_digits_images, small_frame, stored_rows
from installed_script import failmodes
from scipy.special import softmax
from sklearn.metrics import log_loss

from failmodes.evaluate.cli import report_lines
from failmodes.evaluate.import_predictions.importing import import_predictions
from failmodes.evaluate.study.study_file import read_study
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.warehouse.errors import DataError, StudyError

EPS = np.finfo(np.float32).eps  # scikit-learn clips probabilities of single precision to it


def with_values(values: np.ndarray, prefix: str) -> pl.DataFrame:
    columns = pl.DataFrame(values, schema=[f"{prefix}{c}" for c in range(10)])
    return pl.concat([small_frame().drop(LOGITS), columns], how="horizontal")


def probabilities() -> np.ndarray:
    return softmax(small_frame().select(LOGITS).to_numpy(), axis=1)


def confident_probabilities() -> np.ndarray:
    """Of a softmax whose other classes often come near 0, in single precision."""
    return softmax(6 * small_frame().select(LOGITS).to_numpy(), axis=1)


def imported(study: Path, folder: Path, values: np.ndarray, suffix: str = ".csv") -> tuple[pl.DataFrame, str]:
    """The rows that are stored in the order of the file, and what is printed."""
    path = folder / f"p{suffix}"
    frame = with_values(values, "probability_")
    frame.write_csv(path) if suffix == ".csv" else frame.write_parquet(path)
    report = import_into(study, path, renormalize=True)
    rows = stored_rows(study.parent / "out", report.evaluation_id)
    keys = frame.select("image_id", "corruption", "severity")
    order = keys.with_columns(pl.col("image_id").cast(rows["image_id"].dtype), pl.col("severity").cast(pl.Float64))
    rows = order.join(
        rows.with_columns(pl.col("severity").cast(pl.Float64)), on=["image_id", "corruption", "severity"], how="left"
    )
    return rows, " | ".join(report_lines(report, "Elsewhere"))


def test_a_probability_of_0_costs_what_log_loss_of_single_precision_charges(small_import: Path, tmp_path: Path) -> None:
    values = confident_probabilities()
    values[values < 1e-3] = 0
    values /= values.sum(1, keepdims=True)
    rows, said = imported(small_import, tmp_path, values, ".parquet")
    expected = log_loss(rows["label"], values.astype(np.float32), labels=range(10))  # clips at EPS
    assert rows["loss_nats"].mean() == pytest.approx(expected, rel=1e-5)
    assert rows["loss_nats"].max() < 16
    assert rows["predicted"].to_list() == values.argmax(1).tolist()
    count = (values == 0).any(1).sum()
    assert f"{count} of 100 rows have probabilities of 0, whose loss would be infinite: each counts as 1.2e-07" in said


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_rounded_probabilities_lose_what_rounding_took(small_import: Path, tmp_path: Path, suffix: str) -> None:
    values = confident_probabilities()
    rounded = values.round(3) if suffix == ".csv" else values.round(3).astype(np.float32)
    zeros = (rounded == 0).sum(1, keepdims=True)
    rows, said = imported(small_import, tmp_path, rounded, suffix)
    floored = np.where(rounded == 0, 0.0005 / zeros.clip(1), rounded.astype(np.float64))
    normalized = floored / floored.sum(1, keepdims=True)
    assert normalized.min() > EPS  # so that log_loss clips nothing
    assert rows["loss_nats"].mean() == pytest.approx(log_loss(rows["label"], normalized, labels=range(10)), rel=1e-5)
    np.testing.assert_allclose(rows["confidence"], rounded.max(1), atol=1.5e-3)
    assert rows["predicted"].to_list() == rounded.argmax(1).tolist()
    assert "all are rounded to 3 decimals, so those of a row count together as half of that step, 0.0005" in said


def test_probabilities_above_0_stay_as_they_are_and_no_class_changes_its_rank(
    small_import: Path, tmp_path: Path
) -> None:
    values = softmax(np.random.default_rng(1).normal(0, 20, (100, 10)), axis=1)
    values[:, 3] = 0
    values /= values.sum(1, keepdims=True)
    assert (np.sort(values)[:, 1] < EPS).any()
    rows, _ = imported(small_import, tmp_path, values, ".parquet")
    labels = rows["label"].to_numpy()
    of_label = values[np.arange(100), labels]
    ranks = (values > of_label[:, None]).sum(1) + 1
    assert rows["label_rank"].to_list() == ranks.tolist()
    positive = of_label > 0
    np.testing.assert_allclose(rows["loss_nats"].to_numpy()[positive], -np.log(of_label[positive]), 1e-5, 1e-6)


def test_votes_of_0_and_1_are_not_taken_for_rounded(small_import: Path, tmp_path: Path) -> None:
    votes = np.eye(10)[probabilities().argmax(1)]
    rows, said = imported(small_import, tmp_path, votes)
    assert rows["loss_nats"].mean() == pytest.approx(
        log_loss(rows["label"], votes.astype(np.float32), labels=range(10)), rel=1e-4
    )
    assert "100 of 100 rows have probabilities of 0, whose loss would be infinite: each counts as 1.2e-07" in said


def test_a_row_that_is_not_finite_stays_so_beside_zeros(small_import: Path, tmp_path: Path) -> None:
    values = confident_probabilities().round(3)
    values[5, 2], values[6, 0] = np.nan, -np.inf
    rows, _ = imported(small_import, tmp_path, values, ".parquet")
    assert np.flatnonzero(~rows["finite"].to_numpy()).tolist() == [5, 6]


def test_no_zeros_no_note(small_import: Path, tmp_path: Path) -> None:
    _, said = imported(small_import, tmp_path, probabilities())
    assert "infinite" not in said


def test_a_data_set_of_one_class_is_refused(small_import: Path, tmp_path: Path) -> None:
    study = read_study(small_import, require_models=False)
    dataset = open_dataset(study.dataset, study.cache)
    alone = replace(dataset, labels=np.zeros_like(dataset.labels), class_names=("digit",))
    with pytest.raises(StudyError, match="has one class, digit: expected two or more"):
        import_predictions(study, alone, tmp_path / "p.csv", "Elsewhere")


def test_logits_that_are_probabilities_are_refused(small_import: Path, tmp_path: Path) -> None:
    with_values(probabilities(), "logit_").write_csv(tmp_path / "p.csv")
    with pytest.raises(DataError, match="holds probabilities under the name of logits: .*probability_"):
        import_into(small_import, tmp_path / "p.csv")
    values = probabilities()
    values[7, 3] += 0.1
    with_values(values, "logit_").write_csv(tmp_path / "p.csv")
    assert import_into(small_import, tmp_path / "p.csv").kind == "logits"


def test_rounded_probabilities_are_taken_on_request(small_import: Path, tmp_path: Path) -> None:
    rounded = probabilities().round(2)
    assert (np.abs(rounded.sum(1) - 1) > 1e-3).any()
    with_values(rounded, "probability_").write_csv(tmp_path / "p.csv")
    with pytest.raises(DataError, match=r"probabilities sum to .*: expected 1 \(± 0.001\) .* with --renormalize"):
        import_into(small_import, tmp_path / "p.csv")
    import_into(small_import, tmp_path / "p.csv", renormalize=True)
    rows = stored_rows(small_import.parent / "out").filter(corruption="none")
    zeros = (rounded == 0).sum(1, keepdims=True)
    expected = np.where(rounded == 0, 0.005 / zeros.clip(1), rounded)
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(rows["confidence"], expected[:20].max(1), rtol=1e-5)
    far = rounded.copy()
    far[0] *= 2
    with_values(far, "probability_").write_csv(tmp_path / "p.csv")
    with pytest.raises(DataError, match=r"sum to .*: expected 1 \(± 0.2\)"):
        import_into(small_import, tmp_path / "p.csv", renormalize=True)


def test_ingest_lists_the_images_of_the_study(small_import: Path, tmp_path: Path) -> None:
    failmodes("ingest", small_import, "--images", tmp_path / "images.csv", folder=tmp_path)
    with (tmp_path / "images.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    ids, labels = sixty_digits_images()
    assert [(int(row["image_id"]), int(row["label"])) for row in rows] == list(zip(ids, labels, strict=True))
    assert rows[0].keys() == {"image_id", "label", "class_name", "file"}
