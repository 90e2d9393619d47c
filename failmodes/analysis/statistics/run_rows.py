"""Rows of evaluations as arrays, cell by cell, and which images two models are compared on.

Metrics are recomputed and resampled from these.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray

from failmodes.analysis.evaluations.shared_cells import CellKey as CellKey
from failmodes.analysis.statistics.attributes import MISSING, attribute_groups
from failmodes.analysis.statistics.estimate import Float64Array
from failmodes.runtime.errors import WarehouseError
from failmodes.warehouse.database.connection import REBUILD_HINT, fetch_first, read_once
from failmodes.warehouse.database.stored_metrics import select_facts
from failmodes.warehouse.metrics.cell_rows import (
    ATTRIBUTE,
    CellRows,
    ComparedCell,
    NotStored,
    column_of,
    decode_pattern,
    hash_of_ids,
)
from failmodes.warehouse.metrics.duplicates import (
    Copies,
    DuplicateImages,
    Groups,
    count_duplicates,
    independent_share,
    kept_groups,
    read_copies,
    read_groups,
)
from failmodes.warehouse.schema import CLEAN, OF_TABLE

Rows = NDArray[np.int64]
Columns = dict[str, NDArray[Any]]
CLEAN_CELL: CellKey = (CLEAN, 0.0)
IMAGE_ID = "image_id"
OTHER_PIXELS = "corrupted pixels differ: another source of corruptions, such as another random seed"


@dataclass(frozen=True, eq=False)
class RunRows:
    """One evaluation: whether each image is correct in each cell, and other columns of its predictions.

    Attributes:
        evaluation_id: of the evaluation.
        shares_images: whether all cells have the same images; else corrupted images do not pair with clean ones.
        cells: by corruption and severity.
        correct: (N, C) whether each image is correct in each cell, in the order of `image_id`; False beyond the images
            of a cell with fewer than others.
        counts: (C,) images of each cell; empty if all have N.
        ids_hashes: (C,) hash of the image_ids of each cell.
        groups: (N,) of duplicates among the clean images; None if all are distinct.
        columns: (N, C) by the names of `CellRows`, lists (N, C, K); columns that were read are kept.
        con: the warehouse that columns are read from; None if all are given.
        whole: the evaluation with all of its images, of which `of_images` kept some.
        kept: rows of these in each cell of `cells`.
    """

    evaluation_id: str
    shares_images: bool
    cells: list[CellKey]
    correct: NDArray[np.bool_]
    ids_hashes: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    groups: Groups | None = None
    columns: Columns = field(default_factory=dict)
    con: duckdb.DuckDBPyConnection | None = None
    whole: "RunRows | None" = None
    kept: tuple[Rows, ...] = ()
    _absent: set[str] = field(default_factory=set)

    @property
    def image_count(self) -> int:
        """Images of a cell; of the largest, if cells have different numbers."""
        return len(self.correct)

    @property
    def is_even(self) -> bool:
        """Whether all cells have as many images."""
        return not self.counts

    def _count(self, column: int) -> int:
        return self.counts[column] if self.counts else len(self.correct)

    @property
    def independent_share(self) -> float:
        """Kish's effective number of images as a share of them; 1 without duplicates."""
        return independent_share(self.groups)

    @property
    def effective_count(self) -> float:
        """Kish's effective number of images; their number if there are no duplicates."""
        return len(self.correct) * self.independent_share

    @property
    def accuracy(self) -> Float64Array:
        """Accuracy of every cell, (C,) 0-1."""
        shares: Float64Array = self.correct.sum(axis=0) / (self.counts or len(self.correct))
        return shares

    def of_images(self, image_ids: NDArray[Any]) -> "RunRows":
        """The evaluation on some of its images, without cells that have none of them.

        Args:
            image_ids: the images; those that a cell does not have are left out.
        """
        if self.shares_images:
            rows = np.flatnonzero(np.isin(self.image_ids, image_ids))
            of_cells = [rows] * len(self.cells)
        else:
            self.read([IMAGE_ID])
            of_cells = [
                np.flatnonzero(np.isin(self.columns[IMAGE_ID][: self._count(column), column], image_ids))
                for column in range(len(self.cells))
            ]
        places = [column for column, rows in enumerate(of_cells) if len(rows)]
        kept = tuple(of_cells[column] for column in places)
        counts = tuple(map(len, kept))
        ids = [self.columns[IMAGE_ID][rows, column] for rows, column in zip(kept, places, strict=True)]
        hashes = [hash_of_ids(ids[0])] * len(kept) if self.shares_images and kept else map(hash_of_ids, ids)
        return RunRows(
            self.evaluation_id, self.shares_images, [self.cells[column] for column in places],
            _padded([self.correct[rows, column] for rows, column in zip(kept, places, strict=True)]),
            tuple(hashes), counts if len(set(counts)) > 1 else (), kept_groups(self.groups, kept[0]) if kept else None,
            con=self.con, whole=self, kept=kept,
        )  # fmt: skip

    def curves(self) -> dict[str, dict[float, int]]:
        """The column of each severity, from clean on, by corruption; empty without a clean cell."""
        if CLEAN_CELL not in self.places:
            return {}
        clean = self.places[CLEAN_CELL]
        columns: dict[str, dict[float, int]] = {}
        for column, (corruption, severity) in enumerate(self.cells):
            if corruption != CLEAN:
                columns.setdefault(corruption, {0.0: clean})[severity] = column
        return columns

    @property
    def image_ids(self) -> Rows:
        """(N,) of the first cell; of all cells if these share images."""
        self.read([IMAGE_ID])
        ids: Rows = self.columns[IMAGE_ID][: self._count(0), 0]
        return ids

    @property
    def every_image(self) -> NDArray[np.int64]:
        """The image_ids of all cells, rising."""
        if self.shares_images:
            return self.image_ids.astype(np.int64)
        return np.unique(np.concatenate([self.rows(cell)[IMAGE_ID] for cell in self.cells])).astype(np.int64)

    def ids_hash(self, cell: CellKey) -> str:
        """Hash of the image_ids of a cell."""
        return self.ids_hashes[self.places[cell]]

    @cached_property
    def places(self) -> dict[CellKey, int]:
        """The column of each cell."""
        return {cell: column for column, cell in enumerate(self.cells)}

    def rows(self, cell: CellKey, kept: Rows | None = None) -> CellRows:
        """The images of one cell, all or those in the rows `kept`."""
        column = self.places[cell]
        chosen = slice(self._count(column)) if kept is None else kept

        def read(name: str) -> NDArray[Any]:
            self.read([name])
            values: NDArray[Any] = self.columns[name][:, column]
            return values[chosen]

        correct = self.correct[:, column][chosen]
        return CellRows(*cell, len(correct), read, {"correct": correct}, lambda: self.cell_groups(cell, kept))

    def cell_groups(self, cell: CellKey, kept: Rows | None = None) -> Groups | None:
        """Groups of duplicates among the images of one cell, all or those in the rows `kept`; None if distinct.

        If cells do not share images, groups follow from the image_id of each cell.
        """
        groups = self.groups
        if not self.shares_images and self.con is not None:
            copies = copies_of(self.con, self.evaluation_id)
            if copies is None:
                return None
            self.read([IMAGE_ID])
            column = self.places[cell]
            groups = copies.groups_of(self.columns[IMAGE_ID][: self._count(column), column])
        return kept_groups(groups, kept)

    def cell(self, cell: CellKey, kept: Rows | None = None, among: Collection[CellKey] | None = None) -> ComparedCell:
        """One cell with the cells that it is compared with.

        Args:
            cell: which.
            kept: rows of its images; None for all.
            among: cells of curves; None for all.
        """
        reference = self.rows(CLEAN_CELL) if CLEAN_CELL in self.places else None
        if not self.shares_images or reference is None:
            return ComparedCell(self.rows(cell, kept), reference=reference)
        milder = [key for key in self.cells if key[0] == cell[0] and 0 < key[1] < cell[1]]
        known = [key for key in milder if among is None or key in among]
        curve = tuple(self.rows(key, kept) for key in dict.fromkeys([CLEAN_CELL, *known, cell]))
        return ComparedCell(curve[-1], curve[0], curve, reference)

    def read(self, names: Sequence[str]) -> None:
        """Read columns that were not read before, (N, C) each, lists (N, C, K), in the order of image_id and cells.

        Raises:
            NotStored: a column is entirely null, or not given; all others are read.
            WarehouseError: the number of predictions is not that of the cells.
        """
        missing = [name for name in dict.fromkeys(names) if name not in self.columns and name not in self._absent]
        if missing and self.whole is not None:
            with suppress(NotStored):
                self.whole.read(missing)
            columns = [self.whole.places[cell] for cell in self.cells]
            for name in self.whole.columns.keys() & {*missing}:
                values = self.whole.columns[name]
                self.columns[name] = _padded(
                    [values[rows, column] for rows, column in zip(self.kept, columns, strict=True)]
                )
        elif missing and self.con is not None:
            self._read_stored(self.con, missing)
        self._absent.update(name for name in missing if name not in self.columns)
        for name in names:
            if name in self._absent:
                raise NotStored(name)

    def _read_stored(self, con: duckdb.DuckDBPyConnection, names: Sequence[str]) -> None:
        self.columns.update({name: self._groups_by(con, name) for name in names if name.startswith(ATTRIBUTE)})
        if missing := [name for name in names if not name.startswith(ATTRIBUTE)]:
            in_cells = "(corruption, severity) in (select (corruption, severity) from cell_predictions where {})"
            condition = "evaluation_id = $1"
            rows = con.sql(
                select_facts([IMAGE_ID, *missing], f"{condition} and {in_cells.format(condition)}"),
                params=[self.evaluation_id],
            ).to_arrow_table()
            expected = sum(self.counts) if self.counts else self.correct.size
            if rows.num_rows != expected:
                raise WarehouseError(
                    f"evaluation {self.evaluation_id} has {rows.num_rows:,} predictions, expected {expected:,}: the "
                    f"warehouse was changed; {REBUILD_HINT}"
                )
            for name in missing:
                with suppress(NotStored):
                    self.columns[name] = self._by_cell(column_of(rows, name))

    def _groups_by(self, con: duckdb.DuckDBPyConnection, name: str) -> NDArray[Any]:
        """(N, C) the number of the group of each image by an attribute.

        Raises:
            StudyError: images have no such attribute.
        """
        self.read([IMAGE_ID])
        (dataset_id,) = fetch_first(
            con, "select dataset_id from evaluations where evaluation_id = ?", [self.evaluation_id]
        ) or ("",)
        ids = self.columns[IMAGE_ID]
        groups = attribute_groups(con, str(dataset_id), name.removeprefix(ATTRIBUTE), np.unique(ids))
        places = np.searchsorted(groups.image_ids, ids).clip(max=len(groups.image_ids) - 1)
        codes: NDArray[Any] = np.where(groups.image_ids[places] == ids, groups.codes[places], MISSING)
        return codes

    def _by_cell(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of all predictions, cell by cell, as (N, C); 0 beyond the images of a cell with fewer than others."""
        if not self.counts:
            shape = len(self.cells), self.image_count, *values.shape[1:]
            return np.swapaxes(values.reshape(shape), 0, 1)
        return _padded(np.split(values, np.cumsum(self.counts)[:-1]))


def _padded(of_cells: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The values of each cell as (N, C), or (N, C, K); 0 beyond the images of a cell with fewer than others."""
    first = of_cells[0]
    padded = np.zeros((len(of_cells), max(map(len, of_cells)), *first.shape[1:]), first.dtype)
    for place, of_cell in enumerate(of_cells):
        padded[place, : len(of_cell)] = of_cell
    return np.swapaxes(padded, 0, 1)


@read_once
def read_run(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> RunRows:
    """Read the correctness of every image in every cell of an evaluation; other columns are read when needed.

    Raises:
        WarehouseError: the evaluation is unknown, a cell is incomplete, the clean cell is missing (unless a table has
            no reference level), or the table is damaged.
    """
    row = fetch_first(
        con,
        "select evaluations.image_count, paired, source_kind = ? from evaluations left join sources using (source_id) "
        "where evaluation_id = ?",
        [OF_TABLE, evaluation_id],
    )
    if not row:
        raise WarehouseError(f"no evaluation {evaluation_id} in this warehouse")
    expected, paired, is_table = row
    rows = con.execute(
        "select corruption, severity::double, row_count, image_count, image_ids_md5, correct_images "
        "from cell_predictions where evaluation_id = ? order by corruption, severity",
        [evaluation_id],
    ).fetchall()
    counts = tuple(images for *_, images, _, _ in rows)
    has_own_images = is_table and not paired  # each cell
    for corruption, severity, row_count, images, *_ in rows:
        wanted = images if has_own_images else expected
        if not row_count == images == wanted:
            raise WarehouseError(
                f"evaluation {evaluation_id}, {corruption} at severity {severity:g} has {row_count} rows of {images} "
                f"images, expected {wanted}: run `failmodes status`, then `failmodes load --rebuild`"
            )
    cells = [row[:2] for row in rows]
    if CLEAN_CELL not in cells and not (is_table and cells):
        raise WarehouseError(f"evaluation {evaluation_id} has no clean cell: finish `failmodes evaluate`")
    *_, hashes, patterns = zip(*rows, strict=True)
    groups = None if has_own_images else image_groups(con, evaluation_id)
    has_all_letters = all(
        pattern.isascii() and len(pattern) == count for pattern, count in zip(patterns, counts, strict=True)
    )
    has_other_images = (paired and len(set(hashes)) > 1) or (groups is not None and len(groups) != expected)
    if has_other_images or not has_all_letters:
        raise WarehouseError(f"cell_predictions of evaluation {evaluation_id} is damaged: {REBUILD_HINT}")
    by_cell = _padded(list(map(decode_pattern, patterns)))
    own_counts = counts if len(set(counts)) > 1 else ()
    return RunRows(evaluation_id, paired, cells, by_cell, hashes, own_counts, groups, con=con)


@dataclass(frozen=True)
class ImagePairing:
    """The images on which two models are compared.

    Attributes:
        kind: 'same': both were evaluated on the same images; 'common': they are compared on the images that both have;
            'different': each on its own images, as independent samples.
        image_count: images of a cell that both sides share; with 'different', those of the smaller side.
        note: why the images are not the same; '' if they are.
        shares_images: whether any image is in both sets.
    """

    kind: Literal["same", "common", "different"]
    image_count: int
    note: str = ""
    shares_images: bool = True

    @property
    def is_paired(self) -> bool:
        """Whether differences are taken image by image."""
        return self.kind != "different"


class ModelRows(NamedTuple):
    """The rows of a model's training runs, all on the same images.

    Attributes:
        runs: one at least.
        dataset_id: of the images.
        source_id: of the corrupted pixels.
        kept: rows of the images that are compared with another model's; None for all.
    """

    runs: tuple[RunRows, ...]
    dataset_id: str = ""
    source_id: str = ""
    kept: Rows | None = None

    @property
    def shares_images(self) -> bool:
        """Whether all cells are of the same images."""
        return all(run.shares_images for run in self.runs)

    @property
    def image_count(self) -> int:
        """Images of a cell, of those that are kept."""
        return self.runs[0].image_count if self.kept is None else len(self.kept)

    @property
    def cells(self) -> list[CellKey]:
        """Cells that all runs have, by corruption and severity."""
        return [cell for cell in self.runs[0].cells if all(cell in run.places for run in self.runs)]


def pair_images(a: ModelRows, b: ModelRows) -> tuple[ImagePairing, ModelRows, ModelRows]:
    """Find the images on which two models can be compared, and keep only these.

    Images are the same if the clean ones are from one dataset and have the same indices in every cell that both have.
    If at least half of the smaller set is in both sets, those are compared. With fewer, most of the data would be
    unused; as independent samples, the interval is then too wide rather than too narrow.
    """
    smaller = min(a.image_count, b.image_count)
    if a.dataset_id != b.dataset_id:
        return ImagePairing("different", smaller, "different datasets", shares_images=False), a, b
    run = a.runs[0]
    other_run = b.runs[0]
    both_share = a.shares_images and b.shares_images
    same_source = a.source_id == b.source_id
    shared = [cell for cell in a.cells if cell in other_run.places]
    if (both_share or same_source) and all(run.ids_hash(cell) == other_run.ids_hash(cell) for cell in shared):
        return ImagePairing("same", a.image_count, "" if same_source else OTHER_PIXELS), a, b
    if not both_share:
        note = "corrupted images do not pair with clean ones, and the cells have different images"
        return ImagePairing("different", smaller, note), a, b
    common, rows_a, rows_b = np.intersect1d(run.image_ids, other_run.image_ids, return_indices=True)
    counts = f"{a.image_count:,} and {b.image_count:,} images, {len(common):,} in common"
    if 2 * len(common) < smaller:
        return ImagePairing("different", smaller, counts, shares_images=len(common) > 0), a, b
    note = counts if same_source else f"{counts}; {OTHER_PIXELS}"
    return ImagePairing("common", len(common), note), a._replace(kept=rows_a), b._replace(kept=rows_b)


@read_once
def copies_of(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> Copies | None:
    """The duplicates of the dataset of an evaluation; None if there are none, or if pixels are unknown."""
    return read_copies(con, evaluation_id)


@read_once
def image_groups(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> Groups | None:
    """(N,) groups of duplicates among the clean images of an evaluation by rising image_id; None if distinct."""
    return read_groups(con, evaluation_id)


@read_once
def duplicate_images(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> DuplicateImages:
    """How many clean images an evaluation has, and how many distinct ones."""
    return count_duplicates(con, evaluation_id, image_groups(con, evaluation_id))


@read_once
def share_of_independent(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> float:
    """Kish's effective number of clean images of an evaluation as a share of them: what closed-form intervals take."""
    return independent_share(image_groups(con, evaluation_id))
