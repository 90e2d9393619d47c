"""What a gate found, as lines for a terminal or the message of a failed test."""

from collections.abc import Iterator

from failmodes.analysis.formatting import NO_BREAK
from failmodes.analysis.gate.judged_gate import JudgedGate
from failmodes.analysis.gate.wording import (
    basis_phrase,
    counts_phrase,
    gate_title,
    limit_phrase,
    rule_statement,
    rule_title,
)

WORDS = {"holds": "holds", "broken": "BROKEN", "undecided": "undecided", "missing": "MISSING"}
WIDTH = max(len(word) for word in WORDS.values())


def gate_lines(gate: JudgedGate) -> Iterator[str]:
    """A line that says who is judged, one a rule, the sum, and what to do next."""
    yield f"{gate_title(gate)}, by {gate.origin}: {basis_phrase(gate)}"
    for judged in gate.rules:
        told = f"{rule_title(judged.plan)}: {rule_statement(judged)} (limit: {limit_phrase(judged.plan)})"
        yield f"{WORDS[judged.verdict]:{WIDTH}}  {told}"
    ends = "the gate passes" if gate.passed else "the gate stops"
    yield f"{counts_phrase(gate)}: {ends} (exit code {gate.exit_code})"
    yield from (f"next: {step}" for step in next_steps(gate))


def next_steps(gate: JudgedGate) -> list[str]:
    """What may be done about rules that do not hold."""
    counts, steps = gate.counts, []
    if counts["broken"] and gate.baseline is not None:
        steps.append("`failmodes compare` of the two shows where they differ")
    if counts["missing"]:
        steps.append("evaluate what is missing, or leave it out of the rule")
    if counts["undecided"]:
        more = "more images, or training seeds" if gate.is_about_training else "more images"
        steps.append(f"evaluate on {more}, allow more, or let undecided rules pass with `--undecided pass`")
    return steps


def gate_text(gate: JudgedGate) -> str:
    """The lines as one text, with plain spaces."""
    return "\n".join(gate_lines(gate)).replace(NO_BREAK, " ")
