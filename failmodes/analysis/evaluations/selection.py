"""Selections: evaluations of the same images and corruptions, which one chart or report part may compare."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import duckdb
import polars as pl
import polars.selectors as cs

from failmodes.analysis.evaluations.connection_cache import read_once
from failmodes.analysis.evaluations.same_labels import distinct_labels, groups_of, labels_by_evaluation, newest_first
from failmodes.analysis.render.formatting import format_count, join_names, label_with_extra
from failmodes.runtime.errors import StudyError, WarehouseError
from failmodes.warehouse.schema import CLEAN, OTHER_GROUP

LABELS = ("model_label", "model_name")  # labels of an evaluation: its own, and that of all training runs


@dataclass(frozen=True)
class EvaluationInfo:
    """One evaluation; `facts` is its row of `evaluation_labels` with `evaluated_at`, UTC."""

    evaluation_id: str
    label: str
    facts: dict[str, Any] = field(compare=False)


@dataclass(frozen=True)
class Selection:
    """Evaluations that share dataset, subset and source, with the corruptions to consider, in published order.

    `extras` are the corruptions outside the headline metrics, none if a published dataset has names of its own;
    `left_out` are labels of incomplete evaluations of the same images: they raised an error or were interrupted.
    `picked_from` are the evaluations from which these were selected by their results, if they were: tests are corrected
    for all of them.
    """

    evaluations: tuple[EvaluationInfo, ...]
    corruptions: tuple[str, ...]
    made_at: datetime | None
    extras: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    picked_from: tuple[EvaluationInfo, ...] = ()

    @property
    def ids(self) -> list[str]:
        """IDs of the evaluations, in order."""
        return [evaluation.evaluation_id for evaluation in self.evaluations]

    @property
    def averaged(self) -> tuple[str, ...]:
        """Corruptions of rankings and averages: without extras, unless there are only extras."""
        return tuple(c for c in self.corruptions if c not in self.extras) or self.corruptions

    @property
    def averaged_phrase(self) -> str:
        """The subject of averages: "corruptions", or "the 15 headline corruptions" if there are extras."""
        return "corruptions" if self.averaged == self.corruptions else f"the {len(self.averaged)} headline corruptions"

    @property
    def labels(self) -> dict[str, str]:
        """Label by evaluation id; no two labels are the same."""
        return {evaluation.evaluation_id: evaluation.label for evaluation in self.evaluations}

    @property
    def shared(self) -> dict[str, Any]:
        """Facts of the first evaluation; those of dataset, subset and source hold for all."""
        return self.evaluations[0].facts

    @property
    def image_count(self) -> int:
        """Number of images."""
        return int(self.shared["image_count"])

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
        """The images as text: 2,000 images of CIFAR-10 (JPEG copy)."""
        return f"{format_count(self.image_count, 'image')} of {self.shared['dataset_label']}"

    @property
    def source_line(self) -> str:
        """Dataset with its note, subset, corruptions, training seeds and date, for the source line of a chart."""
        facts = self.shared
        note = facts["note"] or ""
        parts = [
            facts["dataset_label"] + (f" ({note})" if note and note not in facts["dataset_label"] else ""),
            f"subset: {facts['subset']}",
            f"corruptions: {facts['source_label']}",
            f"training {self._seeds()}",
        ]
        if self.made_at:
            parts.append(f"evaluated {self.made_at.day} {self.made_at:%B %Y}")
        return "Data: " + "; ".join(parts) + "."

    def only(self, evaluation: EvaluationInfo) -> "Selection":
        """This selection with one evaluation."""
        return replace(self, evaluations=(evaluation,), picked_from=())

    def _seeds(self) -> str:
        seeds = {e.facts["training_seed"] for e in self.evaluations}
        if None in seeds:
            return "seed not stated" if seeds == {None} else "seeds stated for some models only"
        return f"seed {seeds.pop()}" if len(seeds) == 1 else f"seeds {join_names(map(str, sorted(seeds)))}"


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
        evaluations: evaluation IDs, or their start.
        corruptions: corruption names.

    Raises:
        StudyError: a filter matches nothing in the warehouse.
        WarehouseError: there is no evaluation, or no complete one.
    """
    rows = con.sql("from evaluation_labels order by model_label, evaluation_id").pl().rows(named=True)
    if not rows:
        raise WarehouseError("the warehouse has no evaluations: run `failmodes evaluate`, then `failmodes load`")
    partial = _partial(con)
    cells = con.execute("select distinct corruption from shards where table_name = 'prediction_facts'").fetchall()
    shown = labels_by_evaluation(_newest_first(con, rows)) if models else {}
    called = {
        row["evaluation_id"]: {*(row[name] for name in LABELS), shown.get(row["evaluation_id"], "")} for row in rows
    }
    _refuse_unknown("model", models, {one for own in called.values() for one in own} - {""})
    _refuse_unknown("evaluation", evaluations, {row["evaluation_id"] for row in rows}, prefix=True)
    _refuse_unknown("corruption", corruptions, {corruption for (corruption,) in cells} - {CLEAN})
    chosen = [
        row
        for row in rows
        if (not models or not called[row["evaluation_id"]].isdisjoint(models))
        and (not evaluations or row["evaluation_id"].startswith(tuple(evaluations)))
    ]
    found = [
        selection_of(
            con, complete, corruptions, tuple(r["model_label"] for r in group if r["evaluation_id"] in partial)
        )
        for group in groups_of(chosen)
        if (complete := [row for row in group if row["evaluation_id"] not in partial])
    ]
    if not found:
        names = join_names(sorted({row["model_label"] for row in chosen}))
        raise WarehouseError(f"incomplete evaluations: {names}; run `failmodes evaluate`, then `failmodes load`")
    return sorted(found, key=lambda s: (-len(s.evaluations), -s.image_count, s.ids))


def select_one(con: duckdb.DuckDBPyConnection, **filters: Sequence[str]) -> Selection:
    """The one selection that matches the filters (see `select`).

    Raises:
        StudyError: several match, which one chart must not mix; the message lists them.
    """
    found = select(con, **filters)
    if len(found) > 1:
        groups = "; ".join(
            f"{join_names(s.labels.values())} on {s.images}, {particulars(s)}"
            + (f", evaluated {s.made_at:%Y-%m-%d %H:%M}" if s.made_at else "")
            + f" (evaluation {s.ids[0]})"
            for s in found
        )
        raise StudyError(f"these models do not share images and corruptions; name one evaluation: {groups}")
    return found[0]


@read_once
def read_for_selection(con: duckdb.DuckDBPyConnection, relation: str, selection: Selection) -> pl.DataFrame:
    """Rows of a table or view for a selection, severity as float, with `label` (of the evaluation).

    `relation` is one of our own views, never user input.
    """
    frame: pl.DataFrame = con.sql(
        f"from {relation} where evaluation_id = any($1) and (corruption = any($2) or corruption = $3) order by all",
        params=[selection.ids, list(selection.corruptions), CLEAN],
    ).pl()
    labels = pl.DataFrame({"evaluation_id": selection.ids, "label": list(selection.labels.values())})
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
    return {one: label_with_extra(names[one], is_extra=one in selection.extras) for one in selection.corruptions}


def averaged_severities(severities: Iterable[float]) -> list[float]:
    """Severities of averages: whole ones above clean, as published; all above clean if none is whole."""
    corrupted = [severity for severity in severities if severity]
    return [severity for severity in corrupted if not severity % 1] or corrupted


def particulars(selection: Selection) -> str:
    """Subset and source of the corrupted images, which may distinguish selections."""
    return f"{selection.shared['subset']}; {selection.shared['source_label']}"


def _partial(con: duckdb.DuckDBPyConnection) -> set[str]:
    """Evaluations without a clean cell, without corrupted cells, or without severities that others have."""
    rows = con.execute(
        """
        with cells as (
            select evaluation_id, dataset_id, source_id, subset_id, corruption, severity
            from shards inner join evaluations using (evaluation_id) where table_name = 'prediction_facts'
        ),
        expected as (
            select distinct mine.evaluation_id, theirs.corruption, theirs.severity
            from cells as mine inner join cells as theirs using (dataset_id, source_id, subset_id, corruption)
        )
        select evaluation_id from expected anti join cells using (evaluation_id, corruption, severity)
        union
        select evaluation_id from evaluations
        where evaluation_id not in (select evaluation_id from cells where corruption = $clean)
            or evaluation_id not in (select evaluation_id from cells where corruption <> $clean)
        """,
        {"clean": CLEAN},
    ).fetchall()
    return {evaluation_id for (evaluation_id,) in rows}


def selection_of(
    con: duckdb.DuckDBPyConnection,
    rows: list[dict[str, Any]],
    corruptions: Sequence[str] = (),
    left_out: tuple[str, ...] = (),
) -> Selection:
    """The selection of rows of `evaluation_labels` that share dataset, subset and source, newest first."""
    ids = [row["evaluation_id"] for row in rows]
    dated = _newest_first(con, rows)
    evaluations = tuple(
        EvaluationInfo(row["evaluation_id"], label, row)
        for label, row in zip(distinct_labels(dated), dated, strict=True)
    )
    held = con.execute(
        "select corruption, headline, corruption_group from corruptions semi join "
        "(from shards where table_name = 'prediction_facts' and evaluation_id = any($1)) using (corruption) "
        "where corruption <> $2 and (corruption = any($3) or len($3) = 0) order by corruption_order, corruption",
        [ids, CLEAN, list(corruptions)],
    ).fetchall()
    has_own_names = any(group == OTHER_GROUP for *_, group in held)
    headline = {corruption: is_headline or has_own_names for corruption, is_headline, _ in held}
    extras = tuple(corruption for corruption, is_headline in headline.items() if not is_headline)
    return Selection(
        evaluations,
        tuple(headline),
        max((row["evaluated_at"] for row in dated if row["evaluated_at"]), default=None),
        extras,
        left_out,
    )


def _newest_first(con: duckdb.DuckDBPyConnection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of `evaluation_labels` with `evaluated_at`, in the order of their labels."""
    made = dict(
        con.execute(
            "select evaluation_id, max(created_at) at time zone 'UTC' from shards where evaluation_id = any(?) "
            "group by evaluation_id",
            [[row["evaluation_id"] for row in rows]],
        ).fetchall()
    )
    return newest_first([row | {"evaluated_at": made.get(row["evaluation_id"])} for row in rows])


def _refuse_unknown(kind: str, requested: Sequence[str], known: set[str], *, prefix: bool = False) -> None:
    for name in requested:
        if not any(k.startswith(name) if prefix else k == name for k in known):
            raise StudyError(f"no {kind} {name!r} in this warehouse: it has {join_names(sorted(known))}")
