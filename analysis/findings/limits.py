"""What must not be claimed from a selection."""

import duckdb

from failmodes.analysis.findings.finding import Finding
from failmodes.analysis.formatting import format_count, format_percent, join_names
from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.shape_tables import shape_settings
from failmodes.warehouse.database.connection import fetch_first
from failmodes.warehouse.schema import IMPORTED_FAMILY


def limitation_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """Limits, topic by topic: of what was run, of what it was run on, and of what may be said."""
    resamples = shape_settings(con).resamples
    return [
        _limit(
            "Training",
            "These are single training runs.",
            "Intervals speak of the choice of test images, not of training: another seed may give other figures. "
            f"Training seeds: {_seeds(selection)}.",
        ),
        _limit("Images", "One set of images was seen.", _subset(con, selection)),
        *_left_out(selection),
        *_pixels(selection),
        *_imported(selection),
        *_not_finite(con, selection),
        *_pairing(selection),
        _limit(
            "Severity",
            "Severity is an index, not a dose.",
            "A shape belongs to the recipe's spacing of its levels.",
        ),
        _limit(
            "Errors",
            "Corruption errors are not normalised.",
            "Dividing by AlexNet's errors is defined for ImageNet-C only.",
        ),
        _limit(
            "Shapes",
            "Shape classes rest on conventions.",
            f"Stability is the share of {resamples:,} resamples of the images with the same class; the table of shapes "
            "shows how often other thresholds give the same class.",
        ),
        _limit(
            "Attention",
            "Attention is no explanation.",
            "Grad-CAM is an account of one layer, not a cause. Without object masks it says that attention moves, not "
            "where it moves to.",
        ),
    ]


def _limit(topic: str, headline: str, detail: str) -> Finding:
    return Finding(topic, headline, detail, "limit", {})


def _seeds(selection: Selection) -> str:
    stated = {e.label: e.facts["training_seed"] for e in selection.evaluations}
    return join_names(f"{label} {'not stated' if seed is None else seed}" for label, seed in stated.items())


def _subset(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    row = fetch_first(con, "select image_count from datasets where dataset_id = ?", [selection.shared["dataset_id"]])
    images, full = selection.image_count, row[0] if row else None
    if full is None or images >= full:
        return f"All {format_count(images, 'image')} of one split of one data set: on other data networks may fail elsewhere."
    share = format_percent(images / full, 0)
    return f"{format_count(images, 'image')} of {full:,} ({share}): small differences need more images."


def _pixels(selection: Selection) -> list[Finding]:
    note, label = selection.shared["note"], selection.shared["dataset_label"]
    if not note:
        return []
    detail = f"On {label}: {note.rstrip('.')}. Do not set these figures beside published ones without that remark."
    return [_limit("Pixels", "The data set comes with a remark.", detail)]


def _imported(selection: Selection) -> list[Finding]:
    labels = [e.label for e in selection.evaluations if e.facts["family"] == IMPORTED_FAMILY]
    if not labels:
        return []
    return [
        _limit(
            "Imports",
            f"Predictions of {join_names(labels)} were made elsewhere.",
            "That they are of just these images and corrupted pixels is taken on trust; there is no attention of them.",
        )
    ]


def _not_finite(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    counts = dict(
        con.execute(
            "select evaluation_id, sum(non_finite_count)::bigint from cell_measures "
            "where evaluation_id = any(?) group by evaluation_id having sum(non_finite_count) > 0",
            [selection.ids],
        ).fetchall()
    )
    if not counts:
        return []
    amounts = join_names(f"{counts[e.evaluation_id]:,} of {e.label}" for e in selection.evaluations
                      if e.evaluation_id in counts)  # fmt: skip
    return [
        _limit(
            "Numbers",
            "Some predictions are not finite numbers.",
            f"{amounts}, over all cells: they count as wrong, and are left out of confidence and calibration.",
        )
    ]


def _left_out(selection: Selection) -> list[Finding]:
    if not selection.left_out:
        return []
    return [
        _limit(
            "Left out",
            f"{join_names(selection.left_out)} {'is' if len(selection.left_out) == 1 else 'are'} left out.",
            "Cells that the other networks have are missing: it raised, or was not run to the end.",
        )
    ]


def _pairing(selection: Selection) -> list[Finding]:
    if selection.shared["paired"]:
        return []
    reason = selection.shared["pairing_note"]
    detail = f"{reason}: drift, onset and distortion are not measured, and intervals of drops are wider."
    return [_limit("Pairing", "Corrupted and clean images do not pair.", detail)]
