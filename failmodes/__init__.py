"""Robustness evaluation for image classifiers, with every per-image result queryable in SQL.

    import failmodes

    w = failmodes.benchmark(model, images, labels, to="runs/mine")   # a torch module; no study file
    w = failmodes.open("runs/mine")                                    # or an existing one; needs no PyTorch
    w.chart("curves")                                                  # an Altair chart
    w.table("accuracy_by_severity", corruption="fog")                  # a Polars table
    w.sql("select corruption, min(accuracy) from accuracy_by_severity group by all")
    foggy = failmodes.corrupt(images, "fog", 3)                        # uint8 (N, H, W, 3) in and out
    assert failmodes.gate("gate.toml", "runs/mine")                    # is it no worse than a baseline?

Start with help(failmodes.benchmark) and help(failmodes.Warehouse). The names below are public and follow semantic
versioning. All others may change without notice.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from failmodes.analysis.results.opened_warehouse import Warehouse as Warehouse
    from failmodes.api import benchmark as benchmark
    from failmodes.api import gate as gate
    from failmodes.api import import_predictions as import_predictions
    from failmodes.api import open as open
    from failmodes.api import run as run
    from failmodes.evaluate.options import Options as Options
    from failmodes.evaluate.transform import CorruptTransform as CorruptTransform
    from failmodes.ingest.corruptions.apply import corrupt as corrupt
    from failmodes.ingest.corruptions.catalog import corruptions as corruptions
    from failmodes.ingest.corruptions.custom import CustomCorruption as CustomCorruption
    from failmodes.ingest.corruptions.transform import CorruptImage as CorruptImage
    from failmodes.runtime.errors import DamagedShardError as DamagedShardError
    from failmodes.runtime.errors import DataError as DataError
    from failmodes.runtime.errors import DownloadError as DownloadError
    from failmodes.runtime.errors import EvaluationWarning as EvaluationWarning
    from failmodes.runtime.errors import FailmodesError as FailmodesError
    from failmodes.runtime.errors import IncompleteRunError as IncompleteRunError
    from failmodes.runtime.errors import LimitError as LimitError
    from failmodes.runtime.errors import MissingExtraError as MissingExtraError
    from failmodes.runtime.errors import ModelError as ModelError
    from failmodes.runtime.errors import QueryError as QueryError
    from failmodes.runtime.errors import StorageError as StorageError
    from failmodes.runtime.errors import StudyError as StudyError
    from failmodes.runtime.errors import WarehouseError as WarehouseError
    from failmodes.warehouse.metrics.custom import metric as metric

__all__ = [
    "CorruptImage",
    "CorruptTransform",
    "CustomCorruption",
    "DamagedShardError",
    "DataError",
    "DownloadError",
    "EvaluationWarning",
    "FailmodesError",
    "IncompleteRunError",
    "LimitError",
    "MissingExtraError",
    "ModelError",
    "Options",
    "QueryError",
    "StorageError",
    "StudyError",
    "Warehouse",
    "WarehouseError",
    "__version__",
    "benchmark",
    "corrupt",
    "corruptions",
    "gate",
    "import_predictions",
    "metric",
    "open",
    "run",
]

__version__ = "0.1.0"

# The module of each public name: imported on first use, so that `import failmodes` loads nothing else
_PUBLIC = {
    "benchmark": "api",
    "gate": "api",
    "import_predictions": "api",
    "open": "api",
    "run": "api",
    "Warehouse": "analysis.results.opened_warehouse",
    "corrupt": "ingest.corruptions.apply",
    "corruptions": "ingest.corruptions.catalog",
    "CorruptImage": "ingest.corruptions.transform",
    "CorruptTransform": "evaluate.transform",
    "Options": "evaluate.options",
    "CustomCorruption": "ingest.corruptions.custom",
    "metric": "warehouse.metrics.custom",
    **{name: "runtime.errors" for name in __all__ if name.endswith(("Error", "Warning"))},
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'failmodes' has no attribute {name!r}")
    value = getattr(import_module(f"failmodes.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, "__doc__", "__file__", "__name__", "__path__"})
