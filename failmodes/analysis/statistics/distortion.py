"""How far corrupted images lie from their clean images, by severity: from a warehouse, or measured on request."""

from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from failmodes.analysis.sample_images import CorruptionRequest
from failmodes.analysis.selection import Selection, read_for_selection
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.ingest.distortion import rmse, ssim
from failmodes.warehouse.errors import FailmodesError, StudyError, WarehouseError
from failmodes.warehouse.hashing import fingerprint_with_rows
from failmodes.warehouse.metrics.duplicates import number_groups
from failmodes.warehouse.metrics.intervals import interval_of_mean

DENSE_GRID = [Decimal(step) / 4 for step in range(1, 21)]  # 0.25 to 5


def stored_distortion(con: duckdb.DuckDBPyConnection, selection: Selection) -> pl.DataFrame:
    """Distortion on record; all evaluations of a selection see the same pixels, so the first speaks for them.

    Raises:
        WarehouseError: corrupted images do not pair with clean ones, so that nothing was measured.
    """
    rows = read_for_selection(con, "distortion_by_severity", selection.only(selection.evaluations[0]))
    if rows.is_empty():
        raise WarehouseError("no distortion to show: corrupted images do not pair with clean ones, image by image")
    return rows.sort("corruption_order", "severity")


def measured_distortion(request: CorruptionRequest, clean: NDArray[np.uint8]) -> tuple[pl.DataFrame, dict[str, str]]:
    """Corrupt `clean` (N, S, S, 3) uint8 and measure it, at the severities requested or densely.

    Between whole severities, only corruptions that interpolate are made.

    Returns:
        Rows as in the view distortion_by_severity, and the corruptions that could not be made, with the reason.

    Raises:
        StudyError: nothing of the request can be made; the message says why.
    """
    rows: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    for name in request.names():
        try:
            rows += _curve(request, name, clean)
        except FailmodesError as error:
            missing[name] = str(error)
    if not rows:
        raise StudyError(next(iter(missing.values())))
    return pl.DataFrame(rows), missing


def not_monotone(rows: pl.DataFrame) -> list[str]:
    """Labels of corruptions whose mean RMSE falls at some step, with the whole 95 % interval of the change below 0."""
    falls = rows.filter(pl.col("rmse_change_high") < 0)
    return falls["corruption_label"].unique(maintain_order=True).to_list()


def _curve(request: CorruptionRequest, name: str, clean: NDArray[np.uint8]) -> list[dict[str, Any]]:
    """Rows of one corruption from clean to the last severity; the change is from the severity before."""
    info, severities = CORRUPTIONS[name], request.levels() or DENSE_GRID
    rows: list[dict[str, Any]] = []
    before, groups = None, number_groups(fingerprint_with_rows(clean)[1])
    for severity in [Decimal(0), *(s for s in severities if info.interpolable or not s % 1)]:
        images = request.images_at(name, severity, clean)
        distances = rmse(clean, images).astype(np.float64)
        change = (None, None, None) if before is None else interval_of_mean(distances - before, groups=groups)
        rows.append({
            "corruption": name, "corruption_label": info.label, "corruption_order": info.order,
            "headline": info.headline, "severity": float(severity), "image_count": len(clean),
            **_summary("rmse", distances), **_summary("ssim", ssim(clean, images).astype(np.float64)),
            **dict(zip(("rmse_change", "rmse_change_low", "rmse_change_high"), change, strict=True)),
        })  # fmt: skip
        before = distances
    return rows


def _summary(name: str, values: NDArray[np.float64]) -> dict[str, float]:
    low, high = np.quantile(values, [0.05, 0.95])
    return {f"mean_{name}": float(values.mean()), f"{name}_q05": float(low), f"{name}_q95": float(high)}
