"""What a gate found, as JUnit XML: a test case a rule over the mean, and one a cell of a rule over each."""

import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from failmodes.analysis.formatting import NO_BREAK
from failmodes.analysis.gate.judged_gate import JudgedGate
from failmodes.analysis.gate.judging import Decision, JudgedRule
from failmodes.analysis.gate.wording import (
    cell_phrase,
    gate_title,
    images_needed_phrase,
    limit_phrase,
    missing_phrase,
    rule_name,
    shown_phrase,
)
from failmodes.warehouse.errors import printable
from failmodes.warehouse.runner_commands import xml_without_commands

# What XML 1.0 takes; controls are spelt out before
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def gate_junit(gate: JudgedGate) -> str:
    """A `testsuites` element of one suite.

    A decision that fails is a failure, a missing cell or value an error. An inconclusive one is a failure too where it
    stops the pipeline, else it is skipped.
    """
    root = Element("testsuites")
    suite = SubElement(root, "testsuite", name=_text(f"failmodes gate: {gate_title(gate)}"))
    for judged in gate.rules:
        _add_cases(suite, judged, gate)
    suite.set("tests", str(len(suite)))
    for name, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(len(suite.findall(f"testcase/{kind}"))))
    ElementTree.indent(root)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        + xml_without_commands(ElementTree.tostring(root, encoding="unicode"))
        + "\n"
    )


def _add_cases(suite: Element, judged: JudgedRule, gate: JudgedGate) -> None:
    name, plan = rule_name(judged.plan), judged.plan
    for decision in judged.decisions:
        case = "mean" if plan.rule.over == "mean" else cell_phrase(decision.cells[0])
        shown = missing_phrase([decision]) if decision.verdict == "missing" else shown_phrase(plan, decision)
        needed = images_needed_phrase(decision)
        _add_case(suite, case, name, decision, f"{shown}{needed} (limit: {limit_phrase(plan)})", gate)


def _add_case(suite: Element, name: str, rule: str, decision: Decision, text: str, gate: JudgedGate) -> None:
    case = SubElement(suite, "testcase", classname=_text(f"failmodes.gate.{rule}"), name=_text(name))
    message = _text(text)
    if decision.verdict == "missing":
        SubElement(case, "error", type="missing", message=message)
    elif decision.verdict == "fail" or (decision.verdict == "inconclusive" and gate.inconclusive == "stop"):
        SubElement(case, "failure", type=decision.verdict, message=message)
    elif decision.verdict == "inconclusive":
        SubElement(case, "skipped", message=message)
    else:
        SubElement(case, "system-out").text = message


def _text(text: str) -> str:
    """Text from outside as XML takes it."""
    return _NO_XML.sub("\ufffd", printable(text, len(text)).replace(NO_BREAK, " "))
