"""A comparison of two models as a document, and its rows as data frames."""

from typing import Any

import polars as pl

from failmodes.analysis.judging.compare import ChangedImages, Comparison, Difference
from failmodes.analysis.judging.compare_text import ComparisonText
from failmodes.analysis.judging.wording import CASE_OUTCOMES
from failmodes.analysis.render.blocks import Block, Case, Document, Section, Sentence

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


def comparison_document(comparison: Comparison) -> Document:
    """The headline, the other sentences, accuracy by corruption, and the other tables folded.

    Its data have the keys of docs/comparing.md; its one test case is whether the candidate is worse by more than the
    margin.
    """
    text = ComparisonText(comparison, is_summary=True)
    headline, *rest = text.sentences
    by_corruption, *tables = text.tables()
    models = f"Baseline: {text.a}. Candidate: {text.b}. Differences are candidate \u2212 baseline."
    notes = dict.fromkeys((text.no_images, comparison.a.source_line, comparison.b.source_line))
    blocks: list[Block] = [Sentence(headline, "lead"), *(Sentence(one, "item") for one in (*rest, models))]
    blocks += [by_corruption, *(Section(table.caption, (table,), is_folded=True) for table in tables)]
    blocks += [Sentence(note, "note") for note in notes if note]
    outcome = CASE_OUTCOMES[comparison.not_worse]
    case = Case(f"at most {text.margin} worse", "failmodes.compare", outcome, headline, comparison.not_worse)
    return Document(f"{text.b} compared with {text.a}", tuple(blocks), _data(comparison), (case,))


def _data(comparison: Comparison) -> dict[str, Any]:
    """Everything that was compared; docs/comparing.md lists the keys."""
    return {
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


def _changed(comparison: Comparison) -> dict[str, ChangedImages | None]:
    return {"newly_incorrect": comparison.newly_incorrect, "newly_correct": comparison.newly_correct}


def _facts(row: Difference) -> dict[str, Any]:
    metric = row.metric
    what = {"metric": metric.name, "title": row.title, "unit": metric.unit, "better": metric.better}
    estimate = dict(zip(("difference", "low", "high"), row.difference or (None,) * 3, strict=True))
    names = ("crossover", "crossover_low", "crossover_high", "ahead_first")
    crossed = dict(zip(names, row.crossover or (None,) * 4, strict=True))
    return {**vars(row), **what, **estimate, **crossed, "corruption_label": row.label, "class_name": row.label}
