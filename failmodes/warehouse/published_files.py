"""Read published accuracies in any of their formats: RobustBench's CSV and JSON, and timm's `results-*.csv`.

RobustBench's JSON is one model, named by the file, with `clean_acc`, `corruptions_acc` and `corruptions_mce` in percent
(from 2022 on for two sets of ImageNet, `…_2d` and `…_3d`). timm's CSV has one model a row with `top1` in percent, and
its name says on which images (huggingface/pytorch-image-models, `results/README.md`).
"""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from failmodes.runtime.errors import DataError, StorageError, StudyError, first_line, printable, shown
from failmodes.runtime.storage.files import read_text
from failmodes.warehouse.published_layout import (
    CLEAN_CELL,
    KNOWN_FILES,
    MAX_BYTES,
    MAX_LETTERS,
    PublishedModel,
    PublishedSet,
    read_published,
)

ACCURACY, MCE = "mean accuracy", "mCE, AlexNet on the same images"
TIMM_COLUMNS = {"model", "top1", "top5"}
TIMM_FILES = {  # titles of protocols by file name
    "results-imagenet": "ImageNet validation set",
    "results-imagenet-a": "ImageNet-A",
    "results-imagenet-r": "ImageNet-R",
    "results-sketch": "ImageNet-Sketch",
    "results-imagenetv2-matched-frequency": "ImageNet-V2, matched-frequency",
}
ROBUSTBENCH_FILES = {  # of its repository, whose names do not say it
    "unaggregated_results": "RobustBench, CIFAR-10-C",
    "unaggregated_results_2d": "RobustBench, ImageNet-C",
    "unaggregated_results_3d": "RobustBench, ImageNet-3DCC",
}
HINT = "expected RobustBench's CSV or JSON, or timm's results-*.csv"


def _number(value: object) -> object:
    return None if value in ("", "N/A", None) else value


_Percent = Annotated[Annotated[float, Field(ge=0, le=1000)] | None, BeforeValidator(_number)]


class _RobustBenchModel(BaseModel):
    """The keys of RobustBench's JSON that are read; percent."""

    model_config = ConfigDict(extra="ignore")

    dataset: str
    architecture: str | None = None
    name: str | None = None
    clean_acc: _Percent = None
    corruptions_acc: _Percent = None
    corruptions_mce: _Percent = None
    corruptions_acc_2d: _Percent = None
    corruptions_mce_2d: _Percent = None
    corruptions_acc_3d: _Percent = None
    corruptions_mce_3d: _Percent = None


def read_published_file(path: Path) -> list[PublishedSet]:
    """Read published accuracies of one or more sets.

    Args:
        path: the file.

    Raises:
        StudyError: it does not exist.
        DataError: it is damaged or of another format.
    """
    try:
        text = read_text(path, MAX_BYTES)
    except FileNotFoundError as error:
        raise StudyError(f"no file at {path}: name a file of published accuracies, robustbench or timm") from error
    except StorageError as error:
        raise DataError(f"{error}: {HINT}") from error
    if path.suffix.lower() == ".json":
        return list(_of_robustbench(path, text))
    try:
        rows = list(csv.DictReader(io.StringIO(text)))
    except csv.Error as error:
        raise DataError(f"{path}: not a CSV: {first_line(error)}; {HINT}") from error
    if rows and rows[0].keys() >= TIMM_COLUMNS:
        return [_of_timm(path, rows)]
    published = read_published(path)
    return [published._replace(name=ROBUSTBENCH_FILES.get(path.stem, published.name))]


def _of_robustbench(path: Path, text: str) -> Iterator[PublishedSet]:
    try:
        content = json.loads(text)
        row = _RobustBenchModel.model_validate(content)
    except (ValueError, RecursionError) as error:
        what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else first_line(error)
        raise DataError(f"{path}: not a model of RobustBench: {printable(what, MAX_LETTERS)}; {HINT}") from error
    known = KNOWN_FILES.get(row.dataset.lower())
    if known is None:
        raise DataError(f"{path}: dataset {shown(row.dataset)}: expected {', '.join(KNOWN_FILES)}")
    clean = {} if row.clean_acc is None else {CLEAN_CELL: row.clean_acc / 100}
    suffixes = {"": f"{known}-C", "_2d": f"{known}-C", "_3d": f"{known}-3DCC"}
    for suffix, title in suffixes.items():
        values = {ACCURACY: getattr(row, f"corruptions_acc{suffix}"), MCE: getattr(row, f"corruptions_mce{suffix}")}
        averages = {name: value / 100 for name, value in values.items() if value is not None}
        if averages:
            model = PublishedModel(_line(path.stem), clean, _line(row.architecture), _line(row.name), averages)
            yield PublishedSet(f"RobustBench, {title}", known, (model,))


def _of_timm(path: Path, rows: list[dict[str, Any]]) -> PublishedSet:
    models: dict[str, PublishedModel] = {}
    for line, row in enumerate(rows, start=2):
        name = _line(row["model"])
        try:
            top1 = float(row["top1"])
        except (TypeError, ValueError):
            top1 = -1.0
        if not name or not 0 <= top1 <= 100:
            given: Any = row["top1"]
            raise DataError(f"{path}, line {line}: top1 {shown(given)}: expected percent, 0 to 100; {HINT}")
        models[name] = PublishedModel(name, {CLEAN_CELL: top1 / 100}, name)
    return PublishedSet(TIMM_FILES.get(path.stem, _line(path.stem)), "ImageNet", tuple(models.values()))


def _line(text: str | None) -> str:
    return printable(text or "", MAX_LETTERS - 1).strip()
