"""Logits that are probabilities, probabilities that were rounded, and how a user finds out what image_id is."""

import csv
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from import_files import LOGITS, import_into, sixty_digits_images, small_frame, stored_rows
from installed_script import failmodes
from scipy.special import softmax

from failmodes.warehouse.errors import DataError


def with_values(values: np.ndarray, prefix: str) -> pl.DataFrame:
    columns = pl.DataFrame(values, schema=[f"{prefix}{c}" for c in range(10)])
    return pl.concat([small_frame().drop(LOGITS), columns], how="horizontal")


def probabilities() -> np.ndarray:
    return softmax(small_frame().select(LOGITS).to_numpy(), axis=1)


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
    expected = rounded / rounded.sum(1, keepdims=True)
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
