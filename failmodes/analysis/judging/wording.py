"""Statements and verdicts in English."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Literal

from failmodes.analysis.judging.cells import MissingCell
from failmodes.analysis.judging.statement import WORDS, JudgedStatement, Plan, Verdict
from failmodes.analysis.render.formatting import (
    NO_BREAK,
    format_count,
    format_interval,
    format_number,
    format_points_interval,
    format_severity,
    join_names,
    precision,
    round_up,
)
from failmodes.analysis.statistics.estimate import Estimate, Word
from failmodes.analysis.statistics.opened_models import DescribedModel
from failmodes.analysis.statistics.run_rows import CellKey, ImagePairing
from failmodes.ingest.statements import statement_text
from failmodes.warehouse.schema import CLEAN

MOST_NAMES = 4  # corruptions in a line
MOST_CELLS = 3  # cells in a line
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


def title_text(judged: JudgedStatement) -> str:
    """The statement in English, after its name if it has one."""
    name = judged.statement.name
    return f"{name}: {english(judged)}" if name else english(judged)


def english(judged: JudgedStatement) -> str:
    """The statement in English."""
    if judged.plan is None:
        return statement_text(judged.statement)
    metric = judged.plan.metric
    return statement_text(judged.statement, metric.title, is_share=metric.unit == "share")


def cell_text(cell: tuple[str, float | None] | MissingCell) -> str:
    """One cell: fog 3, clean; fog without a severity."""
    corruption, severity = cell[:2]
    if corruption == CLEAN:
        return "clean"
    return corruption if severity is None else f"{corruption}{NO_BREAK}{format_severity(severity)}"


def result_text(judged: JudgedStatement) -> str:
    """The result of a statement in one line: the value that decides with its bounds, or why there is none."""
    deciding = judged.deciding
    if judged.plan is None:
        return deciding[0].reason
    if judged.verdict == "not_measurable":
        return missing_text(deciding)
    if len(judged.verdicts) == 1:
        note = f"; {judged.plan.note}" if judged.plan.note else ""
        return _value_and_bounds(judged.plan, deciding[0]) + note + _images_needed(judged)
    parts = [f"{where_text(one)}: {_value_and_bounds(judged.plan, one)}" for one in deciding[:MOST_CELLS]]
    if judged.verdict == "supported":
        return f"in all {len(deciding)} cells; closest to the limit: {parts[0]}"
    more = [f"{len(deciding) - MOST_CELLS:,} more"] if len(deciding) > MOST_CELLS else []
    return f"{_tally(judged)}: {'; '.join(parts + more)}{_images_needed(judged)}"


def missing_text(verdicts: Sequence[Verdict]) -> str:
    """The missing cells and for which model: fog 5 is missing for the candidate; undefined: no failure."""
    lacking = [cell for one in verdicts for cell in one.cells if isinstance(cell, MissingCell)]
    parts = []
    for side in dict.fromkeys(cell.lacked_by for cell in lacking):
        cells = [cell for cell in lacking if cell.lacked_by == side]
        verb = "is" if len(cells) == 1 else "are"
        whose = "both models" if side == "both" else f"the {side}"
        parts.append(f"{listed_cells(cells)} {verb} missing for {whose}")
    undefined = [one for one in verdicts if not any(isinstance(cell, MissingCell) for cell in one.cells)]
    parts += [f"undefined: {one.reason}" for one in undefined[:MOST_CELLS]]
    if len(undefined) > MOST_CELLS:
        parts.append(f"and not in {format_count(len(undefined) - MOST_CELLS, 'more cell')}")
    return "; ".join(parts)


def not_evaluated_text(verdicts: Sequence[Verdict]) -> str:
    """The same for one model, without its name: fog 5 was not evaluated."""
    cells = [cell for one in verdicts for cell in one.cells if isinstance(cell, MissingCell)]
    if not cells:
        return verdicts[0].reason
    return f"{listed_cells(cells)} {'was' if len(cells) == 1 else 'were'} not evaluated"


def where_text(one: Verdict) -> str:
    """The cell of one of several decisions; the corruption of a mean; '' for all corruptions."""
    if not one.cells:
        return ""
    first = one.cells[0]
    return cell_text(first) if len(one.cells) == 1 else first[0]


def estimate_text(plan: Plan, estimate: Estimate) -> str:
    """A value with both bounds: 43.1 points [40.1, 45.0]."""
    digits, scale = precision(plan.metric.unit)
    value = _with_unit(plan, format_number(scale * estimate.value, digits, signed=plan.statement.is_relative))
    return f"{value} {format_interval(estimate.low, estimate.high, digits, scale)}"


def _value_and_bounds(plan: Plan, one: Verdict) -> str:
    """The value of one decision with the bounds that decide it: −0.4 points (lower bound −1.3 points)."""
    if one.estimate is None:
        return one.reason
    value, low, high = (_amount(plan, number) for number in one.estimate)
    if one.verdict == "inconclusive":
        digits, scale = precision(plan.metric.unit)
        bounds = format_interval(one.estimate.low, one.estimate.high, digits + 1, scale)
        return f"{value} {bounds}" + (f"; {one.reason}" if one.reason else "")
    is_lower = plan.requirement.is_least == (one.verdict == "supported")
    return f"{value} ({f'lower bound {low}' if is_lower else f'upper bound {high}'})"


def listed_cells(cells: Sequence[MissingCell | CellKey]) -> str:
    """Some cells by name, the first of many: fog 3, fog 5 and snow 1."""
    names = [cell_text(cell) for cell in cells]
    if len(names) <= MOST_NAMES:
        return join_names(names)
    return join_names([*names[: MOST_NAMES - 1], f"{len(names) - MOST_NAMES + 1:,} more cells"])


def _tally(judged: JudgedStatement) -> str:
    """The number of cells by verdict: fail in 1 of 30 cells, inconclusive in 19."""
    counts = Counter(one.verdict for one in judged.verdicts)
    first, *others = [(gate_word(word), counts[word]) for word in WORDS if counts[word] and word != "supported"]
    cells = f"{first[0]} in {first[1]:,} of {format_count(len(judged.verdicts), 'cell')}"
    return ", ".join([cells, *(f"{word} in {count:,}" for word, count in others)])


def _images_needed(judged: JudgedStatement) -> str:
    """How many images would decide an inconclusive statement; '' for others."""
    if judged.verdict != "inconclusive" or judged.plan is None:
        return ""
    return f"; {images_needed_text(judged.images_needed, has_seeds=any(one.is_over_seeds for one in judged.verdicts))}"


def images_needed_text(images: int | None, *, has_seeds: bool = False) -> str:
    """How many images would decide an inconclusive statement; None if no number would."""
    if images is None:
        return "no number of images would decide it, since the value is on or very close to the limit"
    count = format_count(round_up(images), "image")
    if has_seeds:
        return f"at least {count}, or more training seeds, would decide it"
    return f"about {count} would decide it"


def accuracy_comparison(model: str, other: str, difference: Estimate, averaged: str) -> str:
    """Which of two models is more accurate: X is 3.0 points [1.2, 4.8] more accurate than Y, averaged over ….

    Args:
        model: the first.
        other: the second.
        difference: mean corrupted accuracy of the first minus that of the second.
        averaged: what the mean is over, such as "6 corruptions".
    """
    word, size = ("more", difference) if difference.value >= 0 else ("less", -difference)
    return f"{model} is {format_points_interval(size)} {word} accurate than {other}, averaged over {averaged}"


def images_text(pairing: ImagePairing | None, *models: DescribedModel) -> str:
    """The images on which models are compared: the same 400 images; 480 images shared by both."""
    if pairing is None:
        return format_count(models[0].image_count, "image")
    count, note = format_count(pairing.image_count, "image"), f" ({pairing.note})" if pairing.note else ""
    counts = join_names(f"{one.image_count:,} of {one.label}" for one in models)
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
    return f"over training seeds: {join_names(f'{len(one.evaluation_ids)} of {one.label}' for one in models)}"


def _amount(plan: Plan, value: float) -> str:
    """A value with one more digit than in tables, such as a hundredth of a point; a drop has no sign."""
    digits, scale = precision(plan.metric.unit)
    is_signed = plan.is_difference and not (plan.statement.is_drop or plan.statement.is_gap)
    return _with_unit(plan, format_number(scale * value, digits + 1, signed=is_signed))


def _with_unit(plan: Plan, number: str) -> str:
    if plan.metric.unit != "share":
        return f"{number}{NO_BREAK}nats" if plan.metric.unit == "nats" else number
    if not plan.is_difference:
        return f"{number}%"
    return f"{number}{NO_BREAK}{'point' if number == '1' else 'points'}"
