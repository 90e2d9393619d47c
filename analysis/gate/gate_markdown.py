"""What a gate found, as Markdown for a pull request or the summary of a pipeline."""

import re

from failmodes.analysis.formatting import NO_BREAK, capitalize_first
from failmodes.analysis.gate.gate_text import next_steps
from failmodes.analysis.gate.judged_gate import JudgedGate
from failmodes.analysis.gate.wording import (
    basis_phrase,
    counts_phrase,
    gate_title,
    limit_phrase,
    rule_statement,
    rule_title,
)
from failmodes.warehouse.errors import printable

WORDS = {"holds": "holds", "broken": "**broken**", "undecided": "undecided", "missing": "**missing**"}
# Words and figures, which Markdown shows as they are; a colon or a dot within a word may be a link or a picture's name
_PLAIN = re.compile(r"(?:[\w ,;()%+\u2212'\"-]|:(?= )|\.(?=[ \d]|$))*")


def gate_markdown(gate: JudgedGate) -> str:
    """A heading with the verdict, what it rests on, a row a rule, and what to do next."""
    lines = [
        f"### Gate {'passes' if gate.passed else 'stops'}: {_shown(gate_title(gate))}",
        "",
        f"{_shown(counts_phrase(gate))}, by {_code(gate.origin)}. {_shown(capitalize_first(basis_phrase(gate)))}.",
        "",
        "| verdict | rule | limit | shown |",
        "| --- | --- | --- | --- |",
    ]
    for judged in gate.rules:
        told = (rule_title(judged.plan), limit_phrase(judged.plan), rule_statement(judged))
        lines.append(f"| {WORDS[judged.verdict]} | {' | '.join(map(_shown, told))} |")
    if steps := next_steps(gate):
        lines += ["", *(f"- {capitalize_first(step)}" for step in steps)]
    return "\n".join(lines) + "\n"


def _shown(text: str) -> str:
    """Text from outside as one line that Markdown only shows: as code, where it might be anything else than words."""
    line = printable(text, len(text)).replace(NO_BREAK, " ")
    return line if _PLAIN.fullmatch(line) else _code(line)


def _code(text: str) -> str:
    line = printable(text, len(text)).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    space = " " if "`" in line else ""
    return f"{fence}{space}{line}{space}{fence}"
