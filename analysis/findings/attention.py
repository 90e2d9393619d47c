"""Whether attention moves, how far beside its null, and whether it concentrates less."""

from collections.abc import Mapping

import duckdb

from failmodes.analysis.findings.finding import Evidence, Finding, Verdict
from failmodes.analysis.formatting import (
    MAX_LISTED,
    NO_BREAK,
    capitalize_first,
    format_count,
    format_interval,
    format_number,
    format_number_interval,
    format_percent,
    format_percent_interval,
    format_points_interval,
    format_severity,
    join_names,
    lower_label,
    tally_names,
)
from failmodes.analysis.selection import EvaluationInfo, Selection, corruption_labels
from failmodes.analysis.statistics.attention import (
    AnswerResponse,
    CellDrift,
    DriftTest,
    MeanChange,
    answer_response,
    changes_at_last,
    drift_at_last,
    mask_changes_at_last,
    missing_drift_reason,
)
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.failure_prediction import CHANCE
from failmodes.warehouse.database.connection import fetch_first

WIDTHS = f"image{NO_BREAK}widths"

UNDECIDED = "is not shown to be"
BEYOND_NAMES = {"attention_spread": "spread", "attention_drift": "drift", "empty_map": "an empty map"}
DRIFT_PHRASES = {
    "nearer": "stays nearer to the image's own clean map than to another image's",
    "undecided": "cannot be told from the distance to another image's map",
    "farther": "ends farther from its own clean map than from another image's",
}


def attention_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """For each network with attention: drift against its null, concentration, and the object mask if there is one."""
    names = {corruption: lower_label(label) for corruption, label in corruption_labels(con).items()}
    found = []
    for evaluation in selection.evaluations:
        drift = drift_at_last(con, selection, evaluation)
        if not drift:
            reason = missing_drift_reason(selection.only(evaluation))
            headline = f"{evaluation.label}: nothing can be said of attention."
            figures: Evidence = {"evaluation_id": evaluation.evaluation_id}
            found.append(Finding("Attention", headline, f"Reason on record: {reason}.", "undecided", figures))
            continue
        changes = changes_at_last(con, selection, evaluation)
        found.append(_drift(evaluation, drift, names))
        found.append(_concentration(evaluation, changes, selection.averaged_phrase))
        if "mask_share" in changes:
            found.append(_mask(con, selection.only(evaluation), changes["mask_share"], names))
        if response := answer_response(con, selection, evaluation):
            found.append(_response(evaluation, response, selection.averaged_phrase))
    return found


def _drift(evaluation: EvaluationInfo, drift: list[DriftTest], names: Mapping[str, str]) -> Finding:
    parts = []
    for verdict, phrase in DRIFT_PHRASES.items():
        corruptions = [names[d.corruption] for d in drift if d.verdict == verdict]
        if corruptions:
            which = "every corruption" if len(corruptions) == len(drift) > 1 else join_names(corruptions)
            parts.append(f"under {which} it {phrase}")
    farthest, empty = drift[0], sum(d.empty_count for d in drift)
    detail = "; ".join(_beside_null(d, names) for d in (drift if len(drift) < 3 else (drift[0], drift[-1])))
    figures: Evidence = {
        "evaluation_id": evaluation.evaluation_id, "largest_median_shift": farthest.median_shift,
        "its_null": farthest.median_null, "empty_count": empty,
    }  # fmt: skip
    return Finding(
        "Attention",
        f"Attention of {evaluation.label} moves by up to {format_number(farthest.median_shift, 2)} {WIDTHS} (median, "
        f"{names[farthest.corruption]}) at the last severity; {'; '.join(parts)}.",
        f"Median centroid shift, for the class predicted on the clean image, farthest and nearest: {detail}. "
        f"The null is the distance to another image's clean map. {format_count(empty, 'empty map')} left out.",
        "undecided" if all(d.verdict == "undecided" for d in drift) else "found",
        figures | {f"drift_{d.corruption}": d.median_shift for d in drift},
    )


def _beside_null(drift: DriftTest, names: Mapping[str, str]) -> str:
    return (
        f"{names[drift.corruption]} {format_number(drift.median_shift, 2)}, null {format_number(drift.median_null, 2)} "
        f"(null minus drift, mean {_signed_interval(drift.below_null)})"
    )


def _concentration(evaluation: EvaluationInfo, changes: dict[str, MeanChange], averaged: str) -> Finding:
    measures = {"spread": ("spread", WIDTHS), "attention_entropy_nats": ("entropy", "nats"), "mass": ("mass", "logits")}
    verdict, phrase = concentration_verdict([changes[m].change for m in list(measures)[:2] if m in changes])
    values = "; ".join(
        f"{name} {format_number(changes[m].clean, 3)} {unit} clean, change {_signed_interval(changes[m].change)}"
        for m, (name, unit) in measures.items()
        if m in changes
    )
    caveat = ""  # less evidence leaves fewer cells above zero, which lowers entropy by itself
    if all(m in changes and changes[m].change.below_zero for m in ("mass", "attention_entropy_nats")):
        caveat = (
            " The mass falls too: a rectified map with less evidence keeps fewer cells above zero, which by itself "
            "lowers its entropy."
        )
    return Finding(
        "Attention",
        f"Attention of {evaluation.label} {phrase} at the last severity.",
        f"Change from the same image's clean map, averaged over {averaged}: {values}.{caveat}",
        verdict,
        {"evaluation_id": evaluation.evaluation_id, **{f"{m}_change": c.change.value for m, c in changes.items()}},
    )


def _response(evaluation: EvaluationInfo, found: AnswerResponse, averaged: str) -> Finding:
    words = {"consistent": found.consistent, "responsive": found.responsive}
    verdicts = {word: _beside_chance(estimate) for word, estimate in words.items() if estimate}
    told = [
        f"{verdict} {join_names(w for w in verdicts if verdicts[w] == verdict)}"
        for verdict in dict.fromkeys(verdicts.values())
    ]
    parts = []
    if found.consistent:
        share = format_percent_interval(found.consistent)
        parts.append(
            f"where the answer stays, {share} of maps are nearer to their own clean map than another of the class"
        )
    if found.responsive:
        parts.append(f"the shift tells a changed answer with AUROC {format_number_interval(found.responsive)}")
    if found.beyond_confidence:
        each = (
            f"{BEYOND_NAMES[score]} {format_number_interval(one)}" for score, one in found.beyond_confidence.items()
        )
        parts.append(f"among images of like confidence (tenths), failures are told with AUROC by {join_names(each)}")
    headline = f"Attention of {evaluation.label} {' and '.join(told)} at the last severity."
    if not told:
        headline = f"Whether attention of {evaluation.label} is consistent or responsive cannot be told."
    figures: Evidence = {
        "evaluation_id": evaluation.evaluation_id,
        "stayed_nearer_share": found.consistent.value if found.consistent else None,
        "change_auroc": found.responsive.value if found.responsive else None,
        **{f"auroc_within_{score}": one.value for score, one in found.beyond_confidence.items()},
    }
    return Finding(
        "Attention",
        headline,
        f"{capitalize_first('; '.join(parts))}. Averaged over {averaged}; 50{NO_BREAK}% and 0.5 are chance.",
        "found" if verdicts and UNDECIDED not in verdicts.values() else "undecided",
        figures,
    )


def _beside_chance(estimate: Estimate) -> str:
    return "is" if estimate.low > CHANCE else "is not" if estimate.high < CHANCE else UNDECIDED


def concentration_verdict(changes: list[Estimate]) -> tuple[Verdict, str]:
    """'Concentrates less' only where spread and entropy both grow beyond their intervals; 'more' where both shrink."""
    if changes and all(c.above_zero for c in changes):
        return "found", "concentrates less (spread and entropy both grow)"
    if changes and all(c.below_zero for c in changes):
        return "found", "concentrates more (spread and entropy both shrink)"
    return "undecided", "neither clearly spreads nor clearly concentrates: spread and entropy do not agree beyond noise"


def _signed_interval(estimate: Estimate) -> str:
    value, low, high = estimate
    return f"{format_number(value, 3, signed=True)} {format_interval(low, high, 3, 1)}"


def _mask(con: duckdb.DuckDBPyConnection, selection: Selection, share: MeanChange, names: Mapping[str, str]) -> Finding:
    """How much of the map's mass lies inside the object mask; on digits that is the ink."""
    (evaluation,) = selection.evaluations
    mask = "the ink" if evaluation.facts["dataset_name"] == "digits" else "the object mask"
    row = fetch_first(con, "select avg(mask_area) from images where dataset_id = ?", [evaluation.facts["dataset_id"]])
    area = row[0] if row else None
    changes = mask_changes_at_last(con, selection, evaluation)
    moved = [corruption for corruption, change in changes.items() if change.below_zero or change.above_zero]
    headline = f"The share of the attention mass of {evaluation.label} on {mask} does not change beyond noise."
    if moved:
        most = max(moved, key=lambda corruption: abs(changes[corruption].value))
        value, low, high = changes[most]
        verb, ends = ("leaves", (-high, -low)) if changes[most].below_zero else ("enters", (low, high))
        headline = (
            f"Under {names[most]}, {format_percent(abs(value))} of the attention mass of {evaluation.label} {verb} "
            f"{mask} {format_interval(*ends)}, more than under any other corruption."
        )
    covers = f" The mask covers {format_percent(area)} of an image, which an even map would score." if area else ""
    each = "; ".join(f"{names[c]} {format_points_interval(change)}" for c, change in changes.items())
    figures: Evidence = {
        "evaluation_id": evaluation.evaluation_id, "mask_share_clean": share.clean,
        "mask_share_change": share.change.value, "mask_area": area,
    }  # fmt: skip
    return Finding(
        "Attention",
        headline,
        f"Inside {mask}: {format_percent(share.clean)} of the mass when clean; change at the last severity, averaged "
        f"over {selection.averaged_phrase}, {format_points_interval(share.change)}; {each}.{covers}",
        "found" if moved else "undecided",
        figures | {f"mask_share_change_{c}": change.value for c, change in changes.items()},
    )


def drift_sentence(cells: list[CellDrift], names: Mapping[str, str]) -> str:
    """Where attention moves most, beside the null: in each network, or of many in how many."""
    labels = dict.fromkeys(cell.label for cell in cells)
    farthest = [max((c for c in cells if c.label == label), key=lambda c: c.shift) for label in labels]
    corruptions = [lower_label(names[c.corruption]) for c in farthest]
    if len(farthest) > MAX_LISTED:
        tally = tally_names(corruptions, "under {} in {}")
        least, most = (_shift(end(farthest, key=lambda cell: cell.shift)) for end in (min, max))
        return f"Of {len(farthest)} networks, attention moves most {tally}: from {least} to {most}, in {WIDTHS}"
    shifts = [_shift(cell, f" {WIDTHS}") for cell in farthest]
    if len(set(corruptions)) == 1:
        at_severity = f"at severity {format_severity(farthest[0].severity)}"
        return f"Attention moves most under {corruptions[0]} {at_severity}: {join_names(shifts)}"
    each = [f"{shift} under {corruption}" for shift, corruption in zip(shifts, corruptions, strict=True)]
    return f"Attention moves at most by {join_names(each)}"


def _shift(drift: CellDrift, unit: str = "") -> str:
    return f"{format_number(drift.shift, 2)}{unit} in {drift.label} (null {format_number(drift.null_median, 2)})"
