"""Files of predictions made elsewhere, and what importing them stores."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from run_commands import run
from scipy.special import softmax

from failmodes.evaluate.study.study_file import read_study
from failmodes.evaluate.tables.with_study import ImportReport, import_predictions
from failmodes.ingest.datasets.dataset import balanced_subset
from failmodes.ingest.datasets.layout import DatasetSpec, open_dataset
from failmodes.warehouse.schema import PREDICTION_FACTS
from failmodes.warehouse.shards.format import list_results_files, read_verified

SMALL_STUDY = """
name = "small"
output = "out"
[dataset]
kind = "digits"
images = 20
[corruptions]
names = ["contrast", "glass_blur"]
severities = [1, 2.5]
across_switches = true
seeds = [0, 3]
"""

LOGITS = [f"logit_{c}" for c in range(10)]


def import_into(study_file: Path, predictions: Path, label: str = "Elsewhere", **options: Any) -> ImportReport:
    study = read_study(study_file, require_models=False)
    return import_predictions(study, open_dataset(study.dataset, study.cache), predictions, label, **options)


def stored_rows(output: Path, evaluation_id: str | None = None) -> pl.DataFrame:
    """Prediction rows with their cell, in order."""
    frames = []
    for path in list_results_files(output, PREDICTION_FACTS):
        stored = read_verified(path)
        if evaluation_id in (None, stored.identity["evaluation_id"]):
            cell = {name: pl.lit(stored.identity[name]) for name in ("corruption", "severity")}
            frames.append(pl.DataFrame(stored.rows).with_columns(**cell))
    return pl.concat(frames).sort("corruption", "severity", "image_id")


@cache
def sixty_digits_images() -> tuple[list[int], list[int]]:
    """Numbers and labels of the 20 images of SMALL."""
    dataset = open_dataset(DatasetSpec(kind="digits"), Path())
    ids, _ = balanced_subset(dataset.labels, 20)
    return ids.tolist(), dataset.labels[ids].tolist()


def small_frame() -> pl.DataFrame:
    """Random logits, a column a class, for the study SMALL: 20 images in 5 cells."""
    cells = [("none", 0.0)] + [(c, s) for c in ("contrast", "glass_blur") for s in (1.0, 2.5)]
    keys = [{"image_id": i, "corruption": c, "severity": s} for c, s in cells for i in sixty_digits_images()[0]]
    logits = np.random.default_rng(0).normal(0, 2, (100, 10)).astype(np.float32)
    return pl.concat([pl.DataFrame(keys), pl.DataFrame(logits, schema=LOGITS)], how="horizontal")


def spread(frame: pl.DataFrame, values: np.ndarray, stem: str) -> pl.DataFrame:
    columns = pl.DataFrame(values, schema=[f"{stem}{c}" for c in range(values.shape[1])])
    return pl.concat([frame.drop("logits"), columns], how="horizontal")


def write_as(form: str, exported_predictions: pl.DataFrame, folder: Path) -> Path:
    """The exported logits in one of the forms that are read."""
    logits = np.array(exported_predictions["logits"].to_list(), dtype=np.float64)
    frame, path = exported_predictions.sample(fraction=1, shuffle=True, seed=1), folder / "p.parquet"
    if form == "list of logits":
        frame.with_columns(pl.col("corruption").replace("none", "clean")).write_parquet(path)
    elif form == "array of logits, severity a decimal":
        typed = frame.with_columns(pl.col("logits").list.to_array(10), pl.col("severity").cast(pl.Decimal(4, 3)))
        typed.with_columns(pl.col("corruption").cast(pl.Categorical)).write_parquet(path, row_group_size=37)
    elif form == "logits as CSV":
        path = folder / "p.csv"
        spread(exported_predictions, logits.astype(np.float32), "logit_").reverse().write_csv(path)
    elif form == "list of probabilities":
        listed = exported_predictions.with_columns(logits=pl.Series(softmax(logits, axis=1).tolist()))
        listed.rename({"logits": "probabilities"}).write_parquet(path)
    else:
        path = folder / "p.csv"
        spread(exported_predictions, softmax(logits, axis=1), "probability_").write_csv(path)
    return path


def labeled(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(label=pl.Series(sixty_digits_images()[1] * 5))


def invoke(*arguments: object) -> str:
    done = run(*map(str, arguments), folder=Path.cwd())
    return done.stdout + done.stderr
