"""What must not be claimed from a selection."""

import duckdb

from analysis.findings.finding import Finding
from analysis.reading import first_row
from analysis.selection import Selection
from analysis.statements import settings_of
from analysis.words import counted, listing, percent


def limit_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """Limits by training seed, images, pixels, corruptions, severity, attention and normalisation of errors."""
    facts = selection.shared
    full = first_row(con, "select image_count from datasets where dataset_id = ?", [facts["dataset_id"]])
    limits = [
        ("Training", "One training run a network.", "Intervals speak of the choice of test images, not of training: another seed may give "
         f"other figures. Training seeds here: {_seeds(selection)}."),
        ("Images", "One set of images.", _subset(selection, full[0] if full else None)),
    ]  # fmt: skip
    if facts["note"]:
        limits.append(("Pixels", "Not the original pixels, or not without a remark.", f"{facts['dataset_label']}: {facts['note']}. Figures must not stand beside those "
                       "published on the original images without that remark."))  # fmt: skip
    limits += [
        ("Severity", "Severity is an index, not a dose.", "A shape belongs to the recipe's spacing of its levels."),
        ("Errors", "Corruption errors are not normalised.", "Dividing by AlexNet's errors is defined for ImageNet-C only."),
        ("Shapes", "Shape classes rest on conventions.", f"Stability is the share of {settings_of(con).resamples:,} resamples of the images with the same "
         f"class; the table shows how often other thresholds give the same class."),
        ("Attention", "Attention is no explanation.", "Grad-CAM is a local account of one layer, not a cause. Without object masks it says that "
         "attention moves, not where it moves to."),
    ]  # fmt: skip
    if not facts["paired"]:
        limits.append(("Pairing", "Images do not pair.", f"Corrupted and clean images do not pair ({facts['pairing_note']}): drift, onset and "
                       "distortion are not measured, and intervals of drops are wider."))  # fmt: skip
    return [Finding(topic, headline, detail, "limit", {}) for topic, headline, detail in limits]


def _seeds(selection: Selection) -> str:
    return listing(
        f"{e.label} {'not stated' if e.facts['training_seed'] is None else e.facts['training_seed']}"
        for e in selection.evaluations
    )


def _subset(selection: Selection, full: int | None) -> str:
    images = selection.image_count
    if full is None or images >= full:
        return f"All {counted(images, 'image')} of the split, from one data set: other data may fail elsewhere."
    return (
        f"{counted(images, 'image')} of {full:,} ({percent(images / full, 0)}; {selection.shared['subset']}): small "
        "differences need more images."
    )
