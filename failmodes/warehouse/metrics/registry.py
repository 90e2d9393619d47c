"""All metrics of this package: those that the files of this folder define."""

import pkgutil
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module

from failmodes.warehouse import metrics as package
from failmodes.warehouse.hashing import source_hash
from failmodes.warehouse.metrics.metric import METRICS, Metric

FAMILIES = ("accuracy", "calibration", "temperature", "failure_prediction", "transitions", "attention")


@cache
def all_metrics() -> Mapping[str, Metric]:
    """Every metric by name; a file beside this one that defines another is found by being there."""
    for module in pkgutil.iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")
    return dict(sorted(METRICS.items(), key=lambda item: _place(item[1])))


def known_metrics(own: Iterable[Metric] = ()) -> dict[str, Metric]:
    """Every metric by name, with a user's own, one of which may replace one of this package."""
    return {**all_metrics(), **{metric.name: metric for metric in own}}


def _place(metric: Metric) -> tuple[int, str]:
    """Families in the order in which people look for them, then others by name."""
    family = metric.function.__module__.rpartition(".")[2]
    return (FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)), family


def definitions_hash() -> str:
    """Hash of the source of all definitions: tables that others have made are computed again at the next load."""
    return source_hash(package.__name__)
