"""What experiment trackers receive: a run for each evaluation, with parameters, metrics by cell and the cell table."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import duckdb
import polars as pl

from failmodes import __version__
from failmodes.analysis.evaluations.comparability import protocol_words
from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection, read_metrics
from failmodes.analysis.publishing import METRICS_OF_CELLS
from failmodes.analysis.publishing.written import slug
from failmodes.analysis.statistics.model_accuracy import MeanAccuracy, run_accuracies
from failmodes.runtime.errors import printable
from failmodes.runtime.hashing import identity_of
from failmodes.runtime.storage.files import temporary_folder
from failmodes.warehouse.schema import CLEAN

NAMED = (
    "architecture", "dataset_label", "subset", "image_count", "source_label", "precision", "training_seed", "note",
    "evaluation_id", "model_id", "dataset_id",
)  # fmt: skip
COLUMNS = ("corruption", "severity", "metric", "value", "low", "high")


class TrackedRun(NamedTuple):
    """One evaluation.

    Attributes:
        label: of the model.
        identity: hash of the evaluation and all that is sent: the same results have the same one.
        parameters: by name.
        metrics: by cell and name, such as fog/3/accuracy, clean/ece and mean/accuracy.
        table: the same with intervals, one row per cell and metric.
    """

    label: str
    identity: str
    parameters: dict[str, str]
    metrics: dict[str, float]
    table: pl.DataFrame

    @property
    def name(self) -> str:
        """A name for a folder or an ID."""
        return slug(self.label, self.identity)


def tracked_runs(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[TrackedRun]:
    """The runs of a selection, in its order."""
    rows = read_metrics(con, selection.ids, METRICS_OF_CELLS).filter(
        pl.col("value").is_not_null(), pl.col("corruption").is_in([CLEAN, *selection.corruptions])
    )
    means = run_accuracies(con, selection)
    return [_run(e, rows.filter(evaluation_id=e.evaluation_id), means[e]) for e in selection.evaluations]


def _run(evaluation: EvaluationInfo, rows: pl.DataFrame, means: MeanAccuracy) -> TrackedRun:
    facts = evaluation.facts
    parameters = {name: printable(str(facts[name])) for name in NAMED if facts[name] not in (None, "")}
    parameters |= {"protocol": protocol_words(facts), "failmodes": __version__}
    metrics = {
        "/".join(["clean"] if row["corruption"] == CLEAN else [row["corruption"], f"{row['severity']:g}"])
        + f"/{row['metric']}": float(row["value"])
        for row in rows.rows(named=True)
    }
    metrics |= {"mean/accuracy": means.corrupted.value} if means.corrupted else {}
    identity = identity_of([evaluation.evaluation_id, parameters, metrics])
    return TrackedRun(printable(evaluation.label), identity, parameters, metrics, rows.select(COLUMNS))


Files = Callable[[TrackedRun], dict[str, Path]]  # those of a run by name


@contextmanager
def files_of_runs(warehouse: Path) -> Iterator[Files]:
    """A function that gives the files of a run by name: its cell table, and the report, which is written once."""
    from failmodes.analysis.report.rendering import REPORT_FILE, write_report  # with Altair, for new runs alone

    with temporary_folder() as folder:
        report, table = folder / REPORT_FILE, folder / "cells.csv"

        def files(run: TrackedRun) -> dict[str, Path]:
            if not report.exists():
                write_report(warehouse, report)
            run.table.write_csv(table)
            return {path.name: path for path in (report, table)}

        yield files


def sent_lines(sent: list[TrackedRun], known: list[TrackedRun], where: str) -> tuple[str, ...]:
    """Which runs were added, and which the tracker already has, in words."""
    lines = [(sent, f"added to {where}"), (known, f"already in {where}, unchanged")]
    return tuple(f"{', '.join(run.label for run in runs)}: {what}" for runs, what in lines if runs)
