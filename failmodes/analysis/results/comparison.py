"""The result of a comparison: sentences, data frames, a chart, and all output formats."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from failmodes.analysis.judging.compare import ChangedImages, Comparison, Difference
from failmodes.analysis.judging.compare_text import ComparisonText
from failmodes.analysis.judging.wording import CASE_OUTCOMES, json_head, json_verdict
from failmodes.analysis.render.blocks import Block, Case, Document, Section, Sentence
from failmodes.analysis.render.documents import Rendered

if TYPE_CHECKING:
    from failmodes.analysis.charts.style.figure import Figure

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
        "file": _TEXT,
    },
}  # fmt: skip


class ComparisonResult(Rendered):
    """A comparison of a baseline A and a candidate B: what `Warehouse.compare` returns.

    Differences are candidate − baseline. Shares are 0-1, their differences -1 to 1; documents show percentages and
    points.

    Attributes:
        comparison: all results, as dataclasses.

    Examples:
        >>> result = w.compare("ResNet-18", "DenseNet-121", margin=0.01)
        >>> print(result)                                        # a notebook shows tables
        >>> result.comparison.not_worse                          # 'supported', 'contradicted' or 'inconclusive'
        >>> result.cells.filter(winner="a")
        >>> result.chart().save("differences.svg")
        >>> result.save("comparison.md")
    """

    def __init__(self, comparison: Comparison) -> None:
        """Wrap a comparison; `Warehouse.compare` computes it."""
        self.comparison = comparison

    @property
    def sentences(self) -> list[str]:
        """Sentences on the more accurate model, the margin, and crossovers."""
        return ComparisonText(self.comparison).sentences

    @property
    def metrics(self) -> pl.DataFrame:
        """One row per metric, accuracy first: both values, difference with interval, better model or reason."""
        return self._frame("metrics")

    @property
    def corruptions(self) -> pl.DataFrame:
        """One row per corruption, lowest difference first: accuracies, difference and crossover with intervals."""
        return self._frame("corruptions")

    @property
    def cells(self) -> pl.DataFrame:
        """One row per cell, clean first: accuracies, difference, images only one model gets correct, adjusted p."""
        return self._frame("cells")

    @property
    def classes(self) -> pl.DataFrame:
        """One row per class, lowest difference first; intervals hold jointly over all classes."""
        return self._frame("classes")

    @property
    def images(self) -> pl.DataFrame:
        """One row per image that becomes incorrect or correct with B, those with most cells first."""
        return self._frame("images")

    def to_frame(self) -> pl.DataFrame:
        """The cells as a data frame, as `cells`."""
        return self.cells

    @property
    def document(self) -> Document:
        """Sentences, accuracy by corruption, and further tables, folded; docs/comparing.md lists the keys of its data.

        Its test case checks that the candidate is worse by at most the margin.
        """
        comparison = self.comparison
        text = ComparisonText(self.comparison, is_summary=True)
        headline, *rest = text.sentences
        by_corruption, *tables = text.tables()
        notes = dict.fromkeys((text.no_images, comparison.a.source_line, comparison.b.source_line))
        blocks: list[Block] = [
            Sentence(headline, "lead"),
            *(Sentence(sentence, "item") for sentence in rest),
            by_corruption,
        ]
        blocks += [Section(table.caption, (table,), is_folded=True) for table in tables]
        blocks += [Sentence(note, "note") for note in notes if note]
        outcome = CASE_OUTCOMES[comparison.not_worse]
        case = Case(f"at most {text.margin} worse", "failmodes.compare", outcome, headline, comparison.not_worse)
        return Document(f"{text.b} compared with {text.a}", tuple(blocks), _data(comparison), (case,))

    def _frame(self, name: str) -> pl.DataFrame:
        return pl.DataFrame(as_rows(self.comparison, name), schema=COLUMNS[name])

    def chart(
        self, *, layout: Literal["page", "paper"] = "page", width: str | None = None,
        theme: Literal["light", "dark"] = "light",
    ) -> "Figure":  # fmt: skip
        """Draw the differences by severity, one panel per corruption.

        Raises:
            StudyError: an unknown layout, width or theme.
        """
        from failmodes.analysis.charts.differences import draw
        from failmodes.analysis.charts.style.frame import frame_of

        return draw(self.comparison, frame=frame_of(layout, width)).with_theme(theme)


def as_rows(comparison: Comparison, name: str) -> list[dict[str, Any]]:
    """The rows of one of COLUMNS; metrics begin with corrupted and clean accuracy."""
    if name == "images":
        return [
            {"change": change, **image._asdict()}
            for change, changed in _changed(comparison).items()
            for image in (changed.images if changed else ())
        ]
    of_metrics = [comparison.overall, *([comparison.clean] if comparison.clean else []), *comparison.metrics]
    rows = map(_facts, of_metrics if name == "metrics" else getattr(comparison, name))
    return [{column: facts[column] for column in COLUMNS[name]} for facts in rows]


def _data(comparison: Comparison) -> dict[str, Any]:
    """What docs/gate.md and docs/comparing.md list."""
    pair = comparison.pair
    return {
        **json_head("compare", comparison.level),
        "sentences": ComparisonText(comparison).sentences,
        "not_worse": comparison.not_worse,
        "equivalent": comparison.equivalent,
        "margin": comparison.margin,
        **asdict(pair),
        "filter": pair.filter and pair.filter._asdict(),
        "missing_cells": [{"corruption": c, "severity": severity} for c, severity in pair.missing_cells],
        "has_verdict": pair.has_verdict,
        "verdicts": [_verdict(row) for row in comparison.verdicts],
        **{
            change: changed and {**changed._asdict(), "images": [image._asdict() for image in changed.images]}
            for change, changed in _changed(comparison).items()
        },
    }


def _verdict(row: Difference) -> dict[str, Any]:
    """A verdict with both values, and with what its scope adds."""
    return json_verdict(
        row.verdict,
        scope=row.scope,
        label=row.label or None,
        class_index=row.class_index,
        a=row.a,
        b=row.b,
        winner=row.winner,
        only_a=row.only_a,
        only_b=row.only_b,
        crossover=row.crossover and row.crossover._asdict(),
    )


def _changed(comparison: Comparison) -> dict[str, ChangedImages | None]:
    return {"newly_incorrect": comparison.newly_incorrect, "newly_correct": comparison.newly_correct}


def _facts(row: Difference) -> dict[str, Any]:
    """The values of a row by every column that some frame has."""
    metric, estimate = row.metric, row.difference
    value, low, high = estimate[:3] if estimate else (None,) * 3
    names = ("crossover", "crossover_low", "crossover_high", "ahead_first")
    return {
        "metric": metric.name, "score": row.question.score, "title": row.title, "unit": metric.unit,
        "better": metric.better, "cells": row.scope, "a": row.a, "b": row.b,
        "difference": value, "low": low, "high": high, "winner": row.winner, "reason": row.reason,
        "corruption": row.corruption, "corruption_label": row.label, "severity": row.severity,
        "only_a": row.only_a, "only_b": row.only_b, "adjusted_p": estimate and estimate.p_value,
        "class_index": row.class_index, "class_name": row.label, "image_count": estimate and estimate.n,
        **dict(zip(names, row.crossover or (None,) * 4, strict=True)),
    }  # fmt: skip
