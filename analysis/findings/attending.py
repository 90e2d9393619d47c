"""Whether attention moves, how far beside its null, and whether it concentrates less."""

from dataclasses import replace

import duckdb

from analysis.attention import Change, Drift, change_at_last, changes_at_last, drift_at_last, why_missing
from analysis.findings.finding import Figures, Finding, Verdict
from analysis.reading import first_row
from analysis.selection import Evaluation, Selection, corruption_labels
from analysis.words import Estimate as Estimate
from analysis.words import counted, interval, listing, number, percent, points_with_interval, within

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
                   f"{why_missing(selection)}.", "undecided", {"evaluation_id": selection.ids[0]})  # fmt: skip


def _drift(evaluation: Evaluation, drift: list[Drift], names: dict[str, str]) -> Finding:
    groups = {verdict: [within(names[d.corruption]) for d in drift if d.verdict == verdict]
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
    figures: Figures = {"evaluation_id": evaluation.evaluation_id, "largest_median_shift": far.median_shift,
                        "its_null": far.median_null, "empty_count": empty}  # fmt: skip
    figures |= {f"drift_{d.corruption}": d.median_shift for d in drift}
    return Finding(
        "Attention",
        f"Attention of {evaluation.label} moves by up to {number(far.median_shift, 2)} {WIDTHS} (median, "
        f"{within(names[far.corruption])}) at the last severity; {'; '.join(parts)}.",
        f"Median centroid shift, for the class predicted on the clean image, farthest and nearest: {detail}. "
        f"The null is the distance to another image's clean map. {counted(empty, 'empty map')} left out.",
        verdict,
        figures,
    )


def _beside_null(drift: Drift, names: dict[str, str]) -> str:
    return (
        f"{within(names[drift.corruption])} {number(drift.median_shift, 2)}, null {number(drift.median_null, 2)} "
        f"(null minus drift, mean {number(drift.below_null.value, 3, signed=True)} {_plain(drift.below_null)})"
    )


def _which(members: list[str], measured: int) -> str:
    return "every corruption" if len(members) == measured > 1 else listing(members)


def _concentration(evaluation: Evaluation, changes: dict[str, Change], averaged: str) -> Finding:
    spread, entropy = changes.get("spread"), changes.get("attention_entropy_nats")
    mass = changes.get("mass")
    verdict, words = concentration_verdict([c.change for c in (spread, entropy) if c])
    told = [
        f"{name} {number(c.clean, 3)} {unit} clean, change {number(c.change.value, 3, signed=True)} {_plain(c.change)}"
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


def _caveat(mass: Change | None, entropy: Change | None) -> str:
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


def _mask(con: duckdb.DuckDBPyConnection, selection: Selection, share: Change) -> Finding:
    """How much of the map's mass lies inside the object mask; on digits that is the ink."""
    evaluation, names = selection.evaluations[0], corruption_labels(con)
    thing = "the ink" if evaluation.facts["dataset_name"] == "digits" else "the object mask"
    row = first_row(con, "select avg(mask_area) from images where dataset_id = ?", [evaluation.facts["dataset_id"]])
    area = row[0] if row else None
    found = {c: change_at_last(con, replace(selection, corruptions=(c,)), evaluation, share.measure)
             for c in selection.corruptions}  # fmt: skip
    each = {c: change for c, change in found.items() if change}
    moved = {c: change for c, change in each.items() if change.change.below_zero or change.change.above_zero}
    headline = f"The share of the attention mass of {evaluation.label} on {thing} does not change beyond noise."
    if moved:
        most = max(moved, key=lambda c: abs(moved[c].change.value))
        headline = _moved(evaluation, thing, within(names[most]), moved[most].change)
    covers = f" The mask covers {percent(area)} of an image, which an even map would score." if area else ""
    told = "; ".join(f"{within(names[c])} {points_with_interval(one.change)}" for c, one in each.items())
    figures: Figures = {"evaluation_id": evaluation.evaluation_id, "mask_share_clean": share.clean,
                        "mask_share_change": share.change.value, "mask_area": area}  # fmt: skip
    return Finding(
        "Attention",
        headline,
        f"Inside {thing}: {percent(share.clean)} of the mass when clean; change at the last severity, averaged over "
        f"{selection.averaged_words}, {points_with_interval(share.change)}; {told}.{covers}",
        "found" if moved else "undecided",
        figures | {f"mask_share_change_{c}": one.change.value for c, one in each.items()},
    )


def _moved(evaluation: Evaluation, thing: str, corruption: str, change: Estimate) -> str:
    ends = (-change.high, -change.low) if change.below_zero else (change.low, change.high)
    way = "leaves" if change.below_zero else "enters"
    return (
        f"Under {corruption}, {percent(abs(change.value))} of the attention mass of {evaluation.label} {way} {thing} "
        f"{interval(*ends)}, more than under any other corruption."
    )


def _plain(estimate: Estimate) -> str:
    return interval(estimate.low, estimate.high, 3, 1)
