"""Measures of curves: of cells of one evaluation that hold the same images, from clean to the last severity."""

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from failmodes.warehouse.measures.cells import CellOutcomes
from failmodes.warehouse.measures.columns import Row, mean
from failmodes.warehouse.measures.tables import IMAGE_ONSETS
from failmodes.warehouse.schema import CLEAN

CellKey = tuple[str, Decimal]
CLEAN_KEY: CellKey = (CLEAN, Decimal(0))


class Curve(NamedTuple):
    """The cells of one corruption by rising severity, the clean one first."""

    corruption: str
    severities: list[Decimal]
    cells: list[CellOutcomes]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """(S, N), which images are right at each severity."""
        return np.stack([cell.correct for cell in self.cells])


def curves_of(cells: Mapping[CellKey, CellOutcomes]) -> list[Curve] | None:
    """The curves of an evaluation; None where its cells do not hold the same images once each, or none is clean."""
    clean = cells.get(CLEAN_KEY)
    if clean is None or any(cell.has_repeats for cell in cells.values()):
        return None
    if not all(np.array_equal(cell.image_ids, clean.image_ids) for cell in cells.values()):
        return None
    corruptions = sorted({corruption for corruption, _ in cells} - {CLEAN})
    found = []
    for corruption in corruptions:
        severities = sorted(severity for name, severity in cells if name == corruption)
        found.append(
            Curve(corruption, [Decimal(0), *severities], [clean, *(cells[corruption, level] for level in severities)])
        )
    return found


def transitions(curve: Curve) -> list[Row]:
    """Rows of cell_transitions, by severity above clean."""
    clean = curve.cells[0]
    rows = []
    for severity, cell in zip(curve.severities[1:], curve.cells[1:], strict=True):
        both = int((clean.correct & cell.correct).sum())
        count, clean_right, right = len(cell.correct), int(clean.correct.sum()), int(cell.correct.sum())
        rows.append({
            "corruption": curve.corruption,
            "severity": severity,
            "image_count": count,
            "stayed_right_count": both,
            "broke_count": clean_right - both,
            "repaired_count": right - both,
            "stayed_wrong_count": count - clean_right - right + both,
            "changed_count": int((clean.outputs != cell.outputs).sum()),
        })  # fmt: skip
    return rows


def distortion(curve: Curve) -> list[Row]:
    """Rows of cell_distortion, by severity above clean."""
    rows = []
    for place in range(1, len(curve.cells)):
        change = curve.cells[place].rmse - curve.cells[place - 1].rmse
        known = change[~np.isnan(change)].astype(np.float64)
        error = float(known.std(ddof=1) / len(known) ** 0.5) if len(known) > 1 else None
        rows.append({
            "corruption": curve.corruption,
            "severity": curve.severities[place],
            **curve.cells[place].distortion,
            "rmse_change": mean(change),
            "rmse_change_error": error,
        })  # fmt: skip
    return rows


def step_margins(curve: Curve) -> list[Row]:
    """Rows of step_margins, by severity above clean; none where every image has failed before."""
    onset = _onset(curve.correct)
    rows = []
    for place in range(1, len(curve.cells)):
        fails, survives = onset == place, onset > place
        if not (fails | survives).any():
            continue
        margins = curve.cells[place - 1].margins
        rows.append({
            "corruption": curve.corruption,
            "severity_before": curve.severities[place - 1],
            "severity": curve.severities[place],
            "failing_count": int(fails.sum()),
            "surviving_count": int(survives.sum()),
            "failing_mean_margin_before": mean(margins[fails]),
            "surviving_mean_margin_before": mean(margins[survives]),
        })  # fmt: skip
    return rows


def image_onsets(curve: Curve) -> dict[str, pa.Array]:
    """Columns of image_onsets, by image_id."""
    correct, clean = curve.correct, curve.cells[0]
    points, count = correct.shape
    onset = _onset(correct)
    latest_right = points - 1 - correct[::-1].argmax(axis=0)  # of images that are right somewhere
    levels = pa.array([*curve.severities, None], IMAGE_ONSETS.arrow().field("onset_severity").type)
    letters = np.ascontiguousarray(correct.T).astype(np.uint8) + np.uint8(ord("0"))
    ends = np.arange(count + 1, dtype=np.int32) * np.int32(points)
    patterns = pa.StringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(letters))
    return {
        "corruption": pa.repeat(curve.corruption, count),
        "image_id": pa.array(clean.image_ids),
        "label": pa.array(clean.labels),
        "clean_correct": pa.array(clean.correct),
        "onset_severity": levels.take(pa.array(onset)),  # `points` stands for never
        "correctness_pattern": patterns,
        "wrong_count": pa.array((~correct).sum(axis=0)),
        "last_right_severity": levels.take(pa.array(np.where(onset == 0, points, onset - 1))),
        "recovered": pa.array((onset < points) & correct.any(axis=0) & (latest_right > onset)),
    }


def _onset(correct: NDArray[np.bool_]) -> NDArray[np.intp]:
    """(N,) place of the first severity (S, N) where each image is wrong; S where it never is."""
    return np.where(correct.all(axis=0), len(correct), (~correct).argmax(axis=0))
