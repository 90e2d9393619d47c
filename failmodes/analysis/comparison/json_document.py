"""A comparison as a JSON document; docs/comparing.md says what its keys hold."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from math import isfinite
from typing import Any

from failmodes.analysis.judging.comparison_sentences import comparison_sentences, crossover_sentences, has_verdict
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.model_comparison import Comparison
from failmodes.warehouse.runner_commands import json_without_commands

WINNER = ("winner",)  # a property of some parts, which is written as their fields are
FORMAT = 2  # raise it when a key is renamed, goes, or means something else


def as_document(comparison: Comparison) -> dict[str, Any]:
    """Everything that was compared as dicts, lists, texts and finite numbers; what is not defined is None."""
    document: dict[str, Any] = _plain(comparison)
    document["missing_cells"] = [{"corruption": c, "severity": severity} for c, severity in comparison.missing_cells]
    document["bounds"] = dict(zip(("low", "high"), document["bounds"], strict=True))
    sentences = [*comparison_sentences(comparison), *crossover_sentences(comparison)]
    return {"format": FORMAT, "sentences": sentences, "has_verdict": has_verdict(comparison), **document}


def as_json(comparison: Comparison) -> str:
    """The document as text, indented, with a line's end."""
    return (
        json_without_commands(json.dumps(as_document(comparison), indent=2, ensure_ascii=False, allow_nan=False)) + "\n"
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Estimate):
        return {name: _plain(number) for name, number in value._asdict().items()}
    if is_dataclass(value) and not isinstance(value, type):
        names = [*value.__dataclass_fields__, *WINNER] if hasattr(value, *WINNER) else value.__dataclass_fields__
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if isfinite(value) else None
    return value
