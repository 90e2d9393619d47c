"""JUnit XML, which CI services show as tests: a `testsuites` element of one suite, a test case a check."""

import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from failmodes.analysis.render.blocks import Case, Document
from failmodes.analysis.render.formatting import NO_BREAK
from failmodes.warehouse.errors import StudyError, printable
from failmodes.warehouse.terminal import xml_without_commands

SUFFIX = ".xml"
# What XML 1.0 takes; controls are spelt out before
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(document: Document, width: int) -> str:  # noqa: ARG001  # lines are as long as their texts
    """The cases of a document.

    Raises:
        StudyError: it has none.
    """
    if not document.cases:
        raise StudyError(f"{document.title} has no test cases, so there is no JUnit of it: choose another format")
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
    """Text from outside as XML takes it."""
    return _NO_XML.sub("\ufffd", printable(text, len(text)).replace(NO_BREAK, " "))
