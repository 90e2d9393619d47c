"""The elements and the text of an HTML page, none of which may handle an event."""

from html.parser import HTMLParser
from typing import NamedTuple

VOID = ("img", "input", "br", "meta", "link")


class Element(NamedTuple):
    """An element, and the tag of the one around it."""

    tag: str
    attributes: dict[str, str | None]
    within: str


class Elements(HTMLParser):
    """The elements of a page in order, its text, and the tags that stay open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.found: list[Element] = []
        self.text = ""
        self.feed(page)

    @property
    def tags(self) -> set[str]:
        return {element.tag for element in self.found}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not [name for name, _ in attrs if name.startswith("on")]
        self.found.append(Element(tag, dict(attrs), self.stack[-1] if self.stack else ""))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
