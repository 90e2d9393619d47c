"""Commands over a study file: write one, check its images, train and evaluate its networks.

`ingest` stands here, not in the ingest room, since only this room knows what a study is. `print_progress` shows what
`failmodes status` says of a study: cells published and cells missing, network by network.
"""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from failmodes.warehouse.errors import IncompleteRunError, Interrupted

if TYPE_CHECKING:
    from failmodes.evaluate.engine.run import RunReport

StudyArgument = Annotated[Path, typer.Argument(help="Study file.", metavar="STUDY")]
DEFAULT_STUDY = Path("study.toml")


class Template(StrEnum):
    """Studies to start from."""

    digits = "digits"
    cifar10 = "cifar10"
    folder = "folder"


def init(
    template: Annotated[Template, typer.Argument(help="Which study to start from.")] = Template.digits,
    output: Annotated[Path, typer.Option(help="Where to write it.")] = DEFAULT_STUDY,
) -> None:
    """Write a study file to start from; every key is explained in it."""
    from failmodes.evaluate.study.reading import templates
    from failmodes.warehouse.errors import StudyError
    from failmodes.warehouse.storage.files import atomic_write_bytes

    if output.exists():
        raise StudyError(f"{output} is there already: give another name with --output, or remove it")
    atomic_write_bytes(output, templates()[template.value].read_bytes())
    Console(stderr=True, markup=False).print(f"wrote {output}: read it, then `failmodes run {output}`", highlight=False)


def ingest(study_file: StudyArgument = DEFAULT_STUDY) -> None:
    """Check the images: open the data set and the corrupted set, fingerprint them, put them on record."""
    from failmodes.evaluate.evaluation import open_evaluation_data
    from failmodes.evaluate.study.reading import read_study
    from failmodes.ingest.datasets.dataset import record_dataset
    from failmodes.ingest.datasets.opening import open_dataset
    from failmodes.ingest.sources import record_corruptions, record_source

    study = read_study(study_file, require_models=False)
    console = Console(stderr=True, markup=False)
    dataset = open_dataset(study.dataset, study.cache)
    record_dataset(study.record_output, dataset)
    record_corruptions(study.record_output)
    count, height, width, _ = dataset.images.shape
    note = f" [{dataset.note}]" if dataset.note else ""
    console.print(
        f"{dataset.label}, {dataset.split}: {count:,} images of {height}×{width} px, "
        f"{len(dataset.class_names)} classes{note}, dataset_id {dataset.dataset_id}",
        highlight=False,
        soft_wrap=True,
    )
    for _, source, subset in open_evaluation_data(study, dataset):
        record_source(study.record_output, source)
        pairing = source.pairing
        fit = "paired with the clean images" if pairing.paired else f"not paired: {pairing.note}"
        console.print(f"{source.row()['source_label']}: {fit}; {subset.description}", highlight=False, soft_wrap=True)


def train(study_file: StudyArgument = DEFAULT_STUDY) -> None:
    """Train the networks of a study that have no checkpoint yet; a killed training goes on from its last epoch."""
    from failmodes.evaluate.progress import training_bar
    from failmodes.evaluate.study.reading import read_study
    from failmodes.evaluate.study_models import train_missing
    from failmodes.ingest.datasets.opening import open_dataset

    study = read_study(study_file)
    dataset = open_dataset(study.dataset, study.cache)
    try:
        with training_bar() as show_epoch:
            trained = train_missing(study, dataset, show_epoch)
    except KeyboardInterrupt as error:
        raise Interrupted("stopped; whole epochs are kept: run the same command to go on") from error
    console = Console(stderr=True, markup=False)
    if not trained:
        console.print("nothing to train: every network of the study has its checkpoint")
    for path in trained:
        console.print(f"trained {path}", highlight=False, soft_wrap=True)


def evaluate(
    study_file: StudyArgument = DEFAULT_STUDY,
    redo_damaged: Annotated[
        bool, typer.Option("--redo-damaged", help="Check the hash of every stored file; make damaged ones again.")
    ] = False,
) -> None:
    """Run every network over every corruption and severity that is missing; safe to kill and to run again.

    Its networks are printed first: what each is, how images are prepared for it, and how it is attended to.
    """
    from failmodes.evaluate.engine.run import evaluate_study
    from failmodes.evaluate.progress import evaluation_bar
    from failmodes.evaluate.study.reading import read_study
    from failmodes.ingest.datasets.opening import open_dataset
    from failmodes.warehouse.errors import StudyError

    study = read_study(study_file)
    if (study.record or "").startswith("memory:"):
        raise StudyError("a record in memory is gone when the command ends: set `record` to a folder or another URL")
    dataset = open_dataset(study.dataset, study.cache)
    try:
        with evaluation_bar() as progress:
            report = evaluate_study(study, dataset, redo_damaged=redo_damaged, progress=progress)
    except KeyboardInterrupt as error:
        raise Interrupted("stopped; finished shards are kept: run the same command to go on") from error
    print_run(report)


def print_run(report: "RunReport") -> None:
    """Say what a run did.

    Raises:
        IncompleteRunError: a network raised.
    """
    console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    for path in report.rewritten:
        console.print(f"damaged, made again: {path}")
    console.print(f"{report.written} shards made, {report.existing} were there")
    for label, share in report.changed_predictions.items():
        console.print(f"{label}: the lower precision changes {share:.2%} of up to 512 clean predictions")
    for label, count in report.not_finite.items():
        console.print(f"{label}: {count:,} rows have logits that are not finite (wrong, without confidence)")
    for failure in report.failures:
        console.print(f"{failure.model_label} raised and was set aside: {failure.reason}")
    if report.failures:
        labels = ", ".join(sorted({failure.model_label for failure in report.failures}))
        raise IncompleteRunError(f"not evaluated to the end: {labels}; mend it and run the same command")


def print_progress(study_file: Path) -> None:
    """Print one row an evaluation, its cells published and missing; of networks not trained yet only the names."""
    from rich.table import Table

    from failmodes.evaluate.devices import choose_device
    from failmodes.evaluate.engine.plan import missing_cells, plan_evaluations
    from failmodes.evaluate.study.reading import read_study
    from failmodes.evaluate.study_models import study_models
    from failmodes.ingest.datasets.opening import open_dataset

    study = read_study(study_file, require_models=False)
    if not study.models:
        return  # its predictions are imported: the warehouse says what is there
    dataset = open_dataset(study.dataset, study.cache)
    console = Console(highlight=False, markup=False)
    untrained = [model.label for model in study_models(study, dataset) if not model.is_there]
    if untrained:
        console.print(f"{study.name}: not trained yet: {', '.join(untrained)}")
        return
    table = Table("model", "source", "evaluation", "shards", "missing", title=study.name, title_justify="left")
    for group in plan_evaluations(study, dataset, choose_device(study.evaluation.device)):
        for evaluation in group:
            source_label = evaluation.data.source.row()["source_label"]
            counts = len(study.cells), len(missing_cells(study, evaluation))
            table.add_row(evaluation.model.label, source_label, evaluation.evaluation_id, *map(str, counts))
    console.print(table)
