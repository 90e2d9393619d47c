"""The two numbers of a diff: evaluations of warehouses and published rows, with their predictions in common terms."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from failmodes.analysis.evaluations.comparability import protocol_titled
from failmodes.analysis.judging.published_check import (
    ALEXNET,
    MCE_PUBLISHED,
    NEEDED,
    is_of,
    mean_errors,
    own_alexnet,
    protocol_cells,
    published_alexnet,
    published_files,
    row_named,
)
from failmodes.analysis.statistics.decomposition import MEAN, Averaging, CellPredictions, Side, renumbered
from failmodes.analysis.statistics.model_accuracy import mean_corrupted
from failmodes.analysis.statistics.opened_models import NEEDED as OF_MODELS
from failmodes.analysis.statistics.opened_models import SEPARATOR, OpenedModel, find_model, place_of
from failmodes.analysis.statistics.run_rows import CLEAN_CELL, CellKey, RunRows, read_run
from failmodes.ingest.protocols.protocol import Protocol, name_in_list
from failmodes.runtime.errors import StudyError, did_you_mean, shown
from failmodes.warehouse.database.checks import RELATED, refuse_broken_relations
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.evaluation_facts import Facts, read_facts
from failmodes.warehouse.metrics.cell_rows import NotStored
from failmodes.warehouse.published_files import ACCURACY, MCE, read_published_file
from failmodes.warehouse.published_layout import PublishedModel, PublishedSet

SOURCES = ("robustbench", "timm")  # of published rows, before a colon
TABLES = (".csv", ".json")  # files of published rows
MIN_AGREEING = 0.9  # of labels, for images with other pixels
RELATIONS = {*NEEDED, *OF_MODELS, *RELATED, "exemplars", "outcomes", "predictions", "thumbnails"}


class Row(NamedTuple):
    """A published row, with the protocol of its table if that is registered."""

    table: PublishedSet
    model: PublishedModel
    protocol: Protocol | None


class Numbered(NamedTuple):
    """What one number belongs to: an evaluation, or a published row.

    Attributes:
        label: its name.
        facts: what is recorded of the evaluation; None for a published row.
        opened: the model with its warehouse; None for a published row.
        run: its predictions; likewise.
        row: the published row; None for an evaluation.
    """

    label: str
    facts: Facts | None = None
    opened: OpenedModel | None = None
    run: RunRows | None = None
    row: Row | None = None

    @property
    def con(self) -> duckdb.DuckDBPyConnection:
        """The warehouse of the evaluation."""
        assert self.opened is not None
        return self.opened.con


class Matched(NamedTuple):
    """How images and classes of two evaluations correspond.

    Attributes:
        images: image_id of the first by image_id of the second, of images that both datasets have.
        by: what shows that they are the same: identity, pixel hashes, file names or position; '' if none is.
        classes: (C,) class of the first by class of the second.
        are_named: whether classes correspond by name.
    """

    images: dict[int, int]
    by: str
    classes: NDArray[np.int64]
    are_named: bool

    def codes(self, image_ids: NDArray[Any]) -> NDArray[np.int64]:
        """(N,) image_id of the first for images of the second; negative for those that it does not have."""
        if self.by == "identity":
            return image_ids.astype(np.int64)
        return np.array([self.images.get(image_id, -1 - image_id) for image_id in image_ids.tolist()], np.int64)


@contextmanager
def open_numbers(names: Sequence[str], where: str | Path | None) -> Iterator[list[Numbered]]:
    """Open two numbers by name: see `diff_named`."""
    opened: dict[Path, duckdb.DuckDBPyConnection] = {}
    with ExitStack() as stack:
        found: list[Numbered | None] = []
        for name in names:
            if published_place(name) is not None:
                found.append(None)
                continue
            path, label = place_of(name, where)
            if path not in opened:
                opened[path] = stack.enter_context(open_warehouse(path, RELATIONS))
                refuse_broken_relations(opened[path])
            found.append(_evaluation(find_model(opened[path], path, label)))
        known = next((one for one in found if one is not None), None)
        if known is None:
            raise StudyError("both are published rows: name an evaluation to compare with one")
        yield [one or _published(name, known) for name, one in zip(names, found, strict=True)]


def published_place(name: str) -> tuple[str, str] | None:
    """The source and row that a name such as robustbench:Standard or FILE.csv::Standard means; None for others."""
    file, separator, row = name.partition(SEPARATOR)
    if separator and file.lower().endswith(TABLES):
        return file, row
    source, colon, row = name.partition(":")
    return (source, row) if colon and source in SOURCES and not row.startswith(":") else None


def _evaluation(opened: OpenedModel) -> Numbered:
    if opened.model.has_several_seeds:
        runs = ", ".join(repr(run.label) for run in opened.model.runs)
        raise StudyError(f"{opened.label} has {len(opened.model.runs)} training runs: name one of {runs}")
    (run,) = opened.model.runs
    (facts,) = read_facts(opened.con, [run.evaluation_id])
    return Numbered(opened.label, run.facts | facts, opened, read_run(opened.con, run.evaluation_id))


def _published(name: str, other: Numbered) -> Numbered:
    """The published row of a name, from the table whose dataset is that of the evaluation."""
    place = published_place(name)
    assert place is not None
    assert other.opened is not None
    assert other.facts is not None
    source, wanted = place
    files = published_files(source, other.opened.path.parent)
    sets = [published for file in files for published in read_published_file(file)]
    rows = [
        Row(published, model, protocol_titled(published.name))
        for published in sets
        if (model := row_named(published, {wanted})) is not None
    ]
    if not rows:
        names = sorted({model.name for published in sets for model in published.models})
        raise StudyError(f"no row {shown(wanted)} in {source}: {did_you_mean(wanted, names, f'it has {names[0]} …')}")
    fitting = [row for row in rows if row.protocol is None or is_of(other.facts, row.protocol.dataset)] or rows
    fitting.sort(key=lambda row: -len(set(_accuracies(row.model)) & set(_cells_of(other))))
    return Numbered(f"{fitting[0].model.name} ({fitting[0].table.name})", row=fitting[0])


def _cells_of(numbered: Numbered) -> list[CellKey]:
    return [] if numbered.run is None else numbered.run.cells


def _accuracies(model: PublishedModel) -> dict[CellKey, float]:
    return {(corruption, float(severity)): value for (corruption, severity), value in model.accuracies.items()}


def averaged_cells(numbered: Numbered, *, extras: bool) -> tuple[CellKey, ...]:
    """The corrupted cells that a number is the average of; empty if it has clean images only."""
    if numbered.row is not None:
        cells = [cell for cell in _accuracies(numbered.row.model) if cell != CLEAN_CELL]
        if not cells and ACCURACY in numbered.row.model.averages and numbered.row.protocol is not None:
            cells = protocol_cells(numbered.row.protocol)
        return tuple(cells)
    assert numbered.opened is not None
    selection = numbered.opened.selection
    names = selection.corruptions if extras else selection.averaged
    return tuple(term.cell for term in mean_corrupted(_cells_of(numbered), names))


def averaging_of(numbered: Numbered, con: duckdb.DuckDBPyConnection) -> tuple[str | None, Mapping[str, float]]:
    """The form of a number as its protocol states it, None if it states none, with the errors of AlexNet that it needs.

    They are empty where they are unknown, so that the number is a mean.

    Args:
        numbered: the evaluation or published row.
        con: a warehouse.
    """
    if numbered.row is not None:
        protocol = numbered.row.protocol
        stated = None if protocol is None else protocol.averaging
    else:
        assert numbered.facts is not None
        stated = numbered.facts["averaging"]
    if stated == MCE_PUBLISHED:
        return stated, published_alexnet(con)
    if stated != MCE:
        return stated, {}
    return stated, _alexnet_here(numbered) if numbered.row is None else own_alexnet(numbered.row.table)


def _alexnet_here(numbered: Numbered) -> dict[str, float]:
    """Mean errors by corruption of AlexNet on the same images, if it was evaluated too; empty if one is 0."""
    assert numbered.facts is not None
    found = numbered.con.execute(
        "select evaluation_id from evaluation_labels where lower(architecture) = ? and dataset_id = ? and "
        "subset_id = ? and source_id = ? order by evaluation_id limit 1",
        [ALEXNET, *(numbered.facts[name] for name in ("dataset_id", "subset_id", "source_id"))],
    ).fetchone()
    if found is None:
        return {}
    run = read_run(numbered.con, found[0])
    accuracies = dict(zip(run.cells, run.accuracy.tolist(), strict=True))
    errors = mean_errors({cell: value for cell, value in accuracies.items() if cell[1] > 0})
    return errors if all(errors.values()) else {}


def side_of(
    numbered: Numbered, cells: Sequence[CellKey], form: Averaging, matched: Matched | None, *, is_first: bool
) -> Side:
    """The number as an average, its predictions in terms of the first: image_ids and class indices of the first.

    Args:
        numbered: the evaluation or published row.
        cells: that are averaged.
        form: of the average.
        matched: how images and classes correspond; None if accuracies alone are compared.
        is_first: whether it is the first.
    """
    if numbered.row is not None:
        model = numbered.row.model
        accuracies = _accuracies(model)
        stated = None if set(cells) <= set(accuracies) else model.averages.get(form.name, model.averages.get(ACCURACY))
        if stated is not None and form.is_error and form.name == MEAN:
            stated = 1 - stated
        return Side(accuracies, tuple(cells), form, None, stated)
    run = numbered.run
    assert run is not None
    known = dict(zip(run.cells, run.accuracy.tolist(), strict=True))
    rows = None if matched is None else {cell: _rows(run, cell, None if is_first else matched) for cell in run.cells}
    return Side(known, tuple(cells), form, rows)


def _rows(run: RunRows, cell: CellKey, matched: Matched | None) -> CellPredictions:
    """The predictions of one cell; of the second side in terms of the first."""
    rows = run.rows(cell)
    ids, label, predicted = (rows[name].astype(np.int64) for name in ("image_id", "label", "predicted"))
    try:
        confidence = rows["confidence"].astype(np.float64)
    except NotStored:
        confidence = None
    if matched is None:
        return CellPredictions(ids, label, predicted, confidence)
    codes = matched.codes(ids)
    order = np.argsort(codes)
    label, predicted = (renumbered(matched.classes, values) for values in (label, predicted))
    confidence = None if confidence is None else confidence[order]
    return CellPredictions(codes[order], label[order], predicted[order], confidence)


def match(a: Numbered, b: Numbered) -> Matched:
    """Find which images and classes of two evaluations are the same.

    Images with other pixels, such as a JPEG copy, are the same only if most of them have the same label too.
    """
    assert a.facts is not None
    assert b.facts is not None
    classes, are_named = _matched_classes(class_names(a), class_names(b))
    one, other = image_table(a), image_table(b)
    if a.facts["dataset_id"] == b.facts["dataset_id"]:
        ids = one["image_id"].to_list()
        return Matched(dict(zip(ids, ids, strict=True)), "identity", classes, are_named)
    have_pixels = not (one["pixel_hash"].is_null().all() or other["pixel_hash"].is_null().all())
    have_files = not (one["file"].is_null().all() or other["file"].is_null().all())
    is_same_kind = a.facts["dataset_name"] == b.facts["dataset_name"] and one.height == other.height
    for by, key in _KEYS.items():
        pairs = _joined(one.with_columns(key=key), other.with_columns(key=key))
        if pairs.is_empty() or 2 * pairs.height < min(one.height, other.height):
            continue
        agreeing = float((pairs["label"].to_numpy() == renumbered(classes, pairs["label_right"].to_numpy())).mean())
        is_sound = agreeing >= MIN_AGREEING and (have_files or is_same_kind)
        if not have_pixels and by != POSITION:
            is_sound = have_files or are_named or is_sound
        if by == HASHES or is_sound:
            return Matched(dict(pairs.select("image_id_right", "image_id").rows()), by, classes, are_named)
    return Matched({}, "", classes, are_named)


HASHES, POSITION = "pixel hashes", "position and label"
_SHORT = pl.col("file").map_elements(name_in_list, pl.String)
_KEYS = {  # of images by what they are, the surest first; null where an image has none
    HASHES: pl.col("pixel_hash"),
    "file names": pl.col("file"),
    "names in their folders": _SHORT,
    "names without suffix": _SHORT.str.replace(r"\.\w+$", ""),
    "numbers": pl.col("file").fill_null(pl.col("image_id").cast(pl.String)),  # of a table, and places of arrays
    POSITION: pl.col("image_id").cast(pl.String),
}


def _joined(a: pl.DataFrame, b: pl.DataFrame) -> pl.DataFrame:
    """Images with the same key; copies in their order."""
    counted = (frame.drop_nulls("key").with_columns(copy=pl.int_range(pl.len()).over("key")) for frame in (a, b))
    one, other = counted
    return one.join(other, on=["key", "copy"], suffix="_right")


def _matched_classes(names: Mapping[int, str], others: Mapping[int, str]) -> tuple[NDArray[np.int64], bool]:
    """(C,) the class of the first by class of the second: by name if most names agree, else by index.

    Classes of one name are the same in their order; in another case a name is the same only where each side has it
    once: ImageNet has a Cardigan, which is a dog, and a cardigan.
    """
    size = max([*others, *names, 0]) + 1
    found = size + np.arange(size)  # a class that the first does not have
    left, right = dict(sorted(names.items())), dict(sorted(others.items()))
    for form in (str, str.casefold):
        ours, theirs = (_by_name(classes, form) for classes in (left, right))
        for name in ours.keys() & theirs.keys():
            if form is str or len(ours[name]) == len(theirs[name]) == 1:
                for index, other in zip(ours[name], theirs[name], strict=False):
                    found[other] = index
                    del left[index], right[other]
    are_named = 2 * len(right) <= len(others)
    return (found, True) if are_named else (np.arange(size), False)


def _by_name(classes: Mapping[int, str], form: Callable[[str], str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for index, name in classes.items():
        found.setdefault(form(name), []).append(index)
    return found


def class_names(numbered: Numbered) -> dict[int, str]:
    """Class names of the dataset by index."""
    assert numbered.facts is not None
    query = "select class_index, class_name from classes where dataset_id = ?"
    return dict(numbered.con.execute(query, [numbered.facts["dataset_id"]]).fetchall())


def image_table(numbered: Numbered) -> pl.DataFrame:
    """The images of the dataset: image_id, label, file, pixel_hash."""
    assert numbered.facts is not None
    query = "select image_id, label, file, pixel_hash from images where dataset_id = ? order by image_id"
    frame: pl.DataFrame = numbered.con.sql(query, params=[numbered.facts["dataset_id"]]).pl()
    return frame
