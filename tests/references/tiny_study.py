"""A study of seconds: 60 digits, one narrow ResNet-18 trained for an epoch, two corruptions at two severities."""

from pathlib import Path

import pyarrow as pa

from failmodes.evaluate.engine.run import evaluate_study
from failmodes.evaluate.engine.tasks import RunCallbacks, RunResult
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.study.study_file import read_study
from failmodes.evaluate.study.study_schema import Study
from failmodes.evaluate.study_models import train_missing
from failmodes.ingest.datasets.layout import open_dataset
from failmodes.warehouse.schema import ATTENTION, CLEAN_MAPS, EXEMPLARS, PREDICTION_FACTS
from failmodes.warehouse.shards.format import list_results_files, read_verified

CELLS = 1 + 2 * 2


def write_tiny_study(
    folder: Path, *, images: int = 60, models: int = 1, corruption_seeds: list[int] | None = None, extra: str = ""
) -> Path:
    """Write `study.toml` into `folder`; `extra` is appended, such as an evaluation table."""
    text = f"""
name = "tiny"
output = "out"
[dataset]
kind = "digits"
images = {images}
[corruptions]
names = ["contrast", "gaussian_noise"]
severities = [1, 5]
seeds = {corruption_seeds or [0]}
"""
    for number in range(models):
        text += f"""
[[models]]
label = "Net {number}"
architecture = "resnet18"
width = 8
seeds = [{number}]
training = {{ epochs = 2, images = 128, batch_size = 32, flip = false }}
"""
    path = folder / "study.toml"
    path.write_text(text + extra)
    return path


def hashes(output: Path) -> dict[str, str]:
    """Content hash of every stored fact, map and exemplar, by path within the output folder."""
    tables = (PREDICTION_FACTS, ATTENTION, CLEAN_MAPS, EXEMPLARS)
    paths = [path for table in tables for path in list_results_files(output, table)]
    return {str(path.relative_to(output)): read_verified(path).content_hash for path in paths}


def rows_of(output: Path, table_name: str = "predictions") -> pa.Table:
    """All rows of a fact table in the record."""
    table = {"predictions": PREDICTION_FACTS, "attention": ATTENTION}[table_name]
    return pa.concat_tables([read_verified(path).rows for path in list_results_files(output, table)])


def run_study(path: Path, progress: RunCallbacks | None = None) -> RunResult:
    """Train what is missing and evaluate; `progress` is told what happens."""
    return run_and_read(path, progress=progress)[0]


def run_and_read(path: Path, **options) -> tuple[RunResult, Study]:
    """Train what is missing and evaluate, with options of `evaluate_study`; also gives the study."""
    study = read_study(path)
    dataset = open_dataset(study.dataset, study.cache)
    train_missing(study, dataset)
    return evaluate_study(study, dataset, **options), study


def patch_logits(monkeypatch, change) -> None:
    """Have `change(model, inputs, logits)` stand between every model and its logits."""
    original = Model.logits
    monkeypatch.setattr(Model, "logits", lambda self, inputs: change(self, inputs, original(self, inputs)))
