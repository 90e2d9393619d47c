"""Slices of evaluated images that models predict correctly less often than all other images."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations
from typing import NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection
from failmodes.analysis.statistics.attributes import CLASS, AttributeGroups, attribute_columns, attribute_groups
from failmodes.analysis.statistics.difference import MeanError, Measured
from failmodes.analysis.statistics.distinct_slices import DistinctSlice, distinct_slices
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.filters import filtered_run
from failmodes.analysis.statistics.run_rows import CLEAN_CELL, CellKey, RunRows
from failmodes.analysis.statistics.shares import count_pairs, difference_of_changes, difference_of_groups
from failmodes.analysis.statistics.slice_search import (
    MAX_CONDITIONS,
    SliceSearch,
    fisher_p,
    group_images,
    search_slices,
)
from failmodes.runtime.errors import StudyError, WarehouseError, did_you_mean, listed, shown
from failmodes.sql import sql_identifier
from failmodes.warehouse.database.connection import REBUILD_HINT
from failmodes.warehouse.metrics.metric import FEWEST_IMAGES, NEWCOMBE
from failmodes.warehouse.schema import CLEAN, DIFFERENCE_OF_SHARES

MAX_SLICES = 1_000_000  # of a search whose depth is not given
MAX_LISTED = 12  # names in an error
CLEAN_PREDICTIONS = ("correct", "incorrect")


@dataclass(frozen=True)
class SliceOptions:
    """What is searched.

    Attributes:
        corruptions: only these; empty for all, and clean images.
        severities: only these; empty for all.
        by: attributes of images; empty for all.
        depth: most conditions of a slice; None for MAX_CONDITIONS, or as many as give MAX_SLICES slices.
        fewest_images: distinct images of a slice.
        filter: only images that this SQL condition keeps; "" for all.
        clean_prediction: only images whose clean image is predicted "correct", "incorrect" or as this class; "" for
            all. It contains the outcome, so that it is no attribute of slices.
        rows: most slices of a model and corruption.
    """

    corruptions: tuple[str, ...] = ()
    severities: tuple[float, ...] = ()
    by: tuple[str, ...] = ()
    depth: int | None = None
    fewest_images: int = FEWEST_IMAGES
    filter: str = ""
    clean_prediction: str = ""
    rows: int = 10


@dataclass(frozen=True)
class Slice:
    """A slice under a corruption at the severity at which it deviates most, and what is measured of it.

    Attributes:
        evaluation: of the model.
        name: of the slice: camera = B and image_luminance below 0.2.
        condition: the same as an SQL condition over `images` and `class_name`, a filter.
        cell: corruption and severity.
        images: distinct ones in the slice.
        accuracy: of these, 0-1.
        rest_accuracy: of all others, 0-1.
        difference: accuracy minus rest_accuracy, with Fisher's one-sided p value.
        on_clean: the same on clean images; None for clean images, or without any.
        extra_drop: how much more accuracy drops from clean images than that of all others; None likewise.
        comparisons: tests among which the slice was picked, see `slice_search`.
        explained: further supported slices that it explains.
    """

    evaluation: EvaluationInfo
    name: str
    condition: str
    cell: CellKey
    images: int
    accuracy: float
    rest_accuracy: float
    difference: Measured
    on_clean: Measured | None
    extra_drop: Measured | None
    comparisons: int
    explained: int


class GroupGap(NamedTuple):
    """The groups of an attribute with the highest and the lowest accuracy under a corruption.

    Attributes:
        evaluation: of the model.
        cell: corruption and severity, of those of the corruption the one with the largest gap.
        worst: the group with the lowest accuracy.
        worst_accuracy: of it, 0-1.
        best: the group with the highest.
        best_accuracy: of it, 0-1.
        gap: best_accuracy minus worst_accuracy; its 95% interval of the largest difference of any two groups holds for
            all cells and models together.
    """

    evaluation: EvaluationInfo
    cell: CellKey
    worst: str
    worst_accuracy: float
    best: str
    best_accuracy: float
    gap: Estimate


@dataclass(frozen=True)
class SearchedSlices:
    """The result of a search over models that were evaluated on the same images.

    Attributes:
        slices: of each model in turn.
        attributes: that were searched.
        slice_count: slices of enough images.
        test_count: tests of all slices in all cells of all models of the selection.
        cell_count: cells of a model.
        depth: most conditions of a slice.
        images: evaluated images, of those that filters keep.
        distinct: of these.
        left_out: models whose cells show different images.
        gaps: between the groups of the attribute, where only one was searched.
    """

    slices: tuple[Slice, ...]
    attributes: tuple[str, ...]
    slice_count: int
    test_count: int
    cell_count: int
    depth: int
    images: int
    distinct: int
    left_out: tuple[str, ...] = ()
    gaps: tuple[GroupGap, ...] = ()


@dataclass(frozen=True)
class _Searched:
    """The search of one model, with its attributes and clean images."""

    evaluation: EvaluationInfo
    search: SliceSearch
    attributes: tuple[AttributeGroups, ...]
    cells: list[CellKey]
    clean: NDArray[np.bool_] | None
    images: int


def find_slices(
    con: duckdb.DuckDBPyConnection, selection: Selection, options: SliceOptions, *, family: int
) -> SearchedSlices:
    """Search the slices of all models of a selection.

    Args:
        con: the warehouse, with `images` and `classes`.
        selection: the models.
        options: what is searched.
        family: models whose slices are corrected together, those of other selections included.

    Raises:
        StudyError: an unknown attribute, severity or class; or no image is left.
        QueryError: the filter is not a condition on images.
    """
    runs = {one: _kept_run(con, one, options) for one in selection.evaluations}
    usable = {one: run for one, run in runs.items() if run.shares_images}
    if not usable:
        raise StudyError("slices compare the same images in all cells: this table shows different images in each")
    chosen = {one: _chosen_cells(run, selection, options) for one, run in usable.items()}
    if not any(chosen.values()):
        severities = listed([f"{severity:g}" for severity in selection.severities], MAX_LISTED)
        raise StudyError(f"no cell is at these severities: the severities are {severities}")
    known: dict[tuple[str, bytes], tuple[AttributeGroups, ...]] = {}
    searched = [_search(con, one, usable[one], cells, options, known) for one, cells in chosen.items() if cells]
    first = searched[0]
    return SearchedSlices(
        tuple(found for one in searched for found in _slices_of(one, family, options)),
        tuple(one.column for one in first.attributes),
        sum(first.search.slice_counts),
        sum(one.search.test_count for one in searched),
        len(first.cells),
        len(first.search.slice_counts),
        first.images,
        len(first.search.images.correct),
        tuple(one.label for one in runs if one not in usable),
        tuple(gap for one in searched for gap in _gaps(one, family)) if len(options.by) == 1 else (),
    )


def _kept_run(con: duckdb.DuckDBPyConnection, evaluation: EvaluationInfo, options: SliceOptions) -> RunRows:
    """The rows of a model on the images that both filters keep."""
    run = filtered_run(con, evaluation.evaluation_id, options.filter)
    if not options.clean_prediction:
        return run
    if CLEAN_CELL not in run.places or not run.shares_images:
        raise StudyError(f"{evaluation.label} has no clean images of the same kind: leave out clean_prediction")
    clean = run.rows(CLEAN_CELL)
    if options.clean_prediction in CLEAN_PREDICTIONS:
        kept = clean["correct"] == (options.clean_prediction == "correct")
    else:
        kept = clean["predicted"] == _class_index(con, evaluation, options.clean_prediction)
    if not kept.any():
        raise StudyError(f"no clean image of {evaluation.label} is predicted {shown(options.clean_prediction)}")
    return run.of_images(run.image_ids[kept])


def _class_index(con: duckdb.DuckDBPyConnection, evaluation: EvaluationInfo, name: str) -> int:
    rows = "select class_name, class_index from classes where dataset_id = ?"
    classes = dict(con.execute(rows, [evaluation.facts["dataset_id"]]).fetchall())
    if name not in classes:
        known = [*CLEAN_PREDICTIONS, *classes]
        raise StudyError(
            f"unknown clean prediction {shown(name)}: {did_you_mean(name, known, listed(known, MAX_LISTED))}"
        )
    return int(classes[name])


def _chosen_cells(run: RunRows, selection: Selection, options: SliceOptions) -> list[CellKey]:
    """The cells that are searched, corruption by corruption; clean ones too where nothing is named."""
    is_whole = not (options.corruptions or options.severities or options.clean_prediction in CLEAN_PREDICTIONS)
    return [
        cell
        for cell in run.cells
        if (cell[0] in selection.corruptions or (cell[0] == CLEAN and (is_whole or not selection.corruptions)))
        and (not options.severities or cell[1] in options.severities)
    ]


def _search(
    con: duckdb.DuckDBPyConnection,
    evaluation: EvaluationInfo,
    run: RunRows,
    cells: list[CellKey],
    options: SliceOptions,
    known: dict[tuple[str, bytes], tuple[AttributeGroups, ...]],
) -> _Searched:
    """Search the slices of one model; `known` keeps the attributes of images, which models share."""
    key = str(evaluation.facts["dataset_id"]), run.image_ids.tobytes()
    if key not in known:
        known[key] = _attributes(con, evaluation, run, options)
    attributes = known[key]
    places = np.arange(run.image_count) if run.groups is None else np.unique(run.groups, return_index=True)[1]
    columns = np.array([run.places[cell] for cell in cells])
    names = list(dict.fromkeys(corruption for corruption, _ in cells))
    images = group_images(
        np.stack([one.codes[places] for one in attributes], axis=1),
        run.correct[np.ix_(places, columns)],
        [names.index(corruption) for corruption, _ in cells],
        fewest_images=options.fewest_images,
    )
    sizes = np.bincount(images.attributes, minlength=len(attributes))
    depth = options.depth or _depth_within(sizes)
    search = search_slices(images, depth=min(depth, len(attributes)), fewest_images=options.fewest_images)
    clean = run.correct[places, run.places[CLEAN_CELL]] if CLEAN_CELL in run.places else None
    return _Searched(evaluation, search, attributes, cells, clean, run.image_count)


def has_attributes(con: duckdb.DuckDBPyConnection, dataset_id: str, image_ids: NDArray[np.integer]) -> bool:
    """Whether anything but the class is known of these images of a dataset that has several values."""
    names = [name for name in attribute_columns(con) if name != CLASS]
    counts = ", ".join(f"count(distinct {sql_identifier(name)})" for name in names)
    query = f"select {counts} from images where dataset_id = ? and image_id = any(?)"
    (row,) = con.execute(query, [dataset_id, image_ids.tolist()]).fetchall()
    return any(count > 1 for count in row)


def _attributes(
    con: duckdb.DuckDBPyConnection, evaluation: EvaluationInfo, run: RunRows, options: SliceOptions
) -> tuple[AttributeGroups, ...]:
    """The groups of each attribute that has several."""
    names = dict.fromkeys(options.by) or attribute_columns(con)
    every = [attribute_groups(con, evaluation.facts["dataset_id"], name, run.image_ids) for name in names]
    if any(len(one.codes) != run.image_count for one in every):
        raise WarehouseError(f"images of evaluation {evaluation.evaluation_id} are missing: {REBUILD_HINT}")
    kept = tuple(one for one in every if options.by or len(one.names) > 1)
    if not kept:
        raise StudyError("images have no attribute with several values: add metadata to the dataset")
    return kept


def _depth_within(sizes: NDArray[np.intp]) -> int:
    """The most conditions, up to MAX_CONDITIONS, that give at most MAX_SLICES slices.

    Args:
        sizes: (A,) groups of each attribute.
    """
    conjunctions = [1, *[0] * MAX_CONDITIONS]  # of 0, 1, … conditions of the attributes so far
    for size in map(int, sizes):
        for depth in range(MAX_CONDITIONS, 0, -1):
            conjunctions[depth] += size * conjunctions[depth - 1]
    return max(1, int((np.cumsum(conjunctions[1:]) <= MAX_SLICES).sum()))


def _gaps(searched: _Searched, family: int) -> Iterator[GroupGap]:
    """The largest gap between groups of the only attribute under each corruption."""
    images = searched.search.images
    groups = images.members.T.astype(np.float32)
    if len(groups) < 2:
        return
    sizes, hits = groups.sum(axis=1), groups @ images.correct
    shares = hits / sizes[:, None]
    first, second = np.array([pair for pair in permutations(range(len(groups)), 2)]).T
    low, high = difference_of_groups(
        (shares[first], shares[second]), (sizes[first, None], sizes[second, None]),
        comparisons=family * shares.shape[1] * len(first) // 2,
    )  # fmt: skip
    gaps = shares.max(axis=0) - shares.min(axis=0)
    names = [searched.attributes[0].names[code] for code in images.codes]
    for corruption in np.unique(images.corruptions):
        cells = np.flatnonzero(images.corruptions == corruption)
        cell = cells[gaps[cells].argmax()]
        worst, best = int(shares[:, cell].argmin()), int(shares[:, cell].argmax())
        gap = Estimate(
            float(gaps[cell]), max(0.0, float(low[:, cell].max())), float(high[:, cell].max()), 0.95, int(sizes.sum()),
            DIFFERENCE_OF_SHARES, method=NEWCOMBE,
        )  # fmt: skip
        yield GroupGap(
            searched.evaluation, searched.cells[cell], names[worst], float(shares[worst, cell]), names[best],
            float(shares[best, cell]), gap,
        )  # fmt: skip


def _slices_of(searched: _Searched, family: int, options: SliceOptions) -> list[Slice]:
    search = replace(searched.search, family=family)
    return [_slice(searched, found) for found in distinct_slices(search, rows=options.rows)]


def _slice(searched: _Searched, found: DistinctSlice) -> Slice:
    images = searched.search.images
    groups = [(searched.attributes[images.attributes[group]], int(images.codes[group])) for group in found.groups]
    measured = measured_slice(
        searched.evaluation, searched.cells[found.cell], images.correct[:, found.cell] > 0,
        images.images_of(found.groups), searched.clean, found,
    )  # fmt: skip
    return replace(
        measured,
        name=" and ".join(_condition_text(attribute, code) for attribute, code in groups),
        condition=" and ".join(attribute.conditions[code] for attribute, code in groups),
    )


def measured_slice(
    evaluation: EvaluationInfo,
    cell: CellKey,
    correct: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    clean: NDArray[np.bool_] | None,
    found: DistinctSlice,
) -> Slice:
    """Measure a slice, which has no name yet.

    Args:
        evaluation: of the model.
        cell: corruption and severity.
        correct: (N,) whether each image is correct there.
        inside: (N,) which images are in the slice.
        clean: (N,) whether each clean image is correct; None without clean images.
        found: the slice, as a search found it.
    """
    clean = None if cell == CLEAN_CELL else clean
    return Slice(
        evaluation,
        "",
        "",
        cell,
        int(inside.sum()),
        float(correct[inside].mean()),
        float(correct[~inside].mean()),
        difference_from_rest(correct, inside),
        None if clean is None else difference_from_rest(clean, inside),
        None if clean is None else _extra_drop(clean, correct, inside),
        found.comparisons,
        found.explained,
    )


def _condition_text(attribute: AttributeGroups, code: int) -> str:
    """One condition in words: class cat, camera = B, image_luminance below 0.2."""
    name = attribute.names[code]
    if attribute.is_cut:
        return f"{attribute.column} {name}"
    return f"{'class' if attribute.column == CLASS else attribute.column} = {name}"


def difference_from_rest(correct: NDArray[np.bool_], inside: NDArray[np.bool_]) -> Measured:
    """The accuracy of some images minus that of all others, with Fisher's one-sided p value of one that is not below.

    Args:
        correct: (N,) whether each image is correct.
        inside: (N,) which images; some, but not all.
    """
    counts = int(inside.sum()), int((~inside).sum())
    hits = int(correct[inside].sum()), int(correct[~inside].sum())
    shares = hits[0] / counts[0], hits[1] / counts[1]

    def ends(level: float, comparisons: int) -> tuple[float, float]:
        low, high = difference_of_groups(shares, counts, comparisons=comparisons, level=level)
        return float(low), float(high)

    value = shares[0] - shares[1]
    smoothed = [(hit + 1) / (count + 2) for hit, count in zip(hits, counts, strict=True)]
    variance = sum(share * (1 - share) / count for share, count in zip(smoothed, counts, strict=True))
    p_value = float(fisher_p(counts[0], hits[0], len(correct), sum(hits)))
    return Measured(
        value, value, value, MeanError(variance), counts[0], -1.0, 1.0, ends, exact_p=p_value, method=NEWCOMBE
    )


def _extra_drop(clean: NDArray[np.bool_], correct: NDArray[np.bool_], inside: NDArray[np.bool_]) -> Measured:
    """How much more the accuracy of some images drops from clean ones than that of all others, image by image."""
    groups = count_pairs(clean[inside], correct[inside]), count_pairs(clean[~inside], correct[~inside])
    value = float(groups[0].difference - groups[1].difference)
    drops = clean.astype(np.float64) - correct
    variance = sum(float(drops[mask].var()) / int(mask.sum()) for mask in (inside, ~inside))

    def ends(level: float, comparisons: int) -> tuple[float, float]:
        low, high = difference_of_changes(groups, comparisons=comparisons, level=level)
        return float(low), float(high)

    return Measured(
        value, value, value, MeanError(max(variance, 1e-30)), int(inside.sum()), -2.0, 2.0, ends, method=NEWCOMBE
    )
