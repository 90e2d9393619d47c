"""JUnit XML, which CI services show as tests: one suite, one test case per check."""

from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from failmodes.analysis.render.blocks import Case, Document
from failmodes.analysis.render.formatting import NO_BREAK, valid_in_xml
from failmodes.runtime.errors import StudyError, printable
from failmodes.runtime.terminal import xml_without_commands

SUFFIX = ".xml"


def render(document: Document, width: int) -> str:  # noqa: ARG001  # lines are as long as their texts
    """The cases of a document.

    Raises:
        StudyError: it has no cases.
    """
    if not document.cases:
        raise StudyError(f"{document.title} has no test cases for JUnit: choose another format")
    root = Element("testsuites")
    suite = SubElement(root, "testsuite", name=_text(document.title), tests=str(len(document.cases)))
    for name, outcome in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(sum(case.outcome == outcome for case in document.cases)))
    for case in document.cases:
        _add(suite, case)
    ElementTree.indent(root)
    content = xml_without_commands(ElementTree.tostring(root, encoding="unicode"))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{content}\n'


def _add(suite: Element, case: Case) -> None:
    element = SubElement(suite, "testcase", classname=_text(case.group), name=_text(case.name))
    message = _text(case.message)
    if case.outcome == "passed":
        SubElement(element, "system-out").text = message
        return
    kind = {"type": _text(case.kind)} if case.kind else {}
    SubElement(element, case.outcome, kind, message=message)


def _text(text: str) -> str:
    """Text with control characters escaped and invalid ones replaced."""
    return valid_in_xml(printable(text, len(text))).replace(NO_BREAK, " ")
