r"""Text that no CI runner takes for a command: GitHub, Azure Pipelines and TeamCity read them in what a job prints.

GitHub reads a line that begins with `::` (white space before it is skipped), and `##[name …]` anywhere in a line; Azure
reads `##vso[…]`, TeamCity `##teamcity[…]`. A visible backslash ends each: `\::error`, `#\#[error]`. An invisible letter
would not do, since .NET compares texts as if such letters were not there.
"""

import re

# White space that .NET trims, letters that it ignores when it compares, and colors of a terminal
_IGNORED = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_COLON = re.compile(rf"((?:^|(?<=\r))(?:[^\S\r\n]|[{_IGNORED}]|\x1b\[[0-9;]*m)*):(?=[{_IGNORED}]*:)", re.MULTILINE)
_SHARP = re.compile(rf"#(?=[{_IGNORED}]*#[\w.{_IGNORED}-]*\[)")


def without_commands(text: str) -> str:
    r"""The text with a backslash in front of what would begin a command at the start of one of its lines."""
    if "::" not in text and "#" not in text and text.isascii():
        return text
    return _SHARP.sub(r"#\\", _COLON.sub(r"\1\\:", text))


def json_without_commands(document: str) -> str:
    r"""A JSON document that means the same: there a `#` is always in a text, where `\u0023` is another spelling."""
    return _SHARP.sub(r"\\u0023", document)


def xml_without_commands(document: str) -> str:
    """An XML document without comments and CDATA that means the same."""
    return _SHARP.sub("&#35;", document)
