"""HTML for a notebook or a page: blocks as elements, all text escaped."""

import re
from collections.abc import Iterable
from functools import cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from failmodes.analysis.render.blocks import Block, Document

SUFFIX = ".html"
_UNBROKEN, _NO_WRAP = re.compile(r"\w+-\d+"), r'<span style="white-space:nowrap">\g<0></span>'


def render(document: Document, width: int) -> str:  # noqa: ARG001  # a browser breaks lines
    """The blocks of a document within one element, as notebooks show it."""
    return f"<div>{render_blocks(document.blocks)}</div>\n"


def render_blocks(blocks: Iterable[Block]) -> Markup:
    """Blocks as HTML elements."""
    macros = environment().get_template("blocks.html.j2").module
    return Markup(macros.blocks(tuple(blocks)))  # type: ignore[attr-defined]


@cache
def environment() -> Environment:
    """Templates of blocks, and of pages made of them; they escape what they are given."""
    loader = ChoiceLoader([PackageLoader(f"failmodes.analysis.{name}", "") for name in ("render.formats", "report")])
    found = Environment(autoescape=True, loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    found.filters |= {"kind": lambda block: type(block).__name__, "text": _text}
    found.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return found


def _text(text: str) -> Markup:
    """A text isolated from its surroundings, whose names such as ResNet-18 no line may break."""
    return Markup(f"<bdi>{_UNBROKEN.sub(_NO_WRAP, str(escape(text)))}</bdi>")
