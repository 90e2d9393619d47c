"""Which published accuracies in the warehouse are of a data set."""

import re

import duckdb


def published_of(con: duckdb.DuckDBPyConnection, dataset_name: str, dataset_label: str) -> list[str]:
    """Names of the published sets that are of a data set, by its kind (such as cifar10) and its label."""
    found = con.execute(
        "select distinct published_set, dataset from published_accuracy where dataset is not null order by all"
    ).fetchall()
    return [name for name, stated in found if is_of(stated, dataset_name, dataset_label)]


def is_of(stated: str, dataset_name: str, dataset_label: str) -> bool:
    """Whether a stated data set is this one: CIFAR-10 is cifar10 and "JPEG copy of CIFAR-10", not CIFAR-100 or -10.1.

    Hyphens, capitals and spaces do not count. What is stated is the kind, the label, or a word of the label.
    """
    words = re.split(r"[\s,;:()]+", dataset_label)
    return _plain(stated) in {_plain(text) for text in (dataset_name, dataset_label, *words)}


def _plain(text: str) -> str:
    return re.sub(r"[\s_-]+", "", text).lower()
