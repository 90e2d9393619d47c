"""Selections: evaluations of the same images and corruptions, which one chart or report part may compare."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

import duckdb
import polars as pl
import polars.selectors as cs

from failmodes.analysis.evaluations.comparability import (
    IMAGES,
    MIXED_OPTION,
    differing,
    have_other_labels,
    mixed_sentence,
)
from failmodes.analysis.evaluations.same_labels import (
    comparable_groups,
    distinct_labels,
    labels_by_evaluation,
    newest_first,
)
from failmodes.analysis.evaluations.shared_cells import CellKey, LeftOut, covered, excluded, shared_cells, uneven
from failmodes.analysis.render.formatting import format_count, join_names, label_with_extra
from failmodes.runtime.errors import StudyError, WarehouseError, did_you_mean, printable, shown
from failmodes.warehouse.database.connection import fetch_first, read_once
from failmodes.warehouse.schema import CLEAN, OF_TABLE, OTHER_GROUP

LABELS = ("model_label", "model_name")  # labels of an evaluation: its own, and that of all training runs
TO_EVALUATE = "run `failmodes evaluate`, then `failmodes load`; or in Python, `failmodes.benchmark` does both"
MIN_ID_CHARACTERS = 4  # of an evaluation ID
SHARED = "the images that all evaluations have"  # a subset


class RunWords(NamedTuple):
    """The words for several evaluations of one model: those of training seeds, or of runs of an imported table.

    The runs of a table are training seeds, observers or repeated trials, which it does not say.
    """

    run: str = "training run"
    seed: str = "training seed"
    short_seed: str = "seed"


RUNS_OF_TABLES = RunWords("run", "run", "run")


@dataclass(frozen=True)
class EvaluationInfo:
    """One evaluation; `facts` is its row of `evaluation_labels` with `evaluated_at`, UTC."""

    evaluation_id: str
    label: str
    facts: dict[str, Any] = field(compare=False)


@dataclass(frozen=True)
class Selection:
    """Evaluations that are comparable, with the corruptions to consider, in published order.

    They share images, labels, class restriction, source of pixels and averaging, as `comparable_id` of
    `evaluation_labels` says, unless the user mixes them, or a ranking is on the images that all of them have.

    Attributes:
        evaluations: in their order.
        corruptions: to consider.
        made_at: when the last of them was evaluated.
        extras: corruptions outside the headline metrics, none if a published dataset has names of its own.
        left_out: evaluations of the same images that have no cell to compare.
        picked_from: the evaluations from which these were selected by their results, if they were: tests are corrected
            for all of them.
        shared_cells: corrupted cells that averages and comparisons are over: those at severities that the evaluations
            share.
        uneven: which cells averages leave out, and which models have no average, in sentences.
        mixed: in a ranking of evaluations that are not comparable, the respects in which they differ.
        filter: the images that are considered, as an SQL condition on what is known of them; "" for all.
        image_ids: in a ranking of evaluations of different subsets, the images that all of them have; None for all.
        kept_count: images that the filter keeps, or that all evaluations have; None for all.
    """

    evaluations: tuple[EvaluationInfo, ...]
    corruptions: tuple[str, ...]
    made_at: datetime | None
    extras: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    picked_from: tuple[EvaluationInfo, ...] = ()
    shared_cells: tuple[CellKey, ...] = ()
    uneven: tuple[str, ...] = ()
    mixed: tuple[str, ...] = ()
    filter: str = ""
    image_ids: tuple[int, ...] | None = None
    kept_count: int | None = None

    @property
    def ids(self) -> list[str]:
        """IDs of the evaluations, in order."""
        return [evaluation.evaluation_id for evaluation in self.evaluations]

    @property
    def averaged(self) -> tuple[str, ...]:
        """Corruptions of rankings and averages: without extras, unless there are only extras."""
        shared = {corruption for corruption, _ in self.shared_cells} or self.corruptions
        return _without_extras([c for c in self.corruptions if c in shared], self.extras)

    @property
    def averaged_phrase(self) -> str:
        """The subject of averages: "corruptions", or "the 15 headline corruptions" if there are extras."""
        return "corruptions" if self.averaged == self.corruptions else f"the {len(self.averaged)} headline corruptions"

    @property
    def condition(self) -> str:
        """Where accuracies are averaged: "under corruption", or "on clean images" if there are no others."""
        return "under corruption" if self.corruptions else "on clean images"

    @property
    def severities(self) -> list[float]:
        """Severities above clean that averages and comparisons are over."""
        return sorted({severity for corruption, severity in self.shared_cells if corruption in self.corruptions})

    @property
    def exclusions(self) -> list[str]:
        """What is mixed, and what is left out of averages, comparisons and charts, and why, in sentences."""
        mixed = [mixed_sentence(self.mixed)] if self.mixed else []
        return [*mixed, *self.uneven, *(evaluation.sentence for evaluation in self.left_out)]

    def averaged_cells(self, cells: Iterable[CellKey]) -> list[CellKey]:
        """Those of a model's cells that averages are over: under each corruption all shared ones, or none."""
        return covered(set(cells), self.shared_cells)

    @property
    def labels(self) -> dict[str, str]:
        """Label by evaluation id; no two labels are the same."""
        return {evaluation.evaluation_id: evaluation.label for evaluation in self.evaluations}

    @property
    def shared(self) -> dict[str, Any]:
        """Facts of the first evaluation; those of dataset, subset and source hold for all that are not mixed."""
        return self.evaluations[0].facts

    @property
    def image_count(self) -> int:
        """Number of images, of those that are considered."""
        return int(self.shared["image_count"]) if self.kept_count is None else self.kept_count

    @property
    def chance(self) -> float | None:
        """Chance accuracy, 0-1: one over the number of predictable classes; None if it differs or is unknown."""
        counts = {
            e.facts["output_count"] if e.facts["class_protocol"] == "all" else e.facts["class_count"]
            for e in self.evaluations
        }
        return None if len(counts) > 1 or None in counts else 1 / int(counts.pop())

    @property
    def images(self) -> str:
        """The images as text: 2,000 images of CIFAR-10 (JPEG copy).

        The cells of an unpaired table show different images: each has fewer than are counted here.
        """
        differ = self.shared.get("source_kind") == OF_TABLE and not self.shared["paired"]
        others = ", others in each condition" * differ
        every = [evaluation.facts for evaluation in self.evaluations] if self.mixed else []
        known = [(int(facts["image_count"]), facts["dataset_label"]) for facts in every]
        counts = (
            f"{format_count(count, 'image')} of {label}"
            for count, label in known or [(self.image_count, self.shared["dataset_label"])]
        )
        return f"{join_names(dict.fromkeys(counts))}{others}{self._where}"

    @property
    def _where(self) -> str:
        """The filter in words, after a space."""
        return f" where {printable(' '.join(self.filter.split()))}" if self.filter else ""

    @property
    def source_line(self) -> str:
        """Dataset with its note, subset, corruptions, training seeds and date, for the source line of a chart."""
        every = [evaluation.facts for evaluation in self.evaluations] if self.mixed else [self.shared]
        parts = [*dict.fromkeys(part for facts in every for part in self._data_parts(facts)), self._seeds()]
        if self.made_at:
            parts.append(f"evaluated {self.made_at.day} {self.made_at:%B %Y}")
        return "Data: " + "; ".join(parts) + "."

    def _data_parts(self, facts: dict[str, Any]) -> list[str]:
        note = facts["note"] or ""
        return [
            facts["dataset_label"] + (f" ({note})" if note and note not in facts["dataset_label"] else ""),
            f"subset: {SHARED if self.image_ids else facts['subset']}{self._where and f', images{self._where}'}",
            *([f"corruptions: {facts['source_label']}"] if self.corruptions else []),
        ]

    def only(self, evaluation: EvaluationInfo) -> "Selection":
        """This selection with one evaluation."""
        return replace(self, evaluations=(evaluation,), picked_from=())

    def _seeds(self) -> str:
        seeds = {e.facts["training_seed"] for e in self.evaluations}
        word = words_of_runs(self.evaluations).seed
        if None in seeds:
            return f"{word} not stated" if seeds == {None} else f"{word}s stated for some models only"
        return f"{word} {seeds.pop()}" if len(seeds) == 1 else f"{word}s {join_names(map(str, sorted(seeds)))}"


def words_of_runs(evaluations: Iterable[EvaluationInfo]) -> RunWords:
    """The words for runs of the models of some evaluations."""
    of_tables = all(evaluation.facts.get("source_kind") == OF_TABLE for evaluation in evaluations)
    return RUNS_OF_TABLES if of_tables else RunWords()


def select(
    con: duckdb.DuckDBPyConnection,
    *,
    models: Sequence[str] = (),
    evaluations: Sequence[str] = (),
    corruptions: Sequence[str] = (),
) -> list[Selection]:
    """Selections that match the filters, largest first; an empty filter matches everything.

    Args:
        con: the warehouse.
        models: labels, short or full; a label without training seed matches all its runs.
        evaluations: evaluation IDs, or their start (see `is_id`).
        corruptions: corruption names.

    Raises:
        StudyError: a filter matches nothing in the warehouse.
        WarehouseError: there is no evaluation, or no complete one.
    """
    rows = con.sql("from evaluation_labels order by model_label, evaluation_id").pl().rows(named=True)
    if not rows:
        raise WarehouseError(f"the warehouse has no evaluations: {TO_EVALUATE}")
    cells = con.execute("select distinct corruption from shards where table_name = 'prediction_facts'").fetchall()
    full_labels = labels_by_evaluation(_in_order(con, rows)) if models else {}
    called = {
        row["evaluation_id"]: {*(row[name] for name in LABELS), full_labels.get(row["evaluation_id"], "")}
        for row in rows
    }
    _refuse_unknown("model", models, {name for names in called.values() for name in names} - {""})
    _refuse_unknown("evaluation", evaluations, {row["evaluation_id"] for row in rows}, are_ids=True)
    _refuse_unknown("corruption", corruptions, {corruption for (corruption,) in cells} - {CLEAN})
    chosen = [
        row
        for row in rows
        if (not models or not called[row["evaluation_id"]].isdisjoint(models))
        and (not evaluations or any(is_id(name, row["evaluation_id"]) for name in evaluations))
    ]
    left_out: list[LeftOut] = []
    selections = []
    for group in comparable_groups(chosen):
        kept, others = _split(con, group, corruptions)
        left_out += others
        selections += [selection_of(con, kept, corruptions, others)] if kept else []
    if not selections:
        reasons = "; ".join(f"{evaluation.label}: {evaluation.reason}" for evaluation in left_out)
        raise WarehouseError(f"no evaluation to show: {reasons}; {TO_EVALUATE}")
    return sorted(selections, key=lambda s: (-len(s.evaluations), -s.image_count, s.ids))


def select_one(
    con: duckdb.DuckDBPyConnection,
    *,
    mixed: bool | None = None,
    ranked: bool = False,
    on_shared_images: bool = False,
    **filters: Sequence[str],
) -> Selection:
    """The one selection that matches the filters (see `select`).

    Args:
        con: the warehouse.
        mixed: whether evaluations that are not comparable are in it too; None where that is no choice of the user.
        ranked: whether its evaluations will be ranked.
        on_shared_images: whether evaluations of different subsets of a dataset are one selection of the images that all
            of them have, if these are at least half of the smallest, as `pair_images` compares two of them.
        filters: see `select`.

    Raises:
        StudyError: several match, which one chart must not mix; the message lists them. Or they are to be ranked and
            share no severity.
    """
    selections = select(con, **filters)
    if len(selections) > 1:
        differ = differing_selections(con, selections)
        rows = [evaluation.facts for selection in selections for evaluation in selection.evaluations]
        left_out = tuple(one for selection in selections for one in selection.left_out)
        if mixed:
            whole = selection_of(con, rows, filters.get("corruptions", ()), left_out)
            return replace(whole, mixed=tuple(differ))
        if on_shared_images and (image_ids := _shared_images(con, selections)):
            whole = selection_of(con, rows, filters.get("corruptions", ()), left_out)
            counts = {e.label: int(e.facts["image_count"]) for e in whole.evaluations}
            others = join_names(f"{label} has {count:,}" for label, count in counts.items() if count > len(image_ids))
            sentence = f"Only the {len(image_ids):,} images that all evaluations have are considered: {others}."
            return replace(whole, image_ids=image_ids, kept_count=len(image_ids), uneven=(sentence, *whole.uneven))
        groups = "; ".join(
            f"{join_names(s.labels.values())} on {s.images}, {particulars(s)}"
            + (f", evaluated {s.made_at:%Y-%m-%d %H:%M}" if s.made_at else "")
            + f" (evaluation {s.ids[0]})"
            for s in selections
        )
        anyway = "" if mixed is None else f", or rank them all the same with {MIXED_OPTION}"
        raise StudyError(f"not comparable: they differ in {'; '.join(differ)}; name one evaluation{anyway}: {groups}")
    (selection,) = selections
    apart = [one for one in selection.left_out if one.is_of_other_severities]
    if ranked and apart and len(selection.evaluations) == 1:
        raise StudyError(f"not comparable: severities: none is shared: {' '.join(one.sentence for one in apart)}")
    return selection


def _shared_images(con: duckdb.DuckDBPyConnection, selections: Sequence[Selection]) -> tuple[int, ...]:
    """The images that selections have in common which differ only in the subset of one dataset.

    None if they are fewer than half of the smallest subset.
    """
    facts = [selection.shared for selection in selections]
    if len({one["dataset_id"] for one in facts}) > 1 or differing(facts).keys() != {IMAGES}:
        return ()
    images = "select distinct image_id from prediction_facts where evaluation_id = ?"
    of_each = [{int(row[0]) for row in con.execute(images, [selection.ids[0]]).fetchall()} for selection in selections]
    shared = set.intersection(*of_each)
    return tuple(sorted(shared)) if 2 * len(shared) >= min(map(len, of_each)) else ()


def differing_selections(con: duckdb.DuckDBPyConnection, selections: Sequence[Selection]) -> list[str]:
    """The respects in which selections differ, with their values."""
    shared = [selection.shared for selection in selections]
    found = differing(shared)
    datasets = list(dict.fromkeys(facts["dataset_id"] for facts in shared))
    if len(datasets) == 2 and have_other_labels(con, con, (datasets[0], datasets[1])):
        found = {"labels": "labels: the same images have other labels"} | {
            k: v for k, v in found.items() if k != "images"
        }
    return list(found.values()) or [f"random seeds: {' / '.join(str(facts['source_label']) for facts in shared)}"]


@read_once
def read_for_selection(con: duckdb.DuckDBPyConnection, relation: str, selection: Selection) -> pl.DataFrame:
    """Rows of a table or view for a selection, severity as float, with `label` (of the evaluation).

    `headline`, if it has that column, is false for the extras of the selection.

    `relation` is one of our own views, never user input.
    """
    assert not selection.filter, f"{relation} is of all images"
    return rows_for_selection(con, relation, selection)


def rows_for_selection(con: duckdb.DuckDBPyConnection, relation: str, selection: Selection) -> pl.DataFrame:
    """The same, whatever the relation shows now."""
    frame: pl.DataFrame = con.sql(
        f"from {relation} where evaluation_id = any($1) and (corruption = any($2) or corruption = $3) order by all",
        params=[selection.ids, list(selection.corruptions), CLEAN],
    ).pl()
    labels = pl.DataFrame({"evaluation_id": selection.ids, "label": list(selection.labels.values())})
    if "headline" in frame.columns:  # of names of their own, none is extra
        frame = frame.with_columns(headline=~pl.col("corruption").is_in(selection.extras))
    return frame.with_columns(cs.decimal().cast(pl.Float64)).join(labels, on="evaluation_id", maintain_order="left")


def read_metrics(con: duckdb.DuckDBPyConnection, evaluation_ids: Sequence[str], names: Sequence[str]) -> pl.DataFrame:
    """Rows of cell_metrics by evaluation and metric; severities are floats, clean cells have the corruption 'none'."""
    frame: pl.DataFrame = con.sql(
        "select * replace (severity::double as severity) from cell_metrics "
        "where evaluation_id = any(?) and metric = any(?) order by all",
        params=[list(evaluation_ids), list(names)],
    ).pl()
    return frame


@read_once
def corruption_labels(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Label by corruption."""
    return dict(con.execute("select corruption, corruption_label from corruptions").fetchall())


def corruption_names(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[str, str]:
    """Label by corruption of a selection; extras are marked."""
    names = corruption_labels(con)
    return {
        corruption: label_with_extra(names[corruption], is_extra=corruption in selection.extras)
        for corruption in selection.corruptions
    }


@read_once
def has_clean(con: duckdb.DuckDBPyConnection, selection: Selection) -> bool:
    """Whether evaluations of a selection have clean images; predictions from a table need no reference level."""
    clean = "select count(*) from shards where evaluation_id = any(?) and corruption = ?"
    return fetch_first(con, clean, [selection.ids, CLEAN]) != (0,)


def averaged_severities(severities: Iterable[float]) -> list[float]:
    """Severities of averages: whole ones above clean, as published; all above clean if none is whole."""
    corrupted = [severity for severity in severities if severity]
    return [severity for severity in corrupted if not severity % 1] or corrupted


def particulars(selection: Selection) -> str:
    """Subset and source of the corrupted images, which may distinguish selections."""
    return f"{selection.shared['subset']}; {selection.shared['source_label']}"


def _without_extras(corruptions: Sequence[str], extras: Collection[str]) -> tuple[str, ...]:
    return tuple(corruption for corruption in corruptions if corruption not in extras) or tuple(corruptions)


def _cells(con: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> dict[str, set[CellKey]]:
    """Cells by evaluation ID, in the order of the IDs."""
    cells: dict[str, set[CellKey]] = {evaluation_id: set() for evaluation_id in ids}
    rows = con.execute(
        "select evaluation_id, corruption, severity::double from shards "
        "where table_name = 'prediction_facts' and evaluation_id = any(?)",
        [list(ids)],
    ).fetchall()
    for evaluation_id, *cell in rows:
        cells[evaluation_id].add(tuple(cell))
    return cells


def _split(
    con: duckdb.DuckDBPyConnection, rows: Sequence[dict[str, Any]], corruptions: Sequence[str]
) -> tuple[list[dict[str, Any]], tuple[LeftOut, ...]]:
    """Those of some rows of `evaluation_labels` of the same images that have cells to compare, and the others."""
    labels = {row["evaluation_id"]: row["model_label"] for row in rows}
    cells = _cells(con, list(labels))
    known, extras = _corruptions(con, list(labels), corruptions)
    is_table = rows[0]["source_kind"] == OF_TABLE  # which needs no reference level, and may have nothing else
    has_clean = {key for key, own in cells.items() if is_table or (CLEAN, 0.0) in own}
    corrupted = {key: {cell for cell in own if cell[0] in known} for key, own in cells.items()}
    if is_table and not corruptions and not any(corrupted.values()):
        return list(rows), ()
    reasons = excluded(corrupted, has_clean, _without_extras(known, extras), corruption_labels(con))
    theirs = {severity for key, own in corrupted.items() if key not in reasons for _, severity in own}
    left_out = tuple(
        LeftOut(labels[key], reason, bool(corrupted[key]) and theirs.isdisjoint(level for _, level in corrupted[key]))
        for key, reason in reasons.items()
    )
    return [row for row in rows if row["evaluation_id"] not in reasons], left_out


def _corruptions(
    con: duckdb.DuckDBPyConnection, ids: Sequence[str], corruptions: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The corruptions of some evaluations in published order, and the extras among them."""
    held = con.execute(
        "select corruption, headline, corruption_group from corruptions semi join "
        "(from shards where table_name = 'prediction_facts' and evaluation_id = any($1)) using (corruption) "
        "where corruption <> $2 and (corruption = any($3) or len($3) = 0) order by corruption_order, corruption",
        [list(ids), CLEAN, list(corruptions)],
    ).fetchall()
    has_own_names = any(group == OTHER_GROUP for *_, group in held)
    headline = {corruption: is_headline or has_own_names for corruption, is_headline, _ in held}
    return tuple(headline), tuple(corruption for corruption, is_headline in headline.items() if not is_headline)


def selection_of(
    con: duckdb.DuckDBPyConnection,
    rows: list[dict[str, Any]],
    corruptions: Sequence[str] = (),
    left_out: tuple[LeftOut, ...] = (),
) -> Selection:
    """The selection of rows of `evaluation_labels` that share dataset, subset and source."""
    dated = _in_order(con, rows)
    evaluations = tuple(
        EvaluationInfo(row["evaluation_id"], label, row)
        for label, row in zip(distinct_labels(dated), dated, strict=True)
    )
    labels = {evaluation.evaluation_id: evaluation.label for evaluation in evaluations}
    known, extras = _corruptions(con, list(labels), corruptions)
    cells = {key: {cell for cell in own if cell[0] in known} for key, own in _cells(con, list(labels)).items()}
    shared = shared_cells(cells, _without_extras(known, extras))
    selection = Selection(
        evaluations,
        known,
        max((row["evaluated_at"] for row in dated if row["evaluated_at"]), default=None),
        extras,
        left_out,
        shared_cells=tuple(sorted(shared)),
    )
    return replace(selection, uneven=uneven(cells, shared, selection.averaged, corruption_labels(con), labels))


def _in_order(con: duckdb.DuckDBPyConnection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of `evaluation_labels` with `evaluated_at`, `model_place` and `is_baseline`, in the order of the models."""
    made = dict(
        con.execute(
            "select evaluation_id, max(created_utc) from shards where evaluation_id = any(?) group by evaluation_id",
            [[row["evaluation_id"] for row in rows]],
        ).fetchall()
    )
    places = _model_places(con)
    dated = [
        row
        | {"evaluated_at": made.get(row["evaluation_id"])}
        | dict(zip(("model_place", "is_baseline"), places[row["model_name"]], strict=True))
        for row in rows
    ]
    return sorted(newest_first(dated), key=lambda row: row["model_place"])


@read_once
def _model_places(con: duckdb.DuckDBPyConnection) -> dict[str | None, tuple[int, bool]]:
    """Place of each model in the warehouse, by name, and whether it is the baseline.

    The baseline is at 0, others from 1 on: as in the study, then by when they were first evaluated.
    """
    rows = con.execute(
        "select model_name, coalesce(bool_or(is_baseline), false) as baseline from evaluation_labels "
        "left join stated_models using (model_label) left join shards using (evaluation_id) group by model_name "
        "order by baseline desc, min(position) nulls last, min(created_utc), model_name"
    ).fetchall()
    count = sum(is_baseline for _, is_baseline in rows)
    return {name: (max(0, place - count + 1), baseline) for place, (name, baseline) in enumerate(rows)}


def is_id(name: str, evaluation_id: str) -> bool:
    """Whether a name is an evaluation ID, or a start of it with at least MIN_ID_CHARACTERS."""
    return len(name) >= MIN_ID_CHARACTERS and evaluation_id.startswith(name)


def _refuse_unknown(kind: str, requested: Sequence[str], known: set[str], *, are_ids: bool = False) -> None:
    for name in requested:
        if not (any(is_id(name, evaluation_id) for evaluation_id in known) if are_ids else name in known):
            hint = did_you_mean(name, sorted(known), f"it has {join_names(sorted(known))}")
            raise StudyError(f"no {kind} {shown(name)} in this warehouse: {hint}")
