"""What a gate found, as Markdown for a pull request or the summary of a pipeline."""

from dataclasses import replace

from failmodes.analysis.formatting import NO_BREAK, capitalize_first
from failmodes.analysis.gate.gate_text import ending, next_steps
from failmodes.analysis.gate.judged_gate import JudgedGate
from failmodes.analysis.gate.judging import Decision, JudgedRule
from failmodes.analysis.gate.rule_cells import MissingCell
from failmodes.analysis.gate.wording import (
    basis_phrase,
    counts_phrase,
    gate_title,
    limit_phrase,
    rule_statement,
    rule_title,
)
from failmodes.warehouse.markdown import harmless

WORDS = {"pass": "pass", "fail": "**fail**", "inconclusive": "inconclusive", "missing": "**missing**"}


def gate_markdown(gate: JudgedGate) -> str:
    """A heading with the verdict, what it rests on, a row a rule, and what to do next."""
    gate = _in_code(gate)
    lines = [
        f"### Gate {ending(gate)}: {gate_title(gate)}",
        "",
        f"{counts_phrase(gate)}, by {gate.origin}. {capitalize_first(basis_phrase(gate))}.",
        "",
        "| verdict | rule | limit | shown |",
        "| --- | --- | --- | --- |",
    ]
    for judged in gate.rules:
        texts = (WORDS[judged.verdict], rule_title(judged.plan), limit_phrase(judged.plan), rule_statement(judged))
        lines.append(f"| {' | '.join(text.replace('|', chr(92) + '|') for text in texts)} |")
    if steps := next_steps(gate):
        lines += ["", *(f"- {capitalize_first(step)}" for step in steps)]
    return "\n".join(lines).replace(NO_BREAK, " ") + "\n"


def _in_code(gate: JudgedGate) -> JudgedGate:
    """The same with all text from outside made harmless."""
    baseline, pairing = gate.baseline, gate.pairing
    return replace(
        gate,
        origin=harmless(gate.origin),
        candidate=replace(gate.candidate, label=harmless(gate.candidate.label)),
        baseline=baseline and replace(baseline, label=harmless(baseline.label)),
        pairing=pairing and replace(pairing, note=harmless(pairing.note)),
        rules=tuple(_rule(judged) for judged in gate.rules),
    )


def _rule(judged: JudgedRule) -> JudgedRule:
    rule = judged.plan.rule
    names = {
        "name": rule.name and harmless(rule.name),
        "corruptions": rule.corruptions and [harmless(name) for name in rule.corruptions],
    }
    plan = replace(judged.plan, rule=rule.model_copy(update=names))
    return JudgedRule(plan, tuple(_decision(decision) for decision in judged.decisions))


def _decision(decision: Decision) -> Decision:
    cells = tuple(
        cell._replace(corruption=harmless(cell.corruption))
        if isinstance(cell, MissingCell)
        else (harmless(cell[0]), cell[1])
        for cell in decision.cells
    )
    return replace(decision, cells=cells, reason=harmless(decision.reason))
