"""How far corrupted images lie from their clean twins, by severity: from a warehouse, or measured on the spot."""

from decimal import Decimal
from typing import Any, NamedTuple

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from failmodes.analysis.estimate import NORMAL_975
from failmodes.analysis.sample_images import CorruptionRequest
from failmodes.analysis.selection import Selection, read_for_selection
from failmodes.ingest.corruptions.catalogue import CORRUPTIONS
from failmodes.ingest.distortion import rmse, ssim
from failmodes.warehouse.errors import FailmodesError, StudyError, WarehouseError

DENSE_STEP = Decimal("0.25")

LAST_SEVERITY = Decimal(5)


class MeasuredDistortion(NamedTuple):
    """Rows as in the view distortion_by_severity, and the corruptions that could not be made, with the reason."""

    rows: pl.DataFrame
    missing: dict[str, str]


def stored_distortion(con: duckdb.DuckDBPyConnection, selection: Selection) -> pl.DataFrame:
    """Distortion on record; all evaluations of a selection see the same pixels, so the first speaks for them.

    Raises:
        WarehouseError: corrupted images do not pair with clean ones, so that nothing was measured.
    """
    rows = read_for_selection(con, "distortion_by_severity", selection.only(selection.evaluations[0]))
    if rows.is_empty():
        raise WarehouseError("no distortion to show: corrupted images do not pair with clean ones, image by image")
    return rows.sort("corruption_order", "severity")


def measured_distortion(corrupting: CorruptionRequest, clean: NDArray[np.uint8]) -> MeasuredDistortion:
    """Corrupt `clean` (N, S, S, 3) uint8 and measure it, at the severities asked for or densely.

    Between whole severities only what interpolates is made.

    Raises:
        StudyError: nothing of what was asked for can be made; the message says why.
    """
    rows: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    for name in corrupting.names():
        try:
            rows += _curve(corrupting, name, clean)
        except FailmodesError as error:
            missing[name] = str(error)
    if not rows:
        raise StudyError(next(iter(missing.values())))
    return MeasuredDistortion(pl.DataFrame(rows), missing)


def measured_severities(corrupting: CorruptionRequest, name: str) -> list[Decimal]:
    """Severities above 0 at which a corruption is measured."""
    dense = [DENSE_STEP * step for step in range(1, int(LAST_SEVERITY / DENSE_STEP) + 1)]
    asked = corrupting.levels() or dense
    return asked if CORRUPTIONS[name].interpolable else [severity for severity in asked if not severity % 1]


def not_monotone(rows: pl.DataFrame) -> list[str]:
    """Labels of corruptions whose mean RMSE falls at some step, with the whole 95 % interval of the change below 0."""
    falls = rows.filter(pl.col("rmse_change") + NORMAL_975 * pl.col("rmse_change_error").fill_null(0) < 0)
    return falls["corruption_label"].unique(maintain_order=True).to_list()


def _curve(corrupting: CorruptionRequest, name: str, clean: NDArray[np.uint8]) -> list[dict[str, Any]]:
    known = CORRUPTIONS[name]
    severities = [Decimal(0), *measured_severities(corrupting, name)]
    rows: list[dict[str, Any]] = []
    before = None
    for severity in severities:
        images = corrupting.images_at(name, severity, clean)
        distance, likeness = rmse(clean, images).astype(np.float64), ssim(clean, images).astype(np.float64)
        rows.append({
            "corruption": name, "corruption_label": known.label, "corruption_order": known.order,
            "headline": known.headline, "severity": float(severity), "image_count": len(clean),
            **_summary("rmse", distance), **_summary("ssim", likeness), **_change(before, distance),
        })  # fmt: skip
        before = distance
    return rows


def _summary(name: str, values: NDArray[np.float64]) -> dict[str, float]:
    low, high = np.quantile(values, [0.05, 0.95])
    return {f"mean_{name}": float(values.mean()), f"{name}_q05": float(low), f"{name}_q95": float(high)}


def _change(before: NDArray[np.float64] | None, now: NDArray[np.float64]) -> dict[str, float | None]:
    if before is None:
        return {"rmse_change": None, "rmse_change_error": None}
    change = now - before
    error = float(change.std(ddof=1) / len(change) ** 0.5) if len(change) > 1 else None
    return {"rmse_change": float(change.mean()), "rmse_change_error": error}
