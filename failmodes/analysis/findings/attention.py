"""Whether attention stays near its clean centroid, and whether it leaves the object: findings and chart titles."""

from collections.abc import Mapping

import duckdb

from failmodes.analysis.findings.finding import Finding, Verdict, judged, of_images, rows_of
from failmodes.analysis.formatting import (
    MAX_LISTED,
    NO_BREAK,
    capitalize_first,
    format_number,
    format_percent_interval,
    format_points_interval,
    join_names,
    lower_label,
)
from failmodes.analysis.selection import EvaluationInfo, Selection, corruption_labels
from failmodes.analysis.statistics.attention import Lead, OwnMapTest, attention_at_last, missing_drift_reason
from failmodes.analysis.statistics.bootstrap import Estimate

WIDTHS = f"image{NO_BREAK}widths"
VERDICTS: dict[str, Verdict] = {"nearer": "supported", "farther": "contradicted", "inconclusive": "inconclusive"}
Names = Mapping[str, str]


def attention_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """For each model and corruption: own clean centroid against another's of the class, and the object mask."""
    names = {corruption: lower_label(label) for corruption, label in corruption_labels(con).items()}
    found = []
    for evaluation in selection.evaluations:
        attention = attention_at_last(con, evaluation, selection.corruptions)
        found += [_own_map(evaluation, test, names) for test in attention.own_maps]
        if not attention.own_maps:
            found.append(_missing(selection.only(evaluation)))
        found += [
            _mask(selection, evaluation, corruption, change, names, is_beyond_null=attention.has_mask_null)
            for corruption, change in attention.mask_changes.items()
        ]
        if attention.own_maps and not attention.mask_changes:
            found.append(_without_masks(selection, evaluation))
    return found


def _missing(selection: Selection) -> Finding:
    """Why nothing can be said of the attention of the selection's one evaluation."""
    (evaluation,) = selection.evaluations
    return judged(
        "attention_drift",
        "inconclusive",
        evaluation,
        f"Nothing can be said of the attention of {evaluation.label}: {missing_drift_reason(selection)}.",
        rows_of("evaluations", evaluation),
        n=selection.image_count,
        unit="share of images",
    )


def _own_map(evaluation: EvaluationInfo, test: OwnMapTest, names: Names) -> Finding:
    """In words the centroid, not the map; an empty map counts one half, and the verdict holds in the worst case too."""
    verdict = VERDICTS[test.verdict]
    if verdict == "supported" and not test.holds_in_worst_case:
        verdict = "inconclusive"
    statement = "ends nearer to its own clean centroid than to another image's of the class in"
    return judged(
        "attention_drift",
        verdict,
        evaluation,
        f"Under {names[test.corruption]} attention of {evaluation.label} {statement} "
        f"{format_percent_interval(test.share)} "
        f"{of_images(test.image_count)}.",
        rows_of("attention_drift", evaluation, test.corruption),
        n=test.image_count,
        unit="share of images",
        estimate=test.share,
        corruption=test.corruption,
    )


def object_word(evaluation: EvaluationInfo) -> str:
    """What the masks of an evaluation's images show."""
    return "the ink" if evaluation.facts["dataset_name"] == "digits" else "the object"


def _mask(
    selection: Selection, evaluation: EvaluationInfo, corruption: str, change: Estimate, names: Names, *,
    is_beyond_null: bool,
) -> Finding:  # fmt: skip
    """The change of the share of attention on the object, beyond that of another image's map where it is on record."""
    mask, (value, low, high) = object_word(evaluation), change
    verdict: Verdict = "supported" if change.below_zero else "contradicted" if change.above_zero else "inconclusive"
    statement = f"{format_points_interval((-value, -high, -low))} of the attention of {evaluation.label} leave {mask}"
    null = ", beyond what another image's map loses there" if is_beyond_null else ""
    if verdict == "contradicted":
        statement = f"{format_points_interval(change)} more of the attention of {evaluation.label} lie on {mask}"
        null = ", beyond what another image's map gains there" if is_beyond_null else ""
    if verdict == "inconclusive":
        null = ", less that of another image's map," if is_beyond_null else ""
        statement = f"the share of attention of {evaluation.label} on {mask}{null} changes by"
        statement, null = f"{statement} {format_points_interval(change)}", ""
    return judged(
        "attention_off_object",
        verdict,
        evaluation,
        f"Under {names[corruption]} {statement}{null} {of_images(selection.image_count)}.",
        rows_of("attention_on_object", evaluation, corruption),
        n=selection.image_count,
        unit="share of attention",
        estimate=change,
        corruption=corruption,
    )


def _without_masks(selection: Selection, evaluation: EvaluationInfo) -> Finding:
    return judged(
        "attention_off_object",
        "inconclusive",
        evaluation,
        f"Whether attention of {evaluation.label} leaves the object is inconclusive: there are no object masks.",
        rows_of("attention_on_object", evaluation),
        n=selection.image_count,
        unit="share of attention",
    )


def drift_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Where attention moves most, where that is clear: of each model, or of many in how many."""
    names = {corruption: lower_label(label) for corruption, label in corruption_labels(con).items()}
    leads = {e.label: attention_at_last(con, e, selection.corruptions).farthest for e in selection.evaluations}
    known = {label: lead for label, lead in leads.items() if lead}
    clear = {label: lead for label, lead in known.items() if lead.is_clear}
    if len(known) > MAX_LISTED:
        return f"Under one corruption attention moves more than under any other in {len(clear)} of {len(known)} models"
    each = [_farthest(label, lead, names) for label, lead in known.items()]
    return capitalize_first(join_names(each)) if each else "Too few images have maps to say where attention moves most"


def _farthest(label: str, lead: Lead, names: Names) -> str:
    shift = f"{format_number(lead.value, 2)} {WIDTHS}"
    if lead.is_clear:
        return f"attention of {label} moves most under {names[lead.corruption]}: {shift}"
    other = names[lead.runner_up] if lead.runner_up else "others"
    return f"attention of {label} moves {shift} under {names[lead.corruption]}, not told apart from {other}"
