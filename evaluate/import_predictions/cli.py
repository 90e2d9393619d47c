"""The command `failmodes import`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import TaskID

from failmodes.evaluate.cli import DEFAULT_STUDY, StudyArgument
from failmodes.warehouse.errors import Interrupted
from failmodes.warehouse.progress_bar import progress_bar

if TYPE_CHECKING:
    from failmodes.evaluate.import_predictions.importing import ImportReport
    from failmodes.evaluate.import_predictions.predictions_file import ProgressCallback


def import_(
    predictions: Annotated[
        Path, typer.Argument(help="Parquet or CSV file, one row an image, corruption and severity.")
    ],
    label: Annotated[str, typer.Option(help="The model's name on charts.")],
    study_file: StudyArgument = DEFAULT_STUDY,
    architecture: Annotated[str, typer.Option(help="What the model is, for the record.")] = "imported",
    seed: Annotated[
        int | None, typer.Option(help="Which of the study's corruption seeds the images had; the first if not given.")
    ] = None,
    only_study: Annotated[
        bool, typer.Option("--only-study", help="Leave out images and cells that the study does not name.")
    ] = False,
) -> None:
    """Bring in predictions made elsewhere (ONNX, TensorFlow, an API) as an evaluation like any other, less attention.

    The study says of which images, corruptions, severities and pixels they are; it needs no models.

    Columns of the file:

    - image_id: the image's index in the full data set, from 0

    - corruption and severity: clean images, which must be there, go by 'none' and 0

    - logits or probabilities: one list column (Parquet only), or a column a class: logit_0 … or probability_0 …

    - label: not needed; compared with the data set's where it is there

    Class names may stand instead of numbers: logit_cat, logit_dog …

    `failmodes corrupt` writes corrupted images for others to predict: name its folder as `published` in the study.

    Nothing is kept before all of the file is checked. A second import does nothing, or finishes what was interrupted.
    """
    from failmodes.evaluate.import_predictions.importing import import_predictions
    from failmodes.evaluate.study.reading import read_study
    from failmodes.ingest.datasets.opening import open_dataset

    study = read_study(study_file, require_models=False)
    dataset = open_dataset(study.dataset, study.cache)
    try:
        with _progress() as on_progress:
            report = import_predictions(
                study, dataset, predictions, label,
                architecture=architecture, seed=seed, only_study=only_study, on_progress=on_progress,
            )  # fmt: skip
    except KeyboardInterrupt as error:
        raise Interrupted("stopped; finished cells are kept: run the same command to go on") from error
    console = Console(stderr=True, markup=False)
    for line in report_lines(report, label):
        console.print(line, highlight=False, soft_wrap=True)


def report_lines(report: "ImportReport", label: str) -> list[str]:
    """The lines that say what an import did."""
    if report.written:
        lines = [f"{report.written} cells imported, {report.existing} were there: {label}, {report.kind}, "
                 f"evaluation {report.evaluation_id}"]  # fmt: skip
    else:
        lines = [f"already there, nothing to do: {label}, evaluation {report.evaluation_id}"]
    if report.left_out:
        lines.append(
            f"{report.left_out:,} of {report.rows:,} rows left out: the study does not name their image or cell"
        )
    if report.not_finite:
        lines.append(f"{report.not_finite:,} rows are not finite: on record as such, they count as wrong")
    if report.former_label:
        lines.append(f"the same predictions were called {report.former_label!r} before: now they are called {label!r}")
    if report.namesakes:
        others = ", ".join(report.namesakes)
        lines.append(
            f"{label!r} also names other predictions on the same images (evaluation {others}): charts tell them apart "
            "by identity; another --label reads better"
        )
    return lines


@contextmanager
def _progress() -> Iterator["ProgressCallback"]:
    """A bar for rows read, then one for cells written; none where stderr is no terminal."""
    with progress_bar("[bold]import[/] {task.completed:,.0f} {task.description}") as bar:
        tasks: dict[str, TaskID] = {}

        def on_progress(unit: str, done: int, total: int | None) -> None:
            if unit not in tasks:
                tasks[unit] = bar.add_task(unit, total=total)
            bar.update(tasks[unit], completed=done)

        yield on_progress
