"""A comparison as Python gets it: sentences, data frames, a chart, and every output format."""

from typing import TYPE_CHECKING, Literal

from failmodes.analysis.judging.compare import Comparison
from failmodes.analysis.render.blocks import Document
from failmodes.analysis.render.rendered import Rendered

if TYPE_CHECKING:
    import polars as pl

    from failmodes.analysis.charts.style.figure import Figure


class ComparisonResult(Rendered):
    """Two models compared, a baseline A and a candidate B: what `Warehouse.compare` returns.

    Every difference is B minus A. Shares are 0-1 and differences of shares -1 to 1; documents show percentages and
    points.

    Attributes:
        comparison: all that was computed, as dataclasses.

    Examples:
        >>> result = w.compare("ResNet-18", "DenseNet-121", margin=0.01)
        >>> print(result)                                        # a notebook shows tables
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
        """Which model is more accurate, whether the margin is kept, how images pair, where curves cross."""
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
        """A row a cell, clean first: accuracies, difference, images only one predicts correctly, adjusted p."""
        return self._frame("cells")

    @property
    def classes(self) -> "pl.DataFrame":
        """A row a class, B's largest loss first; intervals hold for all classes together."""
        return self._frame("classes")

    @property
    def images(self) -> "pl.DataFrame":
        """A row an image that B newly predicts incorrectly or correctly, those of most cells first."""
        return self._frame("images")

    def _frame(self, name: str) -> "pl.DataFrame":
        from failmodes.analysis.judging.compare_document import as_frame

        return as_frame(self.comparison, name)

    @property
    def document(self) -> Document:
        """Sentences, accuracy by corruption, other tables folded; docs/comparing.md explains the keys of its data."""
        from failmodes.analysis.judging.compare_document import comparison_document

        return comparison_document(self.comparison)

    def to_frame(self) -> "pl.DataFrame":
        """The cells as a data frame, as `cells`."""
        return self.cells

    def chart(
        self, *, layout: Literal["page", "paper"] = "page", width: str | None = None,
        theme: Literal["light", "dark"] = "light",
    ) -> "Figure":  # fmt: skip
        """The differences along severity, a panel a corruption.

        Raises:
            StudyError: an unknown layout, width or theme.
        """
        from failmodes.analysis.charts.differences import draw
        from failmodes.analysis.charts.style.frame import frame_of

        return draw(self.comparison, frame=frame_of(layout, width)).with_theme(theme)
