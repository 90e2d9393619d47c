"""What a gate found: rules with what is shown of each, as lines for a terminal, Markdown, JSON and JUnit XML."""

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from failmodes.analysis.judging.statement import WORDS, JudgedStatement, Verdict
from failmodes.analysis.judging.wording import Wording
from failmodes.analysis.render.formatting import NO_BREAK, capitalize_first, format_count
from failmodes.analysis.statistics.bootstrap import Word
from failmodes.analysis.statistics.image_pairing import ImagePairing
from failmodes.analysis.statistics.opened_models import DescribedModel, duplicates_notes
from failmodes.warehouse.errors import printable
from failmodes.warehouse.markdown import harmless
from failmodes.warehouse.runner_commands import json_without_commands, without_commands, xml_without_commands

PASSED, FAILED, NOT_SHOWN = 0, 1, 3  # exit codes; all that keeps a gate from judging ends with 2
GATE_WORDS: dict[Word, str] = {
    "supported": "pass", "contradicted": "fail", "inconclusive": "inconclusive", "not_measurable": "not_measurable",
}  # fmt: skip

Inconclusive = Literal["stop", "pass"]


@dataclass(frozen=True)
class GateResult:
    """A gate with what is shown of each rule; true where it passes.

    A failed `assert gate(…)` shows its first rule that fails; `assert result, result` all of its text.

    Attributes:
        origin: where the rules come from.
        candidate: what they are about.
        baseline: what it is compared with; None where no baseline is named.
        pairing: which images are compared; None without a baseline.
        is_about_training: whether bounds are over training seeds too. Else the statements are about these checkpoints.
        level: of every statement.
        inconclusive: whether an inconclusive rule stops the pipeline, or lets it pass.
        rules: in the order of the file.
    """

    origin: str
    candidate: DescribedModel
    baseline: DescribedModel | None
    pairing: ImagePairing | None
    is_about_training: bool
    level: float
    inconclusive: Inconclusive
    rules: tuple[JudgedStatement, ...]

    @property
    def counts(self) -> Counter[Word]:
        """How many rules have each verdict."""
        return Counter(rule.verdict for rule in self.rules)

    @property
    def passed(self) -> bool:
        """Whether the pipeline may go on."""
        return self.exit_code == PASSED

    @property
    def exit_code(self) -> int:
        """0 passed, 1 a rule fails, 3 a rule is inconclusive or not measurable."""
        counts = self.counts
        if counts["contradicted"]:
            return FAILED
        if counts["not_measurable"] or (counts["inconclusive"] and self.inconclusive == "stop"):
            return NOT_SHOWN
        return PASSED

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        return "\n".join(gate_lines(self))

    def __repr__(self) -> str:
        return f"<{gate_summary(self)}>"

    def to_json(self) -> str:
        """An object with every rule and every decision."""
        return gate_json(self)

    def to_junit(self) -> str:
        """JUnit XML, a test case a rule or cell."""
        return gate_junit(self)

    def to_markdown(self) -> str:
        """A summary for a pull request."""
        return gate_markdown(self)


MOST_LETTERS = 400  # of a statement in Markdown
LOUD = {"contradicted": "FAIL", "not_measurable": "NOT MEASURABLE"}
PLAIN = Wording(said=GATE_WORDS)
# What XML 1.0 takes; controls are spelt out before
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def gate_lines(gate: GateResult) -> list[str]:
    """A line that says who is judged, one a rule, the sum, and what to do next; labels from outside are only shown."""
    words = {word: LOUD.get(word, GATE_WORDS[word]) for word in WORDS}
    width = max(len(words[judged.verdict]) for judged in gate.rules)
    lines = [f"{_title(gate, PLAIN)}, by {gate.origin}: {_basis(gate, PLAIN)}"]
    for judged in gate.rules:
        lines.append(f"{words[judged.verdict]:{width}}  {PLAIN.title(judged)}: {PLAIN.shown(judged)}")
    lines.append(f"{_counts(gate)}: the gate {_ending(gate)} (exit code {gate.exit_code})")
    return [_printed(line) for line in [*lines, *(f"next: {step}" for step in _next_steps(gate))]]


def gate_summary(gate: GateResult) -> str:
    """One line, which begins with what does not hold: a failed test shows no more of it than some 200 letters."""
    statements = [
        f"{LOUD.get(word, GATE_WORDS[word])} {_first_decision(judged)} ({_name(judged)})"
        for word in WORDS
        for judged in gate.rules
        if judged.verdict == word != "supported"
    ]
    return _printed(f"gate {_ending(gate)}: {'; '.join(statements or [_counts(gate)])}")


def gate_markdown(gate: GateResult) -> str:
    """A heading with the verdict, what it rests on, a row a rule, and what to do next."""
    words = Wording(lambda text: harmless(text, MOST_LETTERS), GATE_WORDS)
    lines = [
        f"### Gate {_ending(gate)}: {_title(gate, words)}",
        "",
        f"{_counts(gate)}, by {harmless(gate.origin)}. {capitalize_first(_basis(gate, words))}.",
        "",
        "| verdict | rule | shown |",
        "| --- | --- | --- |",
    ]
    for judged in gate.rules:
        word = GATE_WORDS[judged.verdict].replace("_", " ")
        verdict = f"**{word}**" if judged.verdict in LOUD else word
        texts = (verdict, words.title(judged), words.shown(judged))
        lines.append(f"| {' | '.join(text.replace('|', chr(92) + '|') for text in texts)} |")
    if steps := _next_steps(gate):
        lines += ["", *(f"- {capitalize_first(step)}" for step in steps)]
    return "\n".join(lines).replace(NO_BREAK, " ") + "\n"


def gate_json(gate: GateResult) -> str:
    """An object; metrics are as in the warehouse (shares 0-1), and differences candidate minus baseline."""
    content = {
        "passed": gate.passed,
        "exit_code": gate.exit_code,
        "inconclusive": gate.inconclusive,
        "rules_from": gate.origin,
        "level": gate.level,
        "candidate": _model(gate.candidate),
        "baseline": None if gate.baseline is None else _model(gate.baseline),
        "images": _images(gate, PLAIN),
        "images_paired": None if gate.pairing is None else gate.pairing.is_paired,
        "about": "training" if gate.is_about_training else "checkpoints",
        "rules": [_rule(judged) for judged in gate.rules],
    }
    return json_without_commands(json.dumps(content, indent=2, allow_nan=False).replace(r"\u00a0", " ")) + "\n"


def _model(model: DescribedModel) -> dict[str, Any]:
    return {
        "label": model.label,
        "evaluations": list(model.evaluation_ids),
        "training_seeds": list(model.seeds),
        "images": model.image_count,
        "distinct_images": model.distinct_count,
        "source": model.source_line,
    }


def _rule(judged: JudgedStatement) -> dict[str, Any]:
    plan, statement = judged.plan, judged.statement
    return {
        "name": judged.statement.name,
        "statement": PLAIN.text(judged),
        "verdict": GATE_WORDS[judged.verdict],
        "shown": PLAIN.shown(judged),
        "metric": None if plan is None else plan.metric.name,
        "score": None if plan is None else plan.score,
        "better": None if plan is None else plan.metric.better,
        "unit": None if plan is None else plan.metric.unit,
        "shape": statement.shape,
        "kind": statement.kind,
        "over": statement.over,
        "relation": statement.relation,
        "limit": statement.limit,
        "images_needed": judged.images_needed,
        "decisions": [_decision(one) for one in judged.verdicts],
    }


def _decision(one: Verdict) -> dict[str, Any]:
    value, low, high = one.estimate or (None, None, None)
    return {
        "verdict": GATE_WORDS[one.verdict],
        "cells": [{"corruption": cell[0], "severity": cell[1]} for cell in one.cells],
        "value": value,
        "low": low,
        "high": high,
        "images": one.n,
        "images_needed": one.images_needed,
        "reason": one.reason,
    }


def gate_junit(gate: GateResult) -> str:
    """A `testsuites` element of one suite: a test case a rule over the mean, and one a cell of a rule over each.

    A decision that fails is a failure, a missing cell or value an error. An inconclusive one is a failure too where it
    stops the pipeline, else it is skipped.
    """
    root = Element("testsuites")
    suite = SubElement(root, "testsuite", name=_xml(f"failmodes gate: {_title(gate, PLAIN)}"))
    for judged in gate.rules:
        for one in judged.verdicts:
            _add_case(suite, judged, one, gate)
    suite.set("tests", str(len(suite)))
    for name, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(len(suite.findall(f"testcase/{kind}"))))
    ElementTree.indent(root)
    document = xml_without_commands(ElementTree.tostring(root, encoding="unicode"))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{document}\n'


def _add_case(suite: Element, judged: JudgedStatement, one: Verdict, gate: GateResult) -> None:
    alone = JudgedStatement(judged.statement, (one,), judged.plan)
    name = PLAIN.where(one) if judged.statement.over == "each" or len(judged.verdicts) > 1 else "mean"
    message = _xml(f"{PLAIN.text(judged)}: {PLAIN.shown(alone)}")
    case = SubElement(suite, "testcase", classname=_xml(f"failmodes.gate.{_name(judged)}"), name=_xml(name))
    if one.verdict == "not_measurable":
        SubElement(case, "error", type="not_measurable", message=message)
    elif one.verdict == "contradicted" or (one.verdict == "inconclusive" and gate.inconclusive == "stop"):
        SubElement(case, "failure", type=GATE_WORDS[one.verdict], message=message)
    elif one.verdict == "inconclusive":
        SubElement(case, "skipped", message=message)
    else:
        SubElement(case, "system-out").text = message


def _xml(text: str) -> str:
    """Text from outside as XML takes it."""
    return _NO_XML.sub("\ufffd", printable(text, len(text)).replace(NO_BREAK, " "))


def _printed(line: str) -> str:
    return without_commands(printable(line, len(line)).replace(NO_BREAK, " "))


def _title(gate: GateResult, words: Wording) -> str:
    """Who is judged against whom."""
    against = f" against {words.quote(gate.baseline.label)}" if gate.baseline else ""
    return f"{words.quote(gate.candidate.label)}{against}"


def _ending(gate: GateResult) -> str:
    return "passes" if gate.passed else "stops"


def _basis(gate: GateResult, words: Wording) -> str:
    """What statements rest on: level, images, checkpoints or training seeds."""
    about = "about these checkpoints, not about training them again"
    if gate.is_about_training:
        counts = [len(model.evaluation_ids) for model in (gate.candidate, gate.baseline) if model is not None]
        about = f"over {' and '.join(map(str, counts))} training seeds"
    notes = duplicates_notes(gate.candidate, gate.baseline, name=words.quote)
    return "; ".join([f"{100 * gate.level:.10g}{NO_BREAK}% level", _images(gate, words), about, *notes])


def _images(gate: GateResult, words: Wording) -> str:
    """Which images were compared."""
    pairing = gate.pairing
    if pairing is None:
        return format_count(gate.candidate.image_count, "image")
    images, note = format_count(pairing.image_count, "image"), words.quote(pairing.note)
    if pairing.kind == "same":
        return f"the same {images}" + (f" ({note})" if note else "")
    kind = "those that both saw" if pairing.kind == "common" else "different ones, compared as independent samples"
    if pairing.kind == "different" and gate.baseline is not None:
        images = f"{format_count(gate.candidate.image_count, 'image')} and {gate.baseline.image_count:,}"
    return f"{images} ({kind}; {note})" if note else f"{images} ({kind})"


def _counts(gate: GateResult) -> str:
    """How many rules have which verdict: 2 of 4 rules pass, 1 fails, 1 is inconclusive."""
    counts = gate.counts
    verb = "passes" if 1 in (counts["supported"], len(gate.rules)) else "pass"
    parts = [f"{counts['supported']} of {format_count(len(gate.rules), 'rule')} {verb}"]
    said: dict[Word, tuple[str, str]] = {
        "contradicted": ("fails", "fail"),
        "inconclusive": ("is inconclusive", "are inconclusive"),
        "not_measurable": ("is not measurable", "are not measurable"),
    }
    parts += [f"{counts[word]} {verbs[counts[word] > 1]}" for word, verbs in said.items() if counts[word]]
    return ", ".join(parts)


def _next_steps(gate: GateResult) -> list[str]:
    """What may be done about rules that do not hold."""
    counts, steps = gate.counts, []
    if counts["contradicted"] and gate.baseline is not None:
        steps.append("`failmodes compare` of the two shows where they differ")
    if counts["not_measurable"]:
        steps.append("evaluate what is missing, or leave it out of the rule")
    if counts["inconclusive"]:
        more = "more images, or training seeds" if gate.is_about_training else "more images"
        stop = ", allow more, or let inconclusive rules pass with `--inconclusive pass`"
        steps.append(f"evaluate on {more}{stop if gate.inconclusive == 'stop' else ', or allow more'}")
    return steps


def _first_decision(judged: JudgedStatement) -> str:
    """What is shown of the decision that is worst, and the limit."""
    worst = JudgedStatement(judged.statement, (judged.deciding[0],), judged.plan)
    is_one = judged.plan is None or (judged.statement.over == "mean" and len(judged.verdicts) == 1)
    where = "" if is_one else f"{PLAIN.where(judged.deciding[0])}: "
    return f"{where}{PLAIN.shown(worst)}"


def _name(judged: JudgedStatement) -> str:
    """The statement's own name, else its English."""
    return judged.statement.name or PLAIN.text(judged)
