"""Statements and what is shown of them, in words."""

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

MOST_NAMES = 4  # corruptions that a line names
MOST_CELLS = 3  # cells that a line lists
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
    """The statement in English, behind its own name where it has one."""
    name = judged.statement.name
    return f"{name}: {english(judged)}" if name else english(judged)


def english(judged: JudgedStatement) -> str:
    """The statement in English."""
    if judged.plan is None:
        return statement_text(judged.statement)
    metric = judged.plan.metric
    return statement_text(judged.statement, metric.title, is_share=metric.unit == "share")


def cell_text(cell: CellKey | MissingCell | tuple[str, None]) -> str:
    """One cell: fog 3, clean; fog where it has no severity."""
    corruption, severity = cell[:2]
    if corruption == CLEAN:
        return "clean"
    return corruption if severity is None else f"{corruption}{NO_BREAK}{format_severity(severity)}"


def result_text(judged: JudgedStatement) -> str:
    """What is shown of a statement, in one line."""
    deciding = judged.deciding
    if judged.plan is None:
        return deciding[0].reason
    if judged.verdict == "not_measurable":
        return missing_text(deciding)
    if len(judged.verdicts) == 1:
        return _value_and_bounds(judged.plan, deciding[0]) + _images_needed(judged)
    parts = [f"{where_text(one)}: {_value_and_bounds(judged.plan, one)}" for one in deciding[:MOST_CELLS]]
    if judged.verdict == "supported":
        return f"in all {len(deciding)} cells; nearest to the limit is {parts[0]}"
    more = [f"{len(deciding) - MOST_CELLS:,} more"] if len(deciding) > MOST_CELLS else []
    return f"{_tally(judged)}: {'; '.join(parts + more)}{_images_needed(judged)}"


def missing_text(verdicts: Sequence[Verdict]) -> str:
    """What is missing, and for which model: fog 5 is missing for the candidate; not defined: no failure."""
    lacking = [cell for one in verdicts for cell in one.cells if isinstance(cell, MissingCell)]
    parts = []
    for side in dict.fromkeys(cell.lacked_by for cell in lacking):
        cells = [cell for cell in lacking if cell.lacked_by == side]
        verb = "is" if len(cells) == 1 else "are"
        whose = "both models" if side == "both" else f"the {side}"
        parts.append(f"{listed_cells(cells)} {verb} missing for {whose}")
    undefined = [one for one in verdicts if not any(isinstance(cell, MissingCell) for cell in one.cells)]
    parts += [f"not defined: {one.reason}" for one in undefined[:MOST_CELLS]]
    if len(undefined) > MOST_CELLS:
        parts.append(f"and not in {format_count(len(undefined) - MOST_CELLS, 'more cell')}")
    return "; ".join(parts)


def not_evaluated_text(verdicts: Sequence[Verdict]) -> str:
    """The same of one model, which needs no name: fog 5 was not evaluated."""
    cells = [cell for one in verdicts for cell in one.cells if isinstance(cell, MissingCell)]
    if not cells:
        return verdicts[0].reason
    return f"{listed_cells(cells)} {'was' if len(cells) == 1 else 'were'} not evaluated"


def where_text(one: Verdict) -> str:
    """The cell of one of several decisions; of a mean its corruption; of all corruptions nothing."""
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
    """What is shown of one decision: −0.4 points, shown to be −1.3 points or more."""
    if one.estimate is None:
        return one.reason
    requirement = plan.requirement
    value, low, high = (_amount(plan, number) for number in one.estimate)
    passing, opposing = (low, high) if requirement.is_least else (high, low)
    better, worse = ("more", "less") if requirement.is_least else ("less", "more")
    if one.verdict == "supported":
        return f"{value}, shown to be {passing} or {better}"
    if one.verdict == "contradicted":
        return f"{value}, shown to be {opposing} or {worse}"
    return f"{value}, it may be anything between {low} and {high}" + (f"; {one.reason}" if one.reason else "")


def listed_cells(cells: Sequence[MissingCell | CellKey]) -> str:
    """Some cells by name, the first of many: fog 3, fog 5 and snow 1."""
    names = [cell_text(cell) for cell in cells]
    if len(names) <= MOST_NAMES:
        return join_names(names)
    return join_names([*names[: MOST_NAMES - 1], f"{len(names) - MOST_NAMES + 1:,} more cells"])


def _tally(judged: JudgedStatement) -> str:
    """Of how many cells what is shown: fail in 1 of 30 cells, inconclusive in 19."""
    counts = Counter(one.verdict for one in judged.verdicts)
    first, *others = [(gate_word(word), counts[word]) for word in WORDS if counts[word] and word != "supported"]
    cells = f"{first[0]} in {first[1]:,} of {format_count(len(judged.verdicts), 'cell')}"
    return ", ".join([cells, *(f"{word} in {count:,}" for word, count in others)])


def _images_needed(judged: JudgedStatement) -> str:
    """How many images would decide what is inconclusive; empty for others."""
    if judged.verdict != "inconclusive" or judged.plan is None:
        return ""
    return f"; {decided_by(judged.images_needed, has_seeds=any(one.is_over_seeds for one in judged.verdicts))}"


def decided_by(images: int | None, *, has_seeds: bool) -> str:
    """How many images would decide what is inconclusive; None where no number would."""
    if images is None:
        return "no number of images would decide it, since a value lies on or very near the limit"
    count = format_count(round_up(images), "image")
    return (
        f"at least {count} would decide it, or more training seeds" if has_seeds else f"about {count} would decide it"
    )


def images_text(pairing: ImagePairing | None, *models: DescribedModel) -> str:
    """Which images models are judged on: the same 400 images; 480 images that both were evaluated on."""
    if pairing is None:
        return format_count(models[0].image_count, "image")
    count, note = format_count(pairing.image_count, "image"), f" ({pairing.note})" if pairing.note else ""
    counts = join_names(f"{one.image_count:,} of {one.label}" for one in models)
    said = {
        "same": f"the same {count}",
        "common": f"{count} that both were evaluated on",
        "different": f"different images, {counts}, compared as independent samples",
    }
    return f"{said[pairing.kind]}{note}"


def about_text(is_about_training: bool, *models: DescribedModel) -> str:
    """What a statement is about: checkpoints, or the training of models."""
    if not is_about_training:
        return "about these checkpoints, not about retraining"
    return f"over training seeds: {join_names(f'{len(one.evaluation_ids)} of {one.label}' for one in models)}"


def _amount(plan: Plan, value: float) -> str:
    """A measured value with a digit more than in tables, such as a hundredth of a point; a drop has no sign."""
    digits, scale = precision(plan.metric.unit)
    is_signed = plan.is_difference and not plan.statement.is_drop
    return _with_unit(plan, format_number(scale * value, digits + 1, signed=is_signed))


def _with_unit(plan: Plan, number: str) -> str:
    if plan.metric.unit != "share":
        return f"{number}{NO_BREAK}nats" if plan.metric.unit == "nats" else number
    if not plan.is_difference:
        return f"{number}%"
    return f"{number}{NO_BREAK}{'point' if number == '1' else 'points'}"
