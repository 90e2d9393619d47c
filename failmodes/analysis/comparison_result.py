"""A comparison in the hand: it prints as text, shows itself in notebooks, and gives its figures as data frames."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from failmodes.analysis.judging.compare import Comparison

if TYPE_CHECKING:
    import altair as alt
    import polars as pl


class ComparisonResult:
    """Two models compared, the first, A, with the second, B: what `Warehouse.compare` returns.

    Every difference is B minus A. Shares are 0-1 and differences of shares -1 to 1; text, Markdown and pages give them
    in per cent and points.

    Attributes:
        comparison: all that was computed, as dataclasses.

    Examples:
        >>> result = w.compare("ResNet-18", "DenseNet-121", margin=0.01)
        >>> print(result)                                        # in a notebook it shows itself
        >>> result.comparison.not_worse                          # 'supported', 'contradicted' or 'inconclusive'
        >>> result.cells.filter(winner="a")
        >>> result.chart().save("differences.svg")
        >>> result.save("comparison.md")
    """

    def __init__(self, comparison: Comparison) -> None:
        """Hold a comparison; `Warehouse.compare` makes it."""
        self.comparison = comparison

    @property
    def sentences(self) -> list[str]:
        """What it says: which is right more often, whether the margin is kept, how images pair, where curves cross."""
        from failmodes.analysis.judging.compare_text import ComparisonText

        return ComparisonText(self.comparison).sentences

    @property
    def metrics(self) -> "pl.DataFrame":
        """A row a metric, accuracy first: both values, difference with interval, which is better, or why none is."""
        return self._frame("metrics")

    @property
    def corruptions(self) -> "pl.DataFrame":
        """A row a corruption, B's largest loss first: accuracies, difference with interval, crossover with interval."""
        return self._frame("corruptions")

    @property
    def cells(self) -> "pl.DataFrame":
        """A row a cell, clean first: accuracies, difference with interval, images only one gets right, adjusted p."""
        return self._frame("cells")

    @property
    def classes(self) -> "pl.DataFrame":
        """A row a class, B's largest loss first; intervals hold for all classes together."""
        return self._frame("classes")

    @property
    def images(self) -> "pl.DataFrame":
        """A row an image that is newly wrong or newly right in B, those of most cells first."""
        return self._frame("images")

    def _frame(self, name: str) -> "pl.DataFrame":
        from failmodes.analysis.judging.compare_formats import as_frame

        return as_frame(self.comparison, name)

    def to_frame(self) -> "pl.DataFrame":
        """The cells as a data frame, as `cells`."""
        return self.cells

    def to_text(self, width: int = 80) -> str:
        """Sentences and tables for a terminal of so many letters a line."""
        from failmodes.analysis.judging.compare_formats import as_text

        return as_text(self.comparison, width)

    def to_markdown(self) -> str:
        """Markdown for a pull request: the answer, a table by corruption, and the rest folded."""
        from failmodes.analysis.judging.compare_formats import as_markdown

        return as_markdown(self.comparison)

    def to_json(self) -> str:
        """Everything as JSON, whose keys docs/comparing.md explains."""
        from failmodes.analysis.judging.compare_formats import as_json

        return as_json(self.comparison)

    def save(self, path: "str | os.PathLike[str]", *, force: bool = False) -> Path:
        """Write it as .md, .json or .txt.

        Args:
            path: the file.
            force: replace even a study, warehouse or results shard that has one of these suffixes.

        Raises:
            StudyError: another suffix, or a file that must not be replaced.
            StorageError: the file could not be written.
        """
        from failmodes.analysis.judging.compare_formats import write_comparison

        return write_comparison(self.comparison, Path(path), force=force)

    def chart(
        self, *, layout: Literal["page", "paper"] = "page", theme: Literal["light", "dark"] = "light"
    ) -> "alt.VConcatChart":
        """The differences along severity, a panel a corruption, as an Altair chart.

        Raises:
            StudyError: an unknown layout or theme.
        """
        from altair.utils.schemapi import debug_mode

        from failmodes.analysis.charts.differences import draw
        from failmodes.analysis.charts.style.saving import with_theme
        from failmodes.analysis.charts.style.theme import CHART_SIZES
        from failmodes.warehouse.errors import StudyError

        if layout not in CHART_SIZES:
            raise StudyError(f"no layout {layout!r}: choose {' or '.join(CHART_SIZES)}")
        with debug_mode(False):
            return with_theme(draw(self.comparison, size=CHART_SIZES[layout]), theme)

    def __str__(self) -> str:
        return self.to_text().rstrip("\n")

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        from failmodes.analysis.judging.compare_formats import as_html

        return as_html(self.comparison)
