"""HTML for a notebook or a page; all text is escaped."""

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from failmodes.analysis.render.blocks import Block, Document
from failmodes.analysis.render.formatting import lower_label
from failmodes.runtime.errors import printable
from failmodes.runtime.terminal import xml_without_commands

SUFFIX = ".html"
_COMMAND = re.compile("`(failmodes [^`]+)`")
_UNBROKEN, _NO_WRAP = re.compile(r"\b\w+-\d+"), r'<span style="white-space:nowrap">\g<0></span>'


def render(document: Document, width: int) -> str:  # noqa: ARG001  # a browser wraps lines
    """The blocks of a document as a page."""
    title = escape(_shown(document.title))
    head = f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title>'
    return xml_without_commands(f"{head}\n<body>\n{render_blocks(document.blocks)}</body></html>\n")


def render_blocks(blocks: Iterable[Block]) -> Markup:
    """Blocks as HTML elements."""
    macros = environment().get_template("blocks.html.j2").module
    return Markup(macros.blocks(tuple(blocks)))  # type: ignore[attr-defined]


@cache
def environment() -> Environment:
    """Templates of blocks and pages, with autoescape."""
    loader = ChoiceLoader([PackageLoader(f"failmodes.analysis.{name}", "") for name in ("render.formats", "report")])
    templates = Environment(
        autoescape=True, loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shown
    )
    templates.filters |= {"kind": lambda block: type(block).__name__, "text": _text, "lower_label": lower_label}
    templates.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return templates


def _shown(value: Any) -> Any:
    """Text with control characters escaped, since pages may be printed to a terminal; other values unchanged."""
    return printable(value, len(value)) if type(value) is str else value


def _text(text: str) -> Markup:
    """A text, isolated for bidirectional layout, unbroken in names such as ResNet-18, commands as code."""
    shown = _COMMAND.sub(r"<code>\1</code>", str(escape(_shown(str(text)))))
    return Markup(f"<bdi>{_UNBROKEN.sub(_NO_WRAP, shown)}</bdi>")
