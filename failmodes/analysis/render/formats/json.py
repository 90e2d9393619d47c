"""JSON in readable letters: the data of a document; a number that JSON has not is null."""

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

from failmodes.analysis.render.blocks import Document
from failmodes.analysis.render.formatting import NO_BREAK
from failmodes.warehouse.errors import spelt_out
from failmodes.warehouse.runner_commands import json_without_commands

SUFFIX = ".json"


def render(document: Document, width: int) -> str:  # noqa: ARG001  # lines are as long as their values
    """The data of a document, indented."""
    text = json.dumps(_finite(document.data), indent=2, ensure_ascii=False, allow_nan=False).replace(NO_BREAK, " ")
    text = json_without_commands(text)
    return "".join(x if x == "\n" or spelt_out(x) == x else json.dumps(x)[1:-1] for x in text) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value
