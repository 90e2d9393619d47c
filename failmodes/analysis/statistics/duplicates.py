"""Exact duplicates among the images of an evaluation: how many, which, and how many independent images they leave."""

import duckdb

from failmodes.analysis.evaluations.connection_cache import read_once
from failmodes.warehouse.metrics.duplicates import (
    Copies,
    DuplicateImages,
    Groups,
    count_duplicates,
    independent_share,
    read_copies,
    read_groups,
)


@read_once
def copies_of(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> Copies | None:
    """The duplicates of the dataset of an evaluation; None if there are none, or if pixels are unknown."""
    return read_copies(con, evaluation_id)


@read_once
def image_groups(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> Groups | None:
    """(N,) groups of duplicates among the clean images of an evaluation by rising image_id; None if distinct."""
    return read_groups(con, evaluation_id)


@read_once
def duplicate_images(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> DuplicateImages:
    """How many clean images an evaluation has, and how many distinct ones."""
    return count_duplicates(con, evaluation_id, image_groups(con, evaluation_id))


@read_once
def share_of_independent(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> float:
    """Kish's effective number of clean images of an evaluation as a share of them: what closed-form intervals take."""
    return independent_share(image_groups(con, evaluation_id))
