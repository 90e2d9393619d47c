"""A model's predictions as a small warehouse of their own: a baseline that travels."""

from os import PathLike, fspath
from pathlib import Path
from typing import NamedTuple

from failmodes.analysis.statistics.opened_models import NEEDED, find_model
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.export import ExportReport, check_target, export_evaluations
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.storage.files import is_url
from failmodes.warehouse.storage.locations import user_path


class ModelExport(NamedTuple):
    """The file that was written, the model in it with its number of training runs, and what the file holds."""

    path: Path
    label: str
    run_count: int
    report: ExportReport


def export_model(warehouse: Path, name: str, target: "str | PathLike[str]", *, force: bool = False) -> ModelExport:
    """Write all training runs of a model to `target`; see `export_evaluations`.

    Args:
        warehouse: the DuckDB file that holds it.
        name: what names it, as `named_model` has it.
        target: the file to write, FILE.duckdb, where ~ is the home folder.
        force: replace a file that is there.

    Raises:
        StudyError: there is no such model, several are called so, or `target` is a URL or is there already.
        WarehouseError: the warehouse cannot be read, or what would be written breaks a check.
        StorageError: the file cannot be written.
    """
    if is_url(fspath(target)):
        raise StudyError(f"{fspath(target)} is a URL: write a local file, such as baseline.duckdb, and upload that")
    path = user_path(target)
    check_target(warehouse, path, force=force)
    with open_warehouse(warehouse, NEEDED) as con:
        model = find_model(con, warehouse, name).model
    report = export_evaluations(warehouse, [run.evaluation_id for run in model.runs], path, force=force)
    return ModelExport(path, model.label, len(model.runs), report)
