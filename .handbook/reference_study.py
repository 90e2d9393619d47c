"""Reference page of all study keys with meaning, value and default, from the schema."""

from collections.abc import Iterator
from typing import Any

from markdown_text import attribute_meanings, code, table
from pydantic import BaseModel

from failmodes.evaluate.cam.method_selection import method_meanings
from failmodes.evaluate.study.study_schema import EvaluationSpec, ModelSpec, Normalization, Study, TrainingSpec
from failmodes.ingest.datasets.layout import DatasetSpec, ShiftSpec
from failmodes.ingest.datasets.side_table import MetadataSpec
from failmodes.ingest.protocols.protocol import ImageList, Protocol
from failmodes.ingest.specification import CorruptionSpec
from failmodes.ingest.statements import FORMS, CellsOf, GateSpec
from failmodes.ingest.study_types import StrictModel

INTRODUCTION = """# The study file

A study is one TOML file. `failmodes init digits`, `failmodes init folder` and `failmodes init cifar10` write one with
every common key explained. Paths are relative to the file. An unknown key is an error that names the nearest valid key.
"""
TABLES: dict[str, type[BaseModel] | tuple[type[BaseModel], ...]] = {  # of several forms, all their keys
    "Top-level keys": Study,
    "[dataset]": DatasetSpec,
    "[dataset.metadata]": MetadataSpec,
    "[corruptions]": CorruptionSpec,
    "[[shifts]]": ShiftSpec,
    "[[protocols]]": Protocol,
    "image_list of a protocol": ImageList,
    "[[models]]": ModelSpec,
    "normalization of a model": Normalization,
    "[models.training]": TrainingSpec,
    "[evaluation]": EvaluationSpec,
    "[gate]": GateSpec,
    "[[claims]] and [[gate.rules]]": FORMS,
    "other of a claim or rule": CellsOf,
}
ATTENTION = """## attention of `[evaluation]` and of a model

`true` means `auto` and `false` means `none`. You can [add a method](../extending.md#attention-method).
"""
NEEDED = "required"


def study_page() -> str:
    """Return Markdown with one heading per table, one row per key, and the attention methods."""
    parts = [INTRODUCTION]
    for title, model in TABLES.items():
        parts.append(f"## {code(title) if '[' in title else title}\n")
        rows = _rows_of_forms(model) if isinstance(model, tuple) else key_rows(model)
        parts.append(table(("key", "value", "default", "meaning"), rows))
    parts.append(ATTENTION)
    parts.append(table(("name", "map"), [(code(name), meaning) for name, meaning in method_meanings().items()]))
    return "\n".join(parts)


def key_rows(model: type[BaseModel]) -> list[tuple[str, str, str, str]]:
    """Return key, value, default and meaning of each key of a table."""
    tables = [table for table in reversed(model.__mro__) if issubclass(table, StrictModel)]  # a shift is a dataset
    meanings = {key: meaning for table in tables for key, meaning in attribute_meanings(table).items()}
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    needed = schema.get("required", [])
    return [
        (code(key), _value(described, definitions), _default(described, key in needed), meanings.get(key, ""))
        for key, described in schema["properties"].items()
    ]


def _rows_of_forms(forms: tuple[type[BaseModel], ...]) -> list[tuple[str, str, str, str]]:
    """Return the rows of all keys that a table of one of these forms may have; no key is required in each."""
    rows: dict[str, list[tuple[str, str, str, str]]] = {}
    for form in forms:
        for row in key_rows(form):
            rows.setdefault(row[0], []).append(row)
    return [
        (key, " or ".join(dict.fromkeys(choice for row in of_key for choice in row[1].split(" or "))),
         "" if of_key[0][2] == NEEDED else of_key[0][2], of_key[0][3])
        for key, of_key in rows.items()
    ]  # fmt: skip


def _default(described: dict[str, Any], needed: bool) -> str:
    default = described.get("default")
    if needed:
        return NEEDED
    if default is None or isinstance(default, dict):
        return ""
    return code(_toml(default))


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) and not value.replace(".", "").isdigit() else str(value)


def _value(described: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Describe the accepted values in words."""
    return " or ".join(dict.fromkeys(_choices(described, definitions)))


def _choices(described: dict[str, Any], definitions: dict[str, Any]) -> Iterator[str]:
    described = definitions.get(described.get("$ref", "").rpartition("/")[2], described)
    if described.get("format") == "path":
        yield "path"
        return
    for choice in _without_spelling(described.get("anyOf", [])):
        yield from _choices(choice, definitions)
    kind = described.get("type")
    if "enum" in described:
        yield from (code(_toml(choice)) for choice in described["enum"])
    elif "const" in described:
        yield code(_toml(described["const"]))
    elif kind == "array":
        yield f"list: {_value(described.get('items', {}), definitions) or 'three numbers'}"
    elif kind in ("integer", "number"):
        yield " ".join(["whole number" if kind == "integer" else "number", *_bounds(described)])
    elif kind in ("string", "boolean", "object"):
        yield {"string": "text", "boolean": "`true` or `false`", "object": "table"}[kind]


def _without_spelling(choices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Drop the string alternative of numbers: pydantic accepts it, a study does not."""
    takes_numbers = any(choice.get("type") == "number" for choice in choices)
    return [choice for choice in choices if not (takes_numbers and choice.get("type") == "string")]


def _bounds(described: dict[str, Any]) -> list[str]:
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    return [f"{word} {described[key]:,}" for key, word in words.items() if abs(described.get(key, 1e12)) < 2**31 - 1]
