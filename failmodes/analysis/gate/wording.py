"""A rule and what is shown of it, in words: what the terminal, JUnit and Markdown share."""

from collections import Counter
from collections.abc import Sequence

from failmodes.analysis.formatting import MINUS, NO_BREAK, format_count, format_number, format_severity, join_names
from failmodes.analysis.gate.judged_gate import JudgedGate
from failmodes.analysis.gate.judging import NOT_STORED, VERDICTS, Decision, JudgedRule
from failmodes.analysis.gate.planned_rules import PlannedRule
from failmodes.analysis.gate.rule_cells import MissingCell
from failmodes.analysis.statistics.run_rows import CellKey
from failmodes.warehouse.schema import CLEAN

MOST_NAMES = 4  # corruptions that a line names
MOST_CELLS = 3  # cells that a line tells of


def rule_name(plan: PlannedRule) -> str:
    """The rule's own name, or what it is about."""
    return plan.rule.name or about_rule(plan)


def rule_title(plan: PlannedRule) -> str:
    """What the rule is about, behind its own name where it has one."""
    return f"{plan.rule.name}: {about_rule(plan)}" if plan.rule.name else about_rule(plan)


def about_rule(plan: PlannedRule) -> str:
    """What is measured where: accuracy, mean of fog at 3, 4 and 5."""
    return f"{metric_phrase(plan)}, {cells_phrase(plan)}"


def metric_phrase(plan: PlannedRule) -> str:
    """The metric, with its score where it takes one: AUGRC by confidence."""
    return f"{plan.metric.title} by {plan.score}" if plan.score else plan.metric.title


def cells_phrase(plan: PlannedRule) -> str:
    """Which cells: clean, mean of fog at 3, 4 and 5, each of all corruptions."""
    rule = plan.rule
    if rule.corruptions == [CLEAN]:
        return "clean"
    names = (
        ["all corruptions"] if rule.corruptions is None else ["clean" if c == CLEAN else c for c in rule.corruptions]
    )
    corruptions = join_names(names) if len(names) <= MOST_NAMES else f"{len(names)} corruptions"
    if rule.severities is None:
        return f"{rule.over} of {corruptions}"
    return f"{rule.over} of {corruptions} at {join_names(format_severity(float(s)) for s in sorted(rule.severities))}"


def cell_phrase(cell: CellKey | MissingCell) -> str:
    """One cell: fog 3, clean; fog where no severity of it is on record."""
    corruption, severity = cell[:2]
    if corruption == CLEAN:
        return "clean"
    return corruption if severity is None else f"{corruption}{NO_BREAK}{format_severity(severity)}"


def limit_phrase(plan: PlannedRule) -> str:
    """The limit: at most 1.0 points worse, at least 70.0 %."""
    if not plan.rule.is_relative:
        return f"{str(plan.rule.relation).replace('_', ' ')} {_limit_amount(plan)}"
    return f"at most {_limit_amount(plan)} worse" if plan.rule.bound else "no worse"


def value_phrase(plan: PlannedRule, value: float) -> str:
    """A value, or a difference with its sign."""
    return _amount(plan, value, signed=plan.rule.is_relative)


def shown_phrase(plan: PlannedRule, decision: Decision) -> str:
    """What is shown of a decision: −0.4 points, shown to be −1.3 points or more."""
    if decision.value is None or decision.passing_bound is None or decision.stopping_bound is None:
        return decision.reason
    value = value_phrase(plan, decision.value)
    towards_good, towards_bad = ("more", "less") if plan.requirement.is_least else ("less", "more")
    passing, stopping = value_phrase(plan, decision.passing_bound), value_phrase(plan, decision.stopping_bound)
    if decision.verdict == "pass":
        return f"{value}, shown to be {passing} or {towards_good}"
    if decision.verdict == "fail":
        return f"{value}, shown to be {stopping} or {towards_bad}"
    between = f"{passing} and {stopping}" if plan.requirement.is_least else f"{stopping} and {passing}"
    return f"{value}, it may be anything between {between}" + (f"; {decision.reason}" if decision.reason else "")


def rule_statement(judged: JudgedRule) -> str:
    """What is shown of a rule, in one line."""
    plan, deciding = judged.plan, judged.deciding
    if judged.verdict == "missing":
        return missing_phrase(deciding)
    if plan.rule.over == "mean" or len(judged.decisions) == 1:
        return shown_phrase(plan, deciding[0]) + images_needed_phrase(judged)
    parts = [f"{cell_phrase(one.cells[0])}: {shown_phrase(plan, one)}" for one in deciding[:MOST_CELLS]]
    if judged.verdict == "pass":
        return f"in all {len(deciding)} cells; nearest to the limit is {parts[0]}"
    more = [f"{len(deciding) - MOST_CELLS:,} more"] if len(deciding) > MOST_CELLS else []
    return f"{_tally(judged)}: {'; '.join(parts + more)}{images_needed_phrase(judged)}"


def images_needed_phrase(judged: JudgedRule | Decision) -> str:
    """What would decide what is inconclusive; empty for others."""
    if judged.verdict != "inconclusive":
        return ""
    if judged.images_needed is None:
        return "; no number of images would decide it, for a value lies on the limit, or nearly"
    images = f"{_rounded_up(judged.images_needed):,} images"
    decisions = judged.decisions if isinstance(judged, JudgedRule) else (judged,)
    if any(decision.is_over_runs for decision in decisions):
        return f"; at least {images} would decide it, or more training seeds"
    return f"; about {images} would decide it"


def missing_phrase(decisions: Sequence[Decision]) -> str:
    """What is missing, and whose: fog 5 is not on record of the candidate; not defined in clean: no failure."""
    lacking = [cell for one in decisions for cell in one.cells if isinstance(cell, MissingCell)]
    parts = []
    for side in dict.fromkeys(cell.lacked_by for cell in lacking):
        cells = [cell for cell in lacking if cell.lacked_by == side]
        verb = "is" if len(cells) == 1 else "are"
        whose = "either model" if side == "both" else f"the {side}"
        parts.append(f"{_listed(cells)} {verb} {NOT_STORED} of {whose}")
    undefined = [one for one in decisions if not isinstance(one.cells[0], MissingCell)]
    parts += [f"not defined: {one.reason}" for one in undefined[:MOST_CELLS]]
    if len(undefined) > MOST_CELLS:
        parts.append(f"and not in {format_count(len(undefined) - MOST_CELLS, 'more cell')}")
    return "; ".join(parts)


def gate_title(gate: JudgedGate) -> str:
    """Who is judged against whom."""
    against = f" against {gate.baseline.label}" if gate.baseline else ""
    return f"{gate.candidate.label}{against}"


def basis_phrase(gate: JudgedGate) -> str:
    """What statements rest on: level, images, checkpoints or training seeds."""
    return f"{100 * gate.level:.10g}{NO_BREAK}% level; {images_phrase(gate)}; {about_phrase(gate)}"


def images_phrase(gate: JudgedGate) -> str:
    """Which images were compared."""
    pairing = gate.pairing
    if pairing is None:
        return format_count(gate.candidate.image_count, "image")
    images = format_count(pairing.image_count, "image")
    if pairing.kind == "same":
        return f"the same {images}" + (f" ({pairing.note})" if pairing.note else "")
    kind = "those that both saw" if pairing.kind == "common" else "different ones, compared as independent samples"
    if pairing.kind == "different" and gate.baseline is not None:
        images = f"{format_count(gate.candidate.image_count, 'image')} and {gate.baseline.image_count:,}"
    return f"{images} ({kind}; {pairing.note})" if pairing.note else f"{images} ({kind})"


def about_phrase(gate: JudgedGate) -> str:
    """What statements are about: checkpoints, or models over training seeds."""
    if not gate.is_about_training:
        return "about these checkpoints, not about training them again"
    counts = [len(model.evaluation_ids) for model in (gate.candidate, gate.baseline) if model is not None]
    return f"over {' and '.join(map(str, counts))} training seeds"


def counts_phrase(gate: JudgedGate) -> str:
    """How many rules have which verdict: 2 of 4 rules pass, 1 fails, 1 is inconclusive."""
    counts = gate.counts
    verb = "passes" if 1 in (counts["pass"], len(gate.rules)) else "pass"
    parts = [f"{counts['pass']} of {format_count(len(gate.rules), 'rule')} {verb}"]
    parts += [f"{counts['fail']} {'fails' if counts['fail'] == 1 else 'fail'}"] if counts["fail"] else []
    is_are = "is" if counts["inconclusive"] == 1 else "are"
    parts += [f"{counts['inconclusive']} {is_are} inconclusive"] if counts["inconclusive"] else []
    parts += [f"{counts['missing']} cannot be judged"] if counts["missing"] else []
    return ", ".join(parts)


def _amount(plan: PlannedRule, value: float, *, signed: bool = False) -> str:
    """A measured value: to a hundredth of a point or per cent, others to four digits."""
    is_share = plan.metric.unit == "share"
    return _with_unit(plan, format_number(100 * value if is_share else value, 2 if is_share else 4, signed=signed))


def _limit_amount(plan: PlannedRule) -> str:
    """The limit as it was written: 1 point, 2.5 points, 70 %."""
    limit = plan.rule.bound * (100 if plan.metric.unit == "share" else 1)
    return _with_unit(plan, f"{limit:.10g}".replace("-", MINUS))


def _with_unit(plan: PlannedRule, number: str) -> str:
    if plan.metric.unit != "share":
        return f"{number}{NO_BREAK}nats" if plan.metric.unit == "nats" else number
    unit = ("point" if number == "1" else "points") if plan.rule.is_relative else "%"
    return f"{number}{NO_BREAK}{unit}"


def _tally(judged: JudgedRule) -> str:
    """Of how many cells what is shown: fail in 1 of 30 cells, inconclusive in 19."""
    counts = Counter(decision.verdict for decision in judged.decisions)
    first, *others = [verdict for verdict in VERDICTS if counts[verdict] and verdict != "pass"]
    cells = format_count(len(judged.decisions), "cell")
    return ", ".join([f"{first} in {counts[first]:,} of {cells}", *(f"{v} in {counts[v]:,}" for v in others)])


def _listed(cells: Sequence[CellKey | MissingCell]) -> str:
    names = [cell_phrase(cell) for cell in cells]
    if len(names) <= MOST_NAMES:
        return join_names(names)
    return join_names([*names[: MOST_NAMES - 1], f"{len(names) - MOST_NAMES + 1:,} more cells"])


def _rounded_up(count: int) -> int:
    """To two digits: no estimate of images that are needed is better."""
    step = int(10 ** max(0, len(str(count)) - 2))
    return -(-count // step) * step
