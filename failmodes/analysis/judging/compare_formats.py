"""A comparison for a terminal, for a pull request, for a notebook, as JSON and as data frames."""

import json
from collections.abc import Callable
from html import escape
from math import isfinite
from pathlib import Path
from typing import Any

import polars as pl

from failmodes.analysis.judging.compare import ChangedImages, Comparison, Difference
from failmodes.analysis.judging.compare_text import ComparisonText
from failmodes.analysis.render.blocks import Table
from failmodes.analysis.render.formatting import format_count
from failmodes.analysis.text_tables import html_table, markdown_table, terminal_text
from failmodes.warehouse.errors import printable
from failmodes.warehouse.markdown import harmless
from failmodes.warehouse.output_files import NO_SUFFIX, check_output, write_output
from failmodes.warehouse.runner_commands import json_without_commands

USUAL_WIDTH = 80  # letters of a line
MOST_ROWS, MOST_CROSSOVERS = 8, 1  # of Markdown
SUFFIXES = {".txt": "text", ".json": "json", ".md": "markdown"}

_VALUES = {name: pl.Float64() for name in ("a", "b", "difference", "low", "high")}
_TEXT, _WHOLE = pl.String(), pl.Int64()
COLUMNS: dict[str, dict[str, pl.DataType]] = {
    "metrics": {
        **dict.fromkeys(("metric", "score", "title", "unit", "better", "cells"), _TEXT), **_VALUES,
        "winner": _TEXT, "reason": _TEXT,
    },
    "corruptions": {
        "corruption": _TEXT, "corruption_label": _TEXT, **_VALUES, "winner": _TEXT,
        **dict.fromkeys(("crossover", "crossover_low", "crossover_high"), pl.Float64()), "ahead_first": _TEXT,
    },
    "cells": {
        "corruption": _TEXT, "severity": pl.Float64(), **_VALUES, "only_a": _WHOLE, "only_b": _WHOLE,
        "adjusted_p": pl.Float64(), "winner": _TEXT,
    },
    "classes": {"class_index": _WHOLE, "class_name": _TEXT, "image_count": _WHOLE, **_VALUES, "winner": _TEXT},
    "images": {
        "change": _TEXT, "image_id": _WHOLE, "label": _WHOLE, "label_name": _TEXT, "cell_count": _WHOLE,
        "corruption": _TEXT, "severity": pl.Float64(), "predicted_a": _TEXT, "predicted_b": _TEXT,
    },
}  # fmt: skip


def as_rows(comparison: Comparison, name: str) -> list[dict[str, Any]]:
    """The rows of one of COLUMNS; those of metrics begin with accuracy, under corruption and clean."""
    if name == "images":
        return [
            {"change": change, **image._asdict()}
            for change, changed in _changed(comparison).items()
            for image in (changed.images if changed else ())
        ]
    of_metrics = (comparison.overall, comparison.clean, *comparison.metrics)
    rows = map(_facts, of_metrics if name == "metrics" else getattr(comparison, name))
    return [{column: facts[column] for column in COLUMNS[name]} for facts in rows]


def as_frame(comparison: Comparison, name: str) -> pl.DataFrame:
    """The rows of one of COLUMNS as a frame."""
    return pl.DataFrame(as_rows(comparison, name), schema=COLUMNS[name])


def _changed(comparison: Comparison) -> dict[str, ChangedImages | None]:
    return {"newly_incorrect": comparison.newly_incorrect, "newly_correct": comparison.newly_correct}


def _facts(row: Difference) -> dict[str, Any]:
    metric = row.metric
    what = {"metric": metric.name, "title": row.title, "unit": metric.unit, "better": metric.better}
    estimate = dict(zip(("difference", "low", "high"), row.difference or (None,) * 3, strict=True))
    names = ("crossover", "crossover_low", "crossover_high", "ahead_first")
    crossed = dict(zip(names, row.crossover or (None,) * 4, strict=True))
    return {**vars(row), **what, **estimate, **crossed, "corruption_label": row.label, "class_name": row.label}


def as_document(comparison: Comparison) -> dict[str, Any]:
    """All that was compared as dicts, lists, texts and finite numbers; docs/comparing.md says what keys hold."""
    document = {
        "sentences": ComparisonText(comparison).sentences,
        "has_verdict": comparison.has_verdict,
        **{name: value for name, value in vars(comparison).items() if name not in ("overall", "clean")},
        "a": vars(comparison.a),
        "b": vars(comparison.b),
        "pairing": vars(comparison.pairing),
        "missing_cells": [{"corruption": c, "severity": severity} for c, severity in comparison.missing_cells],
        "bounds": dict(zip(("low", "high"), comparison.bounds, strict=True)),
        **{name: as_rows(comparison, name) for name in COLUMNS if name != "images"},
        **{
            change: changed and {**changed._asdict(), "images": [image._asdict() for image in changed.images]}
            for change, changed in _changed(comparison).items()
        },
    }
    plain: dict[str, Any] = _finite(document)
    return plain


def _finite(value: Any) -> Any:
    """The same with null for numbers that JSON has not."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def as_json(comparison: Comparison) -> str:
    """The document as text, indented, with a line's end."""
    text = json.dumps(as_document(comparison), indent=2, ensure_ascii=False, allow_nan=False)
    return f"{json_without_commands(text)}\n"


def as_text(comparison: Comparison, width: int = USUAL_WIDTH) -> str:
    """Sentences, then tables, for a terminal of so many letters a line."""
    text = ComparisonText(comparison, printable, most_levels=6, most_classes=5, most_images=8, has_intervals=False)
    parts: list[str | Table] = [f"A: {text.a}\nB: {text.b}; differences are B minus A\n", *text.sentences]
    for table in text.tables():
        parts += [f"\n{table.caption}", table, table.note]
    parts.append(f"\n{text.no_images}\n" if text.no_images else "")
    parts += map(printable, dict.fromkeys((comparison.a.source_line, comparison.b.source_line)))
    return terminal_text(parts, width)


def as_markdown(comparison: Comparison) -> str:
    """The answer, a table by corruption, and the other tables folded: short enough for a pull request.

    Safe to paste, whatever models are called.
    """
    text = ComparisonText(comparison, harmless, most_levels=5, most_classes=2, most_images=2, has_intervals=False)
    first, *rest = text.sentences[: len(text.sentences) - len(text.crossovers[MOST_CROSSOVERS:])]
    by_corruption, *tables = text.tables()
    lines = [f"**{first}**", "", *(f"- {sentence}" for sentence in rest), f"- A: {text.a}; B: {text.b}", ""]
    lines += markdown_table(by_corruption._replace(rows=by_corruption.rows[:MOST_ROWS]))
    left = len(by_corruption.rows[MOST_ROWS:])
    lines += ["", f"{format_count(left, 'more corruption')}"] if left else []
    for table in tables:  # captions hold no text from outside: there it would be HTML
        lines += ["", f"<details><summary>{table.caption}</summary>", "", *markdown_table(table)]
        lines += ["", table.note, "", "</details>"]
    return "\n".join(lines) + "\n"


def as_html(comparison: Comparison) -> str:
    """The first sentence in bold, the others, the table by corruption, the other tables folded; all text escaped."""
    text = ComparisonText(comparison)
    first, *rest = map(escape, (*text.sentences, f"A: {text.a}; B: {text.b}"))
    parts = [f"<p><b>{first}</b></p>", *(f"<p>{sentence}</p>" for sentence in rest)]
    for place, table in enumerate(text.tables()):
        is_open = "" if place else " open"
        parts.append(f"<details{is_open}><summary>{escape(table.caption)}</summary>{html_table(table)}</details>")
    return f"<div>{''.join(parts)}</div>"


FORMATS: dict[str, Callable[[Comparison], str]] = {"text": as_text, "json": as_json, "markdown": as_markdown}


def suffixes_of(format: str | None) -> tuple[str, ...]:
    """The suffixes of a format; those of all where none was asked for."""
    own = tuple(suffix for suffix, other in SUFFIXES.items() if format in (None, other))
    return own if format is None else (*own, NO_SUFFIX)


def write_comparison(comparison: Comparison, path: Path, format: str | None = None, *, force: bool = False) -> Path:
    """Write a comparison to a file, which appears whole.

    Args:
        comparison: what was compared.
        path: the file.
        format: one of FORMATS; by default that of the suffix.
        force: see `check_output`.

    Raises:
        StudyError: another suffix, or a file that must not be replaced.
        StorageError: it could not be written.
    """
    suffixes = suffixes_of(format)
    check_output(path, suffixes, force=force)
    chosen = format or SUFFIXES[path.suffix.lower()]
    write_output(path, FORMATS[chosen](comparison).encode(), suffixes, force=force)
    return path
