"""Logits that are probabilities, rounded probabilities, and the meaning of image_id."""

import csv
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from import_files import LOGITS, import_into, invoke, sixty_digits_images, small_frame, stored_rows
from scipy.special import softmax
from sklearn.metrics import log_loss

from failmodes.runtime.errors import DataError

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
    keys = ["image_id", "corruption", "severity"]
    rows = stored_rows(study.parent / "out", report.evaluation_id)
    rows = rows.with_columns(pl.col("image_id").cast(pl.Int64), pl.col("severity").cast(pl.Float64))
    return frame.select(keys).join(rows, on=keys, how="left"), " | ".join(report.describe())


def test_a_probability_of_0_costs_what_log_loss_of_single_precision_charges(small_import: Path, tmp_path: Path) -> None:
    values = confident_probabilities()
    values[values < 1e-3] = 0
    values /= values.sum(1, keepdims=True)
    rows, said = imported(small_import, tmp_path, values, ".parquet")
    expected = log_loss(rows["label"], values.astype(np.float32), labels=range(10))  # clips at EPS
    assert rows["loss_nats"].mean() == pytest.approx(expected, rel=1e-5)
    assert rows["predicted"].to_list() == values.argmax(1).tolist()
    assert f"{(values == 0).any(1).sum()} of 100 rows have probabilities of 0" in said


@pytest.mark.test_all
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
    assert "3 decimals" in said


def test_logits_that_are_probabilities_are_refused(small_import: Path, tmp_path: Path) -> None:
    with_values(probabilities(), "logit_").write_csv(tmp_path / "p.csv")
    with pytest.raises(DataError, match="has probabilities in the columns of logits"):
        import_into(small_import, tmp_path / "p.csv")
    values = probabilities()
    values[7, 3] += 0.1
    with_values(values, "logit_").write_csv(tmp_path / "p.csv")
    assert import_into(small_import, tmp_path / "p.csv").kind == "logits"


def test_rounded_probabilities_are_accepted_on_request(small_import: Path, tmp_path: Path) -> None:
    rounded = probabilities().round(2)
    assert (np.abs(rounded.sum(1) - 1) > 1e-3).any()
    with_values(rounded, "probability_").write_csv(tmp_path / "p.csv")
    with pytest.raises(DataError, match="sum to .*--renormalize"):
        import_into(small_import, tmp_path / "p.csv")
    assert import_into(small_import, tmp_path / "p.csv", renormalize=True).rows == 100
    far = rounded.copy()
    far[0] *= 2
    with_values(far, "probability_").write_csv(tmp_path / "p.csv")
    with pytest.raises(DataError, match="sum to"):
        import_into(small_import, tmp_path / "p.csv", renormalize=True)


def test_ingest_lists_the_images_of_the_study(small_import: Path, tmp_path: Path) -> None:
    invoke("ingest", small_import, "--images", tmp_path / "images.csv")
    with (tmp_path / "images.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    ids, labels = sixty_digits_images()
    assert [(int(row["image_id"]), int(row["label"])) for row in rows] == list(zip(ids, labels, strict=True))
    assert rows[0].keys() == {"image_id", "label", "class_name", "file"}
