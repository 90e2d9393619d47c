"""Whether attention moves, how far beside its null, and whether it concentrates less."""

from dataclasses import replace

import duckdb

from failmodes.analysis.estimate import Estimate
from failmodes.analysis.findings.finding import Evidence, Finding, Verdict
from failmodes.analysis.formatting import (
    MAX_LISTED,
    NO_BREAK,
    format_count,
    format_interval,
    format_number,
    format_percent,
    format_points_interval,
    format_severity,
    join_names,
    lower_label,
)
from failmodes.analysis.selection import EvaluationInfo, Selection, corruption_labels
from failmodes.analysis.statistics.attention import (
    CellDrift,
    DriftTest,
    MeanChange,
    change_at_last,
    changes_at_last,
    drift_at_last,
    missing_drift_reason,
)
from failmodes.warehouse.database.connection import fetch_first

WIDTHS = "image\u00a0widths"


def attention_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """For each network with attention: drift against its null, concentration, and the object mask if there is one."""
    found = []
    for evaluation in selection.evaluations:
        drift = drift_at_last(con, selection, evaluation)
        if not drift:
            found.append(_missing(selection.only(evaluation)))
            continue
        changes = {c.measure: c for c in changes_at_last(con, selection, evaluation)}
        found.append(_drift(evaluation, drift, corruption_labels(con)))
        found.append(_concentration(evaluation, changes, selection.averaged_words))
        if "mask_share" in changes:
            found.append(_mask(con, selection.only(evaluation), changes["mask_share"]))
    return found


def _missing(selection: Selection) -> Finding:
    label = selection.evaluations[0].label
    return Finding("Attention", f"{label}: nothing can be said of attention.", f"Reason on record: "
                   f"{missing_drift_reason(selection)}.", "undecided", {"evaluation_id": selection.ids[0]})  # fmt: skip


def _drift(evaluation: EvaluationInfo, drift: list[DriftTest], names: dict[str, str]) -> Finding:
    groups = {verdict: [lower_label(names[d.corruption]) for d in drift if d.verdict == verdict]
              for verdict in ("nearer", "undecided", "farther")}  # fmt: skip
    phrases = {
        "nearer": "stays nearer to the image's own clean map than to another image's",
        "undecided": "cannot be told from the distance to another image's map",
        "farther": "ends farther from its own clean map than from another image's",
    }
    parts = [f"under {_which(members, len(drift))} it {phrases[v]}" for v, members in groups.items() if members]
    far = drift[0]
    empty = sum(d.empty_count for d in drift)
    detail = "; ".join(_beside_null(d, names) for d in (drift if len(drift) < 3 else (drift[0], drift[-1])))
    verdict: Verdict = "undecided" if len(groups["undecided"]) == len(drift) else "found"
    figures: Evidence = {"evaluation_id": evaluation.evaluation_id, "largest_median_shift": far.median_shift,
                        "its_null": far.median_null, "empty_count": empty}  # fmt: skip
    figures |= {f"drift_{d.corruption}": d.median_shift for d in drift}
    return Finding(
        "Attention",
        f"Attention of {evaluation.label} moves by up to {format_number(far.median_shift, 2)} {WIDTHS} (median, "
        f"{lower_label(names[far.corruption])}) at the last severity; {'; '.join(parts)}.",
        f"Median centroid shift, for the class predicted on the clean image, farthest and nearest: {detail}. "
        f"The null is the distance to another image's clean map. {format_count(empty, 'empty map')} left out.",
        verdict,
        figures,
    )


def _beside_null(drift: DriftTest, names: dict[str, str]) -> str:
    return (
        f"{lower_label(names[drift.corruption])} {format_number(drift.median_shift, 2)}, null {format_number(drift.median_null, 2)} "
        f"(null minus drift, mean {format_number(drift.below_null.value, 3, signed=True)} {_plain(drift.below_null)})"
    )


def _which(members: list[str], measured: int) -> str:
    return "every corruption" if len(members) == measured > 1 else join_names(members)


def _concentration(evaluation: EvaluationInfo, changes: dict[str, MeanChange], averaged: str) -> Finding:
    spread, entropy = changes.get("spread"), changes.get("attention_entropy_nats")
    mass = changes.get("mass")
    verdict, words = concentration_verdict([c.change for c in (spread, entropy) if c])
    told = [
        f"{name} {format_number(c.clean, 3)} {unit} clean, change {format_number(c.change.value, 3, signed=True)} {_plain(c.change)}"
        for name, unit, c in (("spread", WIDTHS, spread), ("entropy", "nats", entropy), ("mass", "logits", mass))
        if c
    ]
    return Finding(
        "Attention",
        f"Attention of {evaluation.label} {words} at the last severity.",
        f"Change from the same image's clean map, averaged over {averaged}: {'; '.join(told)}.{_caveat(mass, entropy)}",
        verdict,
        {"evaluation_id": evaluation.evaluation_id} | {f"{m}_change": c.change.value for m, c in changes.items()},
    )


def _caveat(mass: MeanChange | None, entropy: MeanChange | None) -> str:
    """Less evidence leaves fewer cells above zero, which lowers entropy by itself."""
    if mass and entropy and mass.change.below_zero and entropy.change.below_zero:
        return (
            " The mass falls too: a rectified map with less evidence keeps fewer cells above zero, which by itself "
            "lowers its entropy."
        )
    return ""


def concentration_verdict(changes: list[Estimate]) -> tuple[Verdict, str]:
    """'Concentrates less' only where spread and entropy both grow beyond their intervals; 'more' where both shrink."""
    if changes and all(c.above_zero for c in changes):
        return "found", "concentrates less (spread and entropy both grow)"
    if changes and all(c.below_zero for c in changes):
        return "found", "concentrates more (spread and entropy both shrink)"
    return "undecided", "neither clearly spreads nor clearly concentrates: spread and entropy do not agree beyond noise"


def _mask(con: duckdb.DuckDBPyConnection, selection: Selection, share: MeanChange) -> Finding:
    """How much of the map's mass lies inside the object mask; on digits that is the ink."""
    evaluation, names = selection.evaluations[0], corruption_labels(con)
    thing = "the ink" if evaluation.facts["dataset_name"] == "digits" else "the object mask"
    row = fetch_first(con, "select avg(mask_area) from images where dataset_id = ?", [evaluation.facts["dataset_id"]])
    area = row[0] if row else None
    found = {c: change_at_last(con, replace(selection, corruptions=(c,)), evaluation, share.measure)
             for c in selection.corruptions}  # fmt: skip
    each = {c: change for c, change in found.items() if change}
    moved = {c: change for c, change in each.items() if change.change.below_zero or change.change.above_zero}
    headline = f"The share of the attention mass of {evaluation.label} on {thing} does not change beyond noise."
    if moved:
        most = max(moved, key=lambda c: abs(moved[c].change.value))
        headline = _moved(evaluation, thing, lower_label(names[most]), moved[most].change)
    covers = f" The mask covers {format_percent(area)} of an image, which an even map would score." if area else ""
    told = "; ".join(f"{lower_label(names[c])} {format_points_interval(one.change)}" for c, one in each.items())
    figures: Evidence = {"evaluation_id": evaluation.evaluation_id, "mask_share_clean": share.clean,
                        "mask_share_change": share.change.value, "mask_area": area}  # fmt: skip
    return Finding(
        "Attention",
        headline,
        f"Inside {thing}: {format_percent(share.clean)} of the mass when clean; change at the last severity, averaged over "
        f"{selection.averaged_words}, {format_points_interval(share.change)}; {told}.{covers}",
        "found" if moved else "undecided",
        figures | {f"mask_share_change_{c}": one.change.value for c, one in each.items()},
    )


def _moved(evaluation: EvaluationInfo, thing: str, corruption: str, change: Estimate) -> str:
    ends = (-change.high, -change.low) if change.below_zero else (change.low, change.high)
    way = "leaves" if change.below_zero else "enters"
    return (
        f"Under {corruption}, {format_percent(abs(change.value))} of the attention mass of {evaluation.label} {way} {thing} "
        f"{format_interval(*ends)}, more than under any other corruption."
    )


def _plain(estimate: Estimate) -> str:
    return format_interval(estimate.low, estimate.high, 3, 1)


def drift_sentence(cells: list[CellDrift], names: dict[str, str]) -> str:
    """Where attention moves most, beside the null: in each network, or of many in how many."""
    far = [max((c for c in cells if c.label == label), key=lambda c: c.shift)
           for label in dict.fromkeys(cell.label for cell in cells)]  # fmt: skip
    if len(far) > MAX_LISTED:
        return _shift_tally(far, names)
    amounts = [
        f"{format_number(c.shift, 2)} image{NO_BREAK}widths in {c.label} (null {format_number(c.null_median, 2)})"
        for c in far
    ]
    if len({c.corruption for c in far}) == 1:
        first = far[0]
        place = f"{lower_label(names[first.corruption])} at severity {format_severity(first.severity)}"
        return f"Attention moves most under {place}: {join_names(amounts)}"
    named = [f"{amount} under {lower_label(names[c.corruption])}" for amount, c in zip(amounts, far, strict=True)]
    return f"Attention moves at most by {join_names(named)}"


def _shift_tally(far: list[CellDrift], names: dict[str, str]) -> str:
    """Under which corruption how many networks' attention moves most, and the least and the largest of these shifts."""
    where = [c.corruption for c in far]
    ordered = sorted(set(where), key=lambda c: -where.count(c))
    tally = join_names(f"under {lower_label(names[c])} in {where.count(c)}" for c in ordered)
    ends = [f"{format_number(c.shift, 2)} in {c.label} (null {format_number(c.null_median, 2)})"
            for c in (min(far, key=lambda c: c.shift), max(far, key=lambda c: c.shift))]  # fmt: skip
    return (
        f"Of {len(far)} networks, attention moves most {tally}: from {ends[0]} to {ends[1]}, in image{NO_BREAK}widths"
    )
