"""Stored thresholds, and the sentences about them."""

from typing import Any

import duckdb

from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.render.formatting import capitalize_first, format_count, format_percent
from failmodes.runtime.errors import WarehouseError
from failmodes.warehouse.database.connection import REBUILD_HINT
from failmodes.warehouse.metrics.abstention import LEVEL, SPLIT_SEED
from failmodes.warehouse.metrics.cell_rows import CERTAINTY

HALF = f"half of the clean images, split by a hash of image_id with seed {SPLIT_SEED}"


def stored_thresholds(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[dict[str, Any]]:
    """The rows of `thresholds` of a selection with their `label`, in its order.

    Raises:
        WarehouseError: one is of no threshold that a load chose.
    """
    rows = con.sql("from thresholds where evaluation_id = any($1)", params=[selection.ids]).pl().rows(named=True)
    for row in rows:
        needed = ("reason",) if row["threshold"] is None else ("accepted_count", "error_count", "error_high")
        if any(row[name] is None for name in needed) or (row["threshold"] is not None and row["image_count"] < 1):
            raise WarehouseError(f"the threshold of {row['evaluation_id']} is damaged: {REBUILD_HINT}")
    found = {row["evaluation_id"]: row for row in rows}
    return [found[key] | {"label": label} for key, label in selection.labels.items() if key in found]


def target_phrase(row: dict[str, Any]) -> str:
    """What a threshold is chosen for: "2% error", "90% coverage"."""
    return f"{100 * row['target_value']:.4g}% {row['target']}"


def rule_phrase(row: dict[str, Any]) -> str:
    """What is accepted: "confidence is at least 0.98342", in the unit of the score's column."""
    column, sign = CERTAINTY.get(row["score"], (row["score"], 1))
    name = column.replace("predicted.", "attention_").replace("clean.", "attention_")
    return f"{name} is at {'least' if sign > 0 else 'most'} {row['threshold']:.9g}"


def threshold_sentence(row: dict[str, Any]) -> str:
    """A row of `thresholds` as one sentence: the number to deploy with what it does on clean images, or why not."""
    if row["threshold"] is None:
        reason = capitalize_first(row["reason"])
        return f"{row['label']}: no threshold of {row['score']} for {target_phrase(row)}. {reason}."
    return (
        f"{row['label']}: accept a prediction if {rule_phrase(row)}. Chosen for {target_phrase(row)} on "
        f"{format_count(row['image_count'], 'clean image')}: {format_count(row['accepted_count'], 'image')} "
        f"({format_percent(row['accepted_count'] / row['image_count'])}) accepted, {row['error_count']:,} incorrect: "
        f"an error of at most {format_percent(row['error_high'])} ({LEVEL:.0%} bound)."
    )
