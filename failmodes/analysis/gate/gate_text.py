"""What a gate found, as lines for a terminal or the message of a failed test."""

from failmodes.analysis.formatting import NO_BREAK
from failmodes.analysis.gate.judged_gate import JudgedGate
from failmodes.analysis.gate.judging import VERDICTS, JudgedRule
from failmodes.analysis.gate.wording import (
    basis_phrase,
    cell_phrase,
    counts_phrase,
    gate_title,
    limit_phrase,
    rule_name,
    rule_statement,
    rule_title,
    value_phrase,
)
from failmodes.warehouse.errors import printable
from failmodes.warehouse.runner_commands import without_commands

WORDS = {"pass": "pass", "fail": "FAIL", "inconclusive": "inconclusive", "missing": "MISSING"}
WIDTH = max(len(word) for word in WORDS.values())


def gate_text(gate: JudgedGate) -> str:
    """The lines as one text."""
    return "\n".join(gate_lines(gate))


def gate_lines(gate: JudgedGate) -> list[str]:
    """A line that says who is judged, one a rule, the sum, and what to do next; labels from outside are only shown."""
    lines = [f"{gate_title(gate)}, by {gate.origin}: {basis_phrase(gate)}"]
    for judged in gate.rules:
        statement = f"{rule_title(judged.plan)}: {rule_statement(judged)} (limit: {limit_phrase(judged.plan)})"
        lines.append(f"{WORDS[judged.verdict]:{WIDTH}}  {statement}")
    lines.append(f"{counts_phrase(gate)}: the gate {ending(gate)} (exit code {gate.exit_code})")
    lines += [f"next: {step}" for step in next_steps(gate)]
    return [without_commands(printable(line, len(line)).replace(NO_BREAK, " ")) for line in lines]


def gate_summary(gate: JudgedGate) -> str:
    """One line, which begins with what does not hold: a failed test shows no more of it than some 200 letters."""
    statements = [
        f"{WORDS[verdict]} {rule_name(judged.plan)} ({_first_decision(judged)})"
        for verdict in VERDICTS
        for judged in gate.rules
        if judged.verdict == verdict != "pass"
    ]
    line = f"gate {ending(gate)}: {'; '.join(statements or [counts_phrase(gate)])}"
    return without_commands(printable(line, len(line)).replace(NO_BREAK, " "))


def ending(gate: JudgedGate) -> str:
    """What the gate does."""
    return "passes" if gate.passed else "stops"


def next_steps(gate: JudgedGate) -> list[str]:
    """What may be done about rules that do not hold."""
    counts, steps = gate.counts, []
    if counts["fail"] and gate.baseline is not None:
        steps.append("`failmodes compare` of the two shows where they differ")
    if counts["missing"]:
        steps.append("evaluate what is missing, or leave it out of the rule")
    if counts["inconclusive"]:
        more = "more images, or training seeds" if gate.is_about_training else "more images"
        stop = ", allow more, or let inconclusive rules pass with `--inconclusive pass`"
        steps.append(f"evaluate on {more}{stop if gate.inconclusive == 'stop' else ', or allow more'}")
    return steps


def _first_decision(judged: JudgedRule) -> str:
    """Value and limit of the decision that is worst: contrast 4: −9.00 points, limit: at most 2 points worse."""
    worst, plan = judged.deciding[0], judged.plan
    text = worst.reason if worst.value is None else value_phrase(plan, worst.value)
    if plan.rule.over == "each" or worst.value is None:
        text = f"{cell_phrase(worst.cells[0])}: {text}"
    return f"{text}, limit: {limit_phrase(plan)}"
