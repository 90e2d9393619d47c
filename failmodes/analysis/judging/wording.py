"""Statements and verdicts in English."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal

from failmodes.analysis.judging.cells import MissingCell
from failmodes.analysis.judging.judge import WORDS, Decision, Question, Verdict
from failmodes.analysis.judging.statement import DIFFERENCES, UNSIGNED, statement_text
from failmodes.analysis.render.formatting import (
    NO_BREAK,
    format_count,
    format_estimate,
    format_points_interval,
    format_severity,
    format_value,
    join_names,
    round_up,
)
from failmodes.analysis.statistics.estimate import Estimate, Word
from failmodes.analysis.statistics.opened_models import DescribedModel
from failmodes.analysis.statistics.run_rows import CellKey, ImagePairing
from failmodes.ingest.statements import ModelDifference, as_table
from failmodes.warehouse.schema import CLEAN

JSON_VERSION = 1
MAX_NAMES = 4  # corruptions in a line
MAX_CELLS = 3  # cells in a line
MARKS: dict[Word, str] = {"supported": "✓", "contradicted": "✗", "inconclusive": "?", "not_measurable": "–"}
GATE_WORDS: dict[Word, str] = {
    "supported": "pass", "contradicted": "fail", "inconclusive": "inconclusive", "not_measurable": "not_measurable",
}  # fmt: skip
CASE_OUTCOMES: dict[Word, Literal["passed", "failure", "error", "skipped"]] = {
    "supported": "passed", "contradicted": "failure", "inconclusive": "skipped", "not_measurable": "error",
}  # fmt: skip


def gate_word(word: Word) -> str:
    """A verdict as a gate prints it."""
    return GATE_WORDS[word].replace("_", " ")


def tally_verdicts(verdicts: Collection[Word], name: Callable[[Word], str] = str) -> str:
    """How often each verdict occurs: 3 supported and 1 inconclusive."""
    counts = Counter(verdicts)
    return join_names(f"{counts[word]:,} {name(word).replace('_', ' ')}" for word in MARKS if counts[word])


def title_text(judged: Verdict) -> str:
    """The statement in English, after its name if it has one."""
    name = judged.statement.name
    return f"{name}: {english(judged)}" if name else english(judged)


def english(judged: Verdict) -> str:
    """The statement in English."""
    return statement_text(judged.statement, judged.question.metric if judged.question else None)


def cell_text(cell: tuple[str, float | None] | MissingCell) -> str:
    """One cell: fog 3, clean; fog without a severity."""
    corruption, severity = cell[:2]
    if corruption == CLEAN:
        return "clean"
    return corruption if severity is None else f"{corruption}{NO_BREAK}{format_severity(severity)}"


def result_text(judged: Verdict) -> str:
    """The result of a statement in one line: the value that decides with its bounds, or why there is none."""
    deciding = judged.deciding
    if judged.question is None:
        return deciding[0].reason
    if judged.verdict == "not_measurable":
        return missing_text(deciding)
    if len(judged.decisions) == 1:
        note = f"; {judged.question.note}" if judged.question.note else ""
        return _value_and_bounds(judged.question, deciding[0]) + note + _images_needed(judged)
    parts = [
        f"{where_text(decision)}: {_value_and_bounds(judged.question, decision)}" for decision in deciding[:MAX_CELLS]
    ]
    if judged.verdict == "supported":
        return f"in all {len(deciding)} cells; closest to the limit: {parts[0]}"
    more = [f"{len(deciding) - MAX_CELLS:,} more"] if len(deciding) > MAX_CELLS else []
    return f"{_tally(judged)}: {'; '.join(parts + more)}{_images_needed(judged)}"


def missing_text(decisions: Sequence[Decision]) -> str:
    """The missing cells and for which model: fog 5 is missing for the candidate; undefined: no failure."""
    lacking = [cell for decision in decisions for cell in decision.cells if isinstance(cell, MissingCell)]
    parts = []
    for side in dict.fromkeys(cell.lacked_by for cell in lacking):
        cells = [cell for cell in lacking if cell.lacked_by == side]
        verb = "is" if len(cells) == 1 else "are"
        whose = "both models" if side == "both" else f"the {side}"
        parts.append(f"{listed_cells(cells)} {verb} missing for {whose}")
    undefined = [one for one in decisions if not any(isinstance(cell, MissingCell) for cell in one.cells)]
    parts += [f"undefined: {decision.reason}" for decision in undefined[:MAX_CELLS]]
    if len(undefined) > MAX_CELLS:
        parts.append(f"and not in {format_count(len(undefined) - MAX_CELLS, 'more cell')}")
    return "; ".join(parts)


def not_evaluated_text(decisions: Sequence[Decision]) -> str:
    """The same for one model, without its name: fog 5 was not evaluated."""
    cells = [cell for decision in decisions for cell in decision.cells if isinstance(cell, MissingCell)]
    if not cells:
        return decisions[0].reason
    return f"{listed_cells(cells)} {'was' if len(cells) == 1 else 'were'} not evaluated"


def where_text(decision: Decision) -> str:
    """The cell of one of several decisions; the corruption of a mean; '' for all corruptions."""
    if not decision.cells:
        return ""
    first = decision.cells[0]
    return cell_text(first) if len(decision.cells) == 1 else first[0]


def estimate_text(question: Question, estimate: Estimate) -> str:
    """A value with both bounds: 43.1 points [40.1, 45.0]."""
    return format_estimate(estimate, estimate.unit, signed=isinstance(question.statement, ModelDifference))


def _value_and_bounds(question: Question, decision: Decision) -> str:
    """The value of one decision with the bounds that decide it: −0.4 points (lower bound −1.3 points).

    With one more digit than in tables, such as a hundredth of a point; a drop or gap has no sign.
    """
    estimate = decision.estimate
    if estimate is None:
        return decision.reason
    is_signed = isinstance(question.statement, DIFFERENCES) and not isinstance(question.statement, UNSIGNED)
    if decision.verdict == "inconclusive":
        text = format_estimate(estimate, estimate.unit, more_digits=1, signed=is_signed)
        return f"{text}; {decision.reason}" if decision.reason else text
    value, low, high = (format_value(end, estimate.unit, more_digits=1, signed=is_signed) for end in estimate[:3])
    is_lower = question.requirement.is_least == (decision.verdict == "supported")
    return f"{value} ({f'lower bound {low}' if is_lower else f'upper bound {high}'})"


def listed_cells(cells: Sequence[MissingCell | CellKey]) -> str:
    """Some cells by name, the first of many: fog 3, fog 5 and snow 1."""
    names = [cell_text(cell) for cell in cells]
    if len(names) <= MAX_NAMES:
        return join_names(names)
    return join_names([*names[: MAX_NAMES - 1], f"{len(names) - MAX_NAMES + 1:,} more cells"])


def _tally(judged: Verdict) -> str:
    """The number of cells by verdict: fail in 1 of 30 cells, inconclusive in 19."""
    counts = Counter(decision.verdict for decision in judged.decisions)
    first, *others = [(gate_word(word), counts[word]) for word in WORDS if counts[word] and word != "supported"]
    cells = f"{first[0]} in {first[1]:,} of {format_count(len(judged.decisions), 'cell')}"
    return ", ".join([cells, *(f"{word} in {count:,}" for word, count in others)])


def _images_needed(judged: Verdict) -> str:
    """How many images would decide an inconclusive statement; '' for others."""
    if judged.verdict != "inconclusive" or judged.question is None:
        return ""
    has_seeds = any(one.estimate and one.estimate.seeds for one in judged.decisions)
    return f"; {images_needed_text(judged.images_needed, has_seeds=has_seeds)}"


def images_needed_text(images: int | None, *, has_seeds: bool = False) -> str:
    """How many images would decide an inconclusive statement; None if no number would."""
    if images is None:
        return "no number of images would decide it, since the value is on or very close to the limit"
    count = format_count(round_up(images), "image")
    if has_seeds:
        return f"at least {count}, or more training seeds, may decide it if the truth is as measured"
    return f"about {count} may decide it if the truth is as measured"


def accuracy_comparison(model: str, other: str, difference: Estimate, average: str) -> str:
    """Which of two models is more accurate: X is 3.0 points [1.2, 4.8] more accurate than Y, averaged over ….

    Args:
        model: the first.
        other: the second.
        difference: mean accuracy of the first minus that of the second.
        average: what the mean is over, such as "averaged over 6 corruptions" or "on clean images".
    """
    word, size = ("more", difference) if difference.value >= 0 else ("less", -difference)
    comma = ", " if average.startswith("averaged") else " "
    return f"{model} is {format_points_interval(size)} {word} accurate than {other}{comma}{average}"


def images_text(pairing: ImagePairing | None, *models: DescribedModel) -> str:
    """The images on which models are compared: the same 400 images; 480 images shared by both."""
    if pairing is None:
        return format_count(models[0].image_count, "image")
    count = format_count(pairing.image_count, "image")
    note = f" ({pairing.note})" if pairing.note else ""
    counts = join_names(f"{model.image_count:,} of {model.label}" for model in models)
    said = {
        "same": f"the same {count}",
        "common": f"{count} shared by both",
        "different": f"different images, {counts}, compared as independent samples",
    }
    return f"{said[pairing.kind]}{note}"


def about_text(is_about_training: bool, *models: DescribedModel) -> str:
    """The scope of a statement: these checkpoints, or training seeds."""
    if not is_about_training:
        return "these checkpoints only, not retraining"
    noun = "runs" if all(model.seeds_are_runs for model in models) else "training seeds"
    return f"over {noun}: {join_names(f'{len(model.evaluation_ids)} of {model.label}' for model in models)}"


def json_head(command: str, level: float | None) -> dict[str, Any]:
    """The first keys of JSON of claims, gate and compare; docs/gate.md describes all."""
    return {"version": JSON_VERSION, "command": command, "level": level}


def json_verdict(judged: Verdict, **more: Any) -> dict[str, Any]:
    """A verdict as JSON of claims, gate and compare has it, with more keys of a command."""
    metric = judged.question and judged.question.metric
    return {
        "name": judged.statement.name,
        "statement": english(judged),
        "keys": as_table(judged.statement),
        "verdict": judged.verdict,
        "result": result_text(judged),
        "score": judged.question and judged.question.score,
        "better": metric and metric.better,
        "images_needed": judged.images_needed,
        "decisions": [json_decision(decision) for decision in judged.decisions],
        **more,
    }


def json_decision(decision: Decision) -> dict[str, Any]:
    """A decision as JSON has it: its estimate and cells."""
    estimate = decision.estimate._asdict() if decision.estimate else dict.fromkeys(Estimate._fields)
    return {
        "verdict": decision.verdict,
        "cells": [{"corruption": cell[0], "severity": cell[1]} for cell in decision.cells],
        **estimate,
        "images_needed": decision.images_needed,
        "reason": decision.reason or None,
    }
