"""Models by name, in one warehouse or in several files."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import duckdb

from failmodes.analysis.evaluations.comparability import IMAGES, differing, have_other_labels
from failmodes.analysis.evaluations.selection import RUNS_OF_TABLES, Selection, selection_of, words_of_runs
from failmodes.analysis.evaluations.trained_models import TrainedModel, named_model, trained_models
from failmodes.analysis.statistics.filters import filtered_run, filtered_selection
from failmodes.analysis.statistics.model_accuracy import rows_of
from failmodes.analysis.statistics.run_rows import ImagePairing, ModelRows, duplicate_images
from failmodes.runtime.errors import StudyError
from failmodes.runtime.storage.locations import find_warehouse
from failmodes.warehouse.database.checks import RELATED, refuse_broken_relations
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.metrics.duplicates import duplicates_note

SUFFIX, SEPARATOR = ".duckdb", "::"
NEEDED = (
    "prediction_facts",
    "attention",
    "evaluations",
    "cell_predictions",
    "evaluation_labels",
    "shards",
    "corruptions",
    "classes",
    "images",
    "datasets",
    "shifts",
    "stated_models",
)


@dataclass(frozen=True)
class DescribedModel:
    """The description of a model that is judged or compared.

    Attributes:
        label: its name; two models that are compared have different ones.
        evaluation_ids: one for each training run.
        seeds: training seeds, if stated.
        image_count: images of each evaluation.
        source_line: dataset, subset, corruptions, training seeds and date.
        distinct_count: images with distinct pixels; None if unknown.
        seeds_are_runs: whether `seeds` are the runs of an imported table.
    """

    label: str
    evaluation_ids: tuple[str, ...]
    seeds: tuple[int, ...]
    image_count: int
    source_line: str
    distinct_count: int | None = None
    seeds_are_runs: bool = False

    @property
    def duplicates_note(self) -> str:
        """That some images are exact duplicates of others; '' if none is."""
        return duplicates_note(self.image_count, self.distinct_count or self.image_count)


class OpenedModel(NamedTuple):
    """A model of an open warehouse.

    Attributes:
        con: the warehouse.
        path: its file.
        model: its training runs.
        selection: its evaluations alone, with the corruptions that they have.
    """

    con: duckdb.DuckDBPyConnection
    path: Path
    model: TrainedModel
    selection: Selection

    @property
    def label(self) -> str:
        """Its name on charts."""
        return self.model.label

    @property
    def described(self) -> DescribedModel:
        """Its description."""
        ids = tuple(self.selection.ids)
        seeds = self.model.seeds
        selection = self.selection
        distinct = duplicate_images(self.con, ids[0]).distinct
        if selection.filter and distinct is not None:
            groups = filtered_run(self.con, ids[0], selection.filter).groups
            distinct = selection.image_count if groups is None else int(groups.max()) + 1
        are_runs = words_of_runs(self.model.runs) == RUNS_OF_TABLES
        return DescribedModel(self.label, ids, seeds, selection.image_count, selection.source_line, distinct, are_runs)

    def filtered(self, condition: str) -> "OpenedModel":
        """The model on the images that a filter keeps; see `filtered_run`."""
        return self._replace(selection=filtered_selection(self.con, self.selection, condition))

    def rows(self) -> ModelRows:
        """The rows of its runs, on the images of its selection.

        Raises:
            WarehouseError: a cell is incomplete, or the clean cell is missing.
        """
        return rows_of(self.con, self.model, self.selection.filter)


def duplicates_notes(*models: DescribedModel | None) -> list[str]:
    """Notes on exact duplicates among the images of some models; one for each model if they differ."""
    notes = {model.label: model.duplicates_note for model in models if model is not None and model.duplicates_note}
    if len(set(notes.values())) == 1:
        return [next(iter(notes.values()))]
    return [f"{label}: {note}" for label, note in notes.items()]


@contextmanager
def open_models(names: Sequence[str], where: str | Path | None = None) -> Iterator[list[OpenedModel]]:
    """Open the warehouses of some models, and find the models.

    Args:
        names: as for `named_model`; or FILE.duckdb if the file has one model, or FILE.duckdb::LABEL.
        where: the warehouse of names without a file (see `find_warehouse`).

    Raises:
        StudyError: a warehouse has no such model, or several.
        WarehouseError: a warehouse cannot be read.
    """
    places = [place_of(name, where) for name in names]
    opened: dict[Path, duckdb.DuckDBPyConnection] = {}
    with ExitStack() as stack:
        for path, _ in places:
            if path not in opened:
                opened[path] = stack.enter_context(open_warehouse(path, {*NEEDED, *RELATED}))
                refuse_broken_relations(opened[path])
        yield [find_model(opened[path], path, name) for path, name in places]


def find_model(con: duckdb.DuckDBPyConnection, path: Path, name: str | None) -> OpenedModel:
    """The model of that name (see `named_model`) in an open warehouse; its only model without a name.

    Raises:
        StudyError: there is no such model, or several.
    """
    known = _models(con, path)
    if not known:
        raise StudyError(f"{path} contains no evaluation: name another warehouse")
    if name is None:
        if len(known) > 1:
            raise StudyError(
                f"{path} contains {len(known)} models: name one, such as {path.name}{SEPARATOR}{known[0].label}"
            )
        return known[0]
    named = named_model([opened.model for opened in known], name, f"in {path}", "it holds")
    (opened,) = (opened for opened in known if named.runs[0] in opened.model.runs)
    if named == opened.model:
        return opened
    return opened._replace(model=named, selection=opened.selection.only(named.runs[0]))


def opened_model(con: duckdb.DuckDBPyConnection, path: Path, model: TrainedModel) -> OpenedModel:
    """A model of an open warehouse, with the corruptions that its runs have."""
    return OpenedModel(con, path, model, selection_of(con, [run.facts for run in model.runs]))


def place_of(name: str, where: str | Path | None) -> tuple[Path, str | None]:
    """The warehouse file of a model, and its name in it; None for its only model."""
    file, separator, label = name.partition(SEPARATOR)
    if file.endswith(SUFFIX):
        return Path(file), label if separator else None
    return find_warehouse(where), name


def _models(con: duckdb.DuckDBPyConnection, path: Path) -> list[OpenedModel]:
    """All models of a warehouse, with unfinished evaluations."""
    rows = con.sql(
        "from evaluation_labels semi join (from shards where table_name = 'prediction_facts') using (evaluation_id) "
        "order by model_label, evaluation_id"
    ).pl()
    models: list[OpenedModel] = []
    for group in rows.partition_by("comparable_id"):
        evaluations = selection_of(con, group.to_dicts()).evaluations
        models += [opened_model(con, path, model) for model in trained_models(evaluations)]
    return models


def differing_models(a: OpenedModel, b: OpenedModel, pairing: ImagePairing) -> dict[str, str]:
    """The respects in which two models are not comparable, in words by topic; images only if none is shared."""
    facts = (a.selection.shared, b.selection.shared)
    found = differing(facts)
    datasets = (facts[0]["dataset_id"], facts[1]["dataset_id"])
    if datasets[0] == datasets[1] and pairing.shares_images:
        found.pop(IMAGES, None)
    elif have_other_labels(a.con, b.con, datasets):
        found.pop(IMAGES, None)
        found = {"labels": "labels: the same images have other labels"} | found
    return found
