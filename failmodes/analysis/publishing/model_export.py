"""Export a model's predictions to a small warehouse: a portable baseline."""

from os import PathLike, fspath
from pathlib import Path
from typing import NamedTuple

from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.analysis.statistics.opened_models import NEEDED, find_model
from failmodes.runtime.errors import StudyError
from failmodes.runtime.storage.files import is_url
from failmodes.runtime.storage.locations import user_path
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.export import ExportReport, export_evaluations


class ModelExport(NamedTuple):
    """The exported file, the label of its model, the number of training runs, and its contents."""

    path: Path
    label: str
    run_count: int
    report: ExportReport


def export_model(warehouse: Path, name: str, target: "str | PathLike[str]", *, force: bool = False) -> ModelExport:
    """Write all training runs of a model to `target`; see `export_evaluations`.

    Args:
        warehouse: the DuckDB file with the model.
        name: the model, named as for `named_model`.
        target: the file, FILE.duckdb; ~ is the home folder.
        force: replace an existing file.

    Raises:
        StudyError: no model or several models match, or `target` is a URL or exists.
        WarehouseError: the warehouse cannot be read, or the rows violate a data check.
        StorageError: the file cannot be written.
    """
    if is_url(fspath(target)):
        raise StudyError(f"{fspath(target)} is a URL: write a local file, such as baseline.duckdb, and upload that")
    path = user_path(target)
    with open_warehouse(warehouse, NEEDED) as con:
        model = find_model(con, warehouse, name).model
    runs = [run.evaluation_id for run in model.runs]
    report = export_evaluations(warehouse, runs, path, force=force, derivation=DERIVATION)
    return ModelExport(path, model.label, len(model.runs), report)
