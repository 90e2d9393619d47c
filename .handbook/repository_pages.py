"""Pages from repository files outside docs/, and links to files that have no page."""

import posixpath
import re
from collections.abc import Callable, Set
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = {
    "project/changelog.md": "CHANGELOG.md",
    "project/contributing.md": "CONTRIBUTING.md",
    "project/security.md": "SECURITY.md",
}
STANDS_FOR = {source: page for page, source in PAGES.items()} | {"README.md": "index.md"}
LINK = re.compile(r"`[^`\n]+`|(?<!!)\[((?:[^\[\]]|\[[^\]]*\])+)\]\(([^()\s]+)\)")  # or code, which has no links
FENCE = re.compile(r"^(?:```|~~~).*?^(?:```|~~~)\s*$", flags=re.MULTILINE | re.DOTALL)


def with_inner_links(markdown: str, page: str, pages: Set[str]) -> str:
    """Keep links to pages, and turn other links into plain text.

    Args:
        markdown: the page's text.
        page: its path in the handbook.
        pages: paths of all handbook files; a link to any other file becomes plain text.
    """
    folder = posixpath.dirname(PAGES.get(page, f"docs/{page}"))

    def mended(found: re.Match[str]) -> str:
        words, target = found.groups()
        if target is None:
            return found[0]
        path, hash_mark, anchor = target.partition("#")
        if not path or ":" in path:
            return found[0]
        aim = posixpath.normpath(posixpath.join(folder, path))
        aim = STANDS_FOR.get(aim, aim.removeprefix("docs/"))
        aim = aim.removesuffix(".ipynb") + ".md" if aim.endswith(".ipynb") and page not in PAGES else aim
        if aim not in pages:
            return words
        return f"[{words}]({posixpath.relpath(aim, posixpath.dirname(page) or '.')}{hash_mark}{anchor})"

    return _outside_of_code(markdown, lambda text: LINK.sub(mended, text))


def _outside_of_code(markdown: str, change: Callable[[str], str]) -> str:
    parts, end = [], 0
    for fence in FENCE.finditer(markdown):
        parts += [change(markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, change(markdown[end:])])
