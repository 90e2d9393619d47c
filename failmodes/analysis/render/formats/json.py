"""JSON with readable characters: the data of a document; non-finite numbers are null."""

import base64
import json
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any

from failmodes.analysis.render.blocks import Document
from failmodes.analysis.render.formatting import NO_BREAK
from failmodes.runtime.errors import spelt_out
from failmodes.runtime.terminal import json_without_commands

SUFFIX = ".json"


def render(document: Document, width: int) -> str:  # noqa: ARG001  # lines are as long as their values
    """The data of a document, indented."""
    return f"{as_json(document.data, indent=2).replace(NO_BREAK, ' ')}\n"


def as_json(value: Any, indent: int | None = None) -> str:
    """A value as JSON, with characters that a terminal may interpret escaped; see `plain`."""
    text = json_without_commands(json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False))
    if text.replace("\n", "").isprintable():
        return text
    return "".join(x if x == "\n" or spelt_out(x) == x else json.dumps(x)[1:-1] for x in text)


def plain(value: Any) -> Any:
    """A value in JSON types: NaN and infinity become null, decimals numbers, bytes base64, times ISO 8601."""
    match value:
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case float():
            return value if isfinite(value) else None
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case bytes():
            return base64.b64encode(value).decode()
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return str(value)
        case _:
            return value
