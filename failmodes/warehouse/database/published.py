"""Published accuracies: stored in their own table, which loads do not change, and matched with datasets."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from failmodes.runtime.errors import StudyError
from failmodes.warehouse.database.tables import upsert
from failmodes.warehouse.database_schema import PUBLISHED_ACCURACY
from failmodes.warehouse.published_layout import PublishedSet

if TYPE_CHECKING:
    from failmodes.warehouse.database.updates import Derivation


def store_published(warehouse: Path, sets: Sequence[PublishedSet], derivation: "Derivation | None" = None) -> None:
    """Store published tables in a warehouse; one of the same name is replaced.

    Raises:
        StudyError: two of the tables have the same name.
        WarehouseError: the warehouse is missing, of another version or being written.
        StorageError: the new file cannot be written.
    """
    from failmodes.warehouse.database.updates import changed_database  # here: readers need no locks

    names = [published.name for published in sets]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise StudyError(f"two files of published accuracies are called {twice!r}: rename one, or omit it")
    rows = pa.Table.from_pylist(
        [row for published in sets for row in _rows(published)], schema=PUBLISHED_ACCURACY.arrow()
    )
    with changed_database(warehouse) as con:
        upsert(con, PUBLISHED_ACCURACY, rows, ("published_set",))
        if derivation is not None:
            derivation.store(con, ())


def _rows(published: PublishedSet) -> Iterable[dict[str, Any]]:
    for model in published.models:
        facts = {"model": model.name, "architecture": model.architecture, "paper": model.paper}
        for (corruption, severity), accuracy in model.accuracies.items():
            cell = {"corruption": corruption, "severity": severity, "accuracy": accuracy}
            yield {"published_set": published.name, "dataset": published.dataset, **facts, **cell}


def published_of(con: duckdb.DuckDBPyConnection, dataset_name: str, dataset_label: str) -> list[str]:
    """Names of the published tables of a dataset, by its kind (such as cifar10) and label."""
    rows = con.execute(
        "select distinct published_set, dataset from published_accuracy where dataset is not null order by all"
    ).fetchall()
    return [name for name, stated in rows if is_of(stated, dataset_name, dataset_label)]


def is_of(stated: str, dataset_name: str, dataset_label: str) -> bool:
    """Whether a stated dataset is this one: CIFAR-10 is cifar10 and "JPEG copy of CIFAR-10", not CIFAR-100 or -10.1.

    Hyphens, case and spaces are ignored. The stated name may be the kind, the label, or a word of the label.
    """
    words = re.split(r"[\s,;:()]+", dataset_label)
    return _plain(stated) in {_plain(text) for text in (dataset_name, dataset_label, *words)}


def _plain(text: str) -> str:
    return re.sub(r"[\s_-]+", "", text).lower()
