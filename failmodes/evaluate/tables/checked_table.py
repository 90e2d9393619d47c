"""A table whose rows are all valid, and the roles of its columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.evaluate.tables.classes import ClassColumns
from failmodes.evaluate.tables.columns import Columns
from failmodes.evaluate.tables.conditions import Conditions
from failmodes.evaluate.tables.reading import PredictionTable
from failmodes.evaluate.tables.table_dataset import TableDataset
from failmodes.runtime.errors import counted, listed
from failmodes.runtime.hashing import identity_of

SHOWN = 6  # names in a line


class ImportedModel(NamedTuple):
    """A model of a table, or one of its runs: its label, its training seed, and the name of the run in the table."""

    label: str
    seed: int | None = None
    run: str | None = None

    @property
    def full_label(self) -> str:
        """The label with the number of the run, by which runs of one model are known."""
        return self.label if self.seed is None else f"{self.label}, run {self.seed}"


@dataclass(frozen=True, eq=False)
class CheckedTable:
    """A table whose rows are all valid.

    Attributes:
        table: its rows.
        dataset: its images.
        former: the dataset that the output folder holds; None without one.
        conditions: its cells.
        classes: the classes of the rows, as `dataset` numbers them.
        image_ids: (N,) int64.
        models: its models and their runs.
        model_codes: (N,) int64 model of each row.
        kept: rows that are stored, ordered by model, cell and image.
        half_step: half the step of rounded probabilities.
        class_order: (C,) column of the outputs of each class; None without outputs.
        left_out: columns that are not constant by image.
        reserved: columns that are named as one of ours.
        note: on images without metadata.
    """

    table: PredictionTable
    dataset: TableDataset
    former: TableDataset | None
    conditions: Conditions
    classes: ClassColumns
    image_ids: NDArray[np.int64]
    models: tuple[ImportedModel, ...]
    model_codes: NDArray[np.int64]
    kept: NDArray[np.int64]
    half_step: float | None
    class_order: NDArray[np.int64] | None
    left_out: tuple[str, ...]
    reserved: tuple[str, ...]
    note: str | None

    @cached_property
    def image_hashes(self) -> NDArray[np.uint64]:
        """Hash of the name of each image, by image_id."""
        return _text_hashes(self.dataset.images)

    @cached_property
    def class_hashes(self) -> NDArray[np.uint64]:
        """Hash of the name of each class, and 0 for none at the end."""
        return np.append(_text_hashes(self.dataset.class_names), np.uint64(0))

    def describe(self) -> list[str]:
        """The role of each column, and what the table holds, one line per fact."""
        columns: Columns = self.table.columns
        lines = [f"columns: {columns.describe()}"]
        if metadata := [*self.dataset.metadata]:
            lines.append(f"metadata of images: {listed(metadata, SHOWN)}")
        lines += [self.note] if self.note else []
        if self.left_out:
            lines.append(f"ignored, since they are not constant by image: {listed(self.left_out, SHOWN)}")
        if self.reserved:
            lines.append(f"ignored, since Failmodes has columns of these names: {listed(self.reserved, SHOWN)}")
        lines.append(self.dataset.describe())
        lines += self._of_cells()
        labels = list(dict.fromkeys(model.label for model in self.models))
        runs = f", {counted(len(self.models), 'run')}" if any(model.run for model in self.models) else ""
        lines.append(f"{counted(len(labels), 'model')}: {listed(labels, SHOWN)}{runs}")
        return [*lines, *self._absent()]

    def _of_cells(self) -> Iterator[str]:
        cells = self.conditions.cells
        shown = "" if self.conditions.axes else f": {listed(list(map(str, cells)), SHOWN)}"
        yield f"{counted(len(cells), 'cell')}{shown}"
        for axis, ranks in self.conditions.axes.values():
            levels = ", ".join(f"{value:g} = {rank}" for value, rank in ranks.items())
            yield f"severities of {axis.corruption}, {axis}: {levels}"
        if not cells[0].is_clean:
            yield "no reference level: there are accuracies, but no accuracy drops"

    def _absent(self) -> Iterator[str]:
        """What the table lacks, and what therefore is not measured."""
        if self.table.outputs is None and self.table.confidence is None:
            yield "no confidence: no calibration, no failure prediction"
        if self.table.outputs is None:
            yield "no logits of all classes: no log-loss, top-5 accuracy, temperature or prediction sets"
        if not self.dataset.of_pixels:
            yield "no pixels: no distortion, thumbnails or attention"


def _text_hashes(texts: Sequence[str]) -> NDArray[np.uint64]:
    """(K,) hash of each text."""
    return np.array([int(identity_of(text), 16) for text in texts], np.uint64)
