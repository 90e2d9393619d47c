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
    """The cells of one corruption by rising severity, the clean one first.

    Attributes:
        corruption: its name.
        severities: S of them.
        cells: at each severity.
        onset: (N,) place of the first severity where each image is wrong; S where it never is.
    """

    corruption: str
    severities: list[Decimal]
    cells: list[CellOutcomes]
    onset: NDArray[np.intp]


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
        of_curve = [clean, *(cells[corruption, level] for level in severities)]
        found.append(Curve(corruption, [Decimal(0), *severities], of_curve, _onset(of_curve)))
    return found


def transitions(curve: Curve) -> list[Row]:
    """Rows of cell_transitions, by severity above clean."""
    clean = curve.cells[0]
    rows = []
    for severity, cell in zip(curve.severities[1:], curve.cells[1:], strict=True):
        both = np.count_nonzero(clean.correct & cell.correct)
        count, clean_correct, correct = (
            len(cell.correct),
            np.count_nonzero(clean.correct),
            np.count_nonzero(cell.correct),
        )
        rows.append({
            "corruption": curve.corruption,
            "severity": severity,
            "image_count": count,
            "stayed_correct_count": both,
            "became_incorrect_count": clean_correct - both,
            "became_correct_count": correct - both,
            "stayed_incorrect_count": count - clean_correct - correct + both,
            "changed_count": np.count_nonzero(clean.outputs != cell.outputs),
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
    rows = []
    for place in range(1, len(curve.cells)):
        fails, survives = np.flatnonzero(curve.onset == place), np.flatnonzero(curve.onset > place)
        if not len(fails) + len(survives):
            continue
        margins = curve.cells[place - 1].margins
        rows.append({
            "corruption": curve.corruption,
            "severity_before": curve.severities[place - 1],
            "severity": curve.severities[place],
            "failing_count": len(fails),
            "surviving_count": len(survives),
            "failing_mean_margin_before": mean(margins[fails]),
            "surviving_mean_margin_before": mean(margins[survives]),
        })  # fmt: skip
    return rows


def image_onsets(curve: Curve) -> dict[str, pa.Array]:
    """Columns of image_onsets, by image_id."""
    clean, onset = curve.cells[0], curve.onset
    points, count = len(curve.cells), len(onset)
    last_correct = np.full(count, -1)
    for place, cell in enumerate(curve.cells):
        last_correct = np.where(cell.correct, place, last_correct)
    correct = [cell.correct for cell in curve.cells]
    letters = np.stack(correct, axis=1) + np.uint8(ord("0"))
    levels = pa.array([*curve.severities, None], IMAGE_ONSETS.arrow().field("onset_severity").type)
    ends = np.arange(count + 1, dtype=np.int32) * np.int32(points)
    patterns = pa.StringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(letters))
    return {
        "corruption": pa.repeat(curve.corruption, count),
        "image_id": pa.array(clean.image_ids),
        "label": pa.array(clean.labels),
        "clean_correct": pa.array(clean.correct),
        "onset_severity": levels.take(pa.array(onset)),  # `points` stands for never
        "correctness_pattern": patterns,
        "incorrect_count": pa.array(points - np.stack(correct).sum(axis=0)),
        "last_correct_severity": levels.take(pa.array(np.where(onset == 0, points, onset - 1))),
        "recovered": pa.array(last_correct > onset),
    }


def _onset(cells: list[CellOutcomes]) -> NDArray[np.intp]:
    """(N,) place of the first cell where each image is wrong; their number where it never is."""
    onset = np.full(len(cells[0].correct), len(cells))
    for place, cell in reversed(list(enumerate(cells))):
        onset = np.where(cell.correct, onset, place)
    return onset
