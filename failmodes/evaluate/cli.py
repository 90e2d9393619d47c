"""Commands over a study file: write one, check its images, train and evaluate its models, import predictions.

`ingest` stands here, not in the ingest room, since only this room knows what a study is.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from failmodes.warehouse.errors import printable
from failmodes.warehouse.extras import require
from failmodes.warehouse.output_files import STDOUT, ForceOption, check_result, result_file
from failmodes.warehouse.process import interruptible
from failmodes.warehouse.progress import ProgressBar
from failmodes.warehouse.terminal import named, note, print_json, say, suggest

if TYPE_CHECKING:
    from failmodes.evaluate.engine.tasks import RunResult
    from failmodes.evaluate.study.study_schema import Study

StudyArgument = Annotated[Path, typer.Argument(help="Study file.", metavar="STUDY")]
DEFAULT_STUDY = Path("study.toml")


def init(
    template: Annotated[
        Literal["digits", "cifar10", "folder"], typer.Argument(help="Which study to start from.")
    ] = "digits",
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write; - prints it to stdout.")
    ] = DEFAULT_STUDY,
    force: Annotated[bool, typer.Option("--force", help="Replace a .toml file that is there.")] = False,
) -> None:
    """Write a study file to start from; every key is explained in it."""
    from failmodes.evaluate.study.study_file import templates
    from failmodes.warehouse.errors import StudyError
    from failmodes.warehouse.output_files import write_output

    check_result(output, (".toml",), force=True)
    if output != STDOUT and output.exists() and not force:
        raise StudyError(f"{output} is there already: give another name with --output, remove it, or add --force")
    with result_file(output, DEFAULT_STUDY.name) as path:
        write_output(path, templates()[template].read_bytes(), (".toml",), force=force)
    if output != STDOUT:
        note(f"wrote {output}: read it, then `failmodes run{named(output)}`")


def ingest(
    study_file: StudyArgument = DEFAULT_STUDY,
    images: Annotated[
        Path | None,
        typer.Option(help="List the study's images in this .csv file (- for stdout): image_id, label, class, file."),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Check the images: open the data set and the corrupted set, fingerprint them, put them on record."""
    from failmodes.evaluate.evaluation_data import open_evaluation_data
    from failmodes.evaluate.study.study_file import read_study
    from failmodes.ingest.datasets.dataset import record_dataset, write_image_list
    from failmodes.ingest.datasets.opening import open_dataset
    from failmodes.ingest.sources import record_corruptions, record_source

    check_result(images, (".csv",), force=force)
    study = read_study(study_file, require_models=False)
    dataset = open_dataset(study.dataset, study.cache)
    record_dataset(study.results_folder, dataset)
    record_corruptions(study.results_folder)
    note(dataset.describe())
    for _, source, subset in open_evaluation_data(study, dataset):
        record_source(study.results_folder, source)
        pairing = source.pairing
        fit = "paired with the clean images" if pairing.paired else f"not paired: {pairing.note}"
        note(f"{source.row()['source_label']}: {fit}; {subset.description}")
    if images is not None:
        with result_file(images, "images.csv") as path:
            write_image_list(dataset, subset.clean_ids, path, force=force)
    following = f"train{_named(study_file)}"
    suggest(f"failmodes {following if study.models else f'import PREDICTIONS{_named(study_file)} --label NAME'}")


def train(study_file: StudyArgument = DEFAULT_STUDY) -> None:
    """Train the models of a study that have no checkpoint yet; a killed training goes on from its last epoch."""
    require("evaluate", "`failmodes train`")
    from failmodes.evaluate import stages
    from failmodes.evaluate.study.study_file import read_study
    from failmodes.ingest.datasets.opening import open_dataset

    study = read_study(study_file)
    dataset = open_dataset(study.dataset, study.cache)
    with interruptible("whole epochs are kept"):
        trained = stages.train(study, dataset)
    if not trained:
        note("nothing to train: every model of the study has its checkpoint")
    for path in trained:
        note(f"trained {path}")
    suggest(f"failmodes evaluate{_named(study_file)}")


def _named(study_file: Path) -> str:
    """The study as an argument; nothing where it is the default."""
    return "" if study_file == DEFAULT_STUDY else named(study_file)


StrictOption = Annotated[
    bool, typer.Option("--strict", help="Take warnings for errors: stop before the corrupted images, exit code 1.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print what was done, assumed and found to stdout, as JSON.")]


def evaluate(
    study_file: StudyArgument = DEFAULT_STUDY,
    redo_damaged: Annotated[
        bool, typer.Option("--redo-damaged", help="Check the hash of every stored file; make damaged ones again.")
    ] = False,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run every model over every corruption and severity that is missing; safe to kill and to run again.

    It first prints what may be a mistake, then what it assumes: the images, and of each model its input, its outputs
    and their classes, and its attention method. After the clean images, which come first, it checks what the model
    predicts. The results keep all warnings, and every later call prints them.
    """
    evaluate_models(study_file, redo_damaged=redo_damaged, strict=strict, as_json=as_json)
    if not as_json:
        suggest(f"failmodes load{_named(study_file)}")


def evaluate_models(
    study_file: Path,
    *,
    redo_damaged: bool = False,
    strict: bool = False,
    as_json: bool = False,
    describe_images: bool = True,
) -> None:
    """Evaluate, say what was done, and print it as JSON where that is asked for.

    Raises:
        IncompleteRunError: a model raised, or it is strict and there are warnings.
    """
    require("evaluate", "`failmodes evaluate`")
    from failmodes.evaluate.allocator import keep_freed_memory
    from failmodes.evaluate.stages import evaluate as evaluate_stage
    from failmodes.evaluate.study.study_file import read_study
    from failmodes.ingest.datasets.opening import open_dataset
    from failmodes.warehouse.errors import StudyError

    keep_freed_memory()
    study = read_study(study_file)
    if (study.results or "").startswith("memory:"):
        raise StudyError("results in memory are gone when the command ends: set `results` to a folder or another URL")
    dataset = open_dataset(study.dataset, study.cache)
    with interruptible("finished shards are kept"):
        report = evaluate_stage(
            study, dataset, redo_damaged=redo_damaged, strict=strict, describe_images=describe_images
        )
    if as_json:
        print_json({"images": dataset.describe(), **report.as_json()})
    print_run(report)


def print_estimate(study: "Study", *, as_json: bool = False) -> None:
    """Print what a run of a study would evaluate, in how many minutes, and the disk space that it needs.

    Raises:
        StudyError: the study names no models.
    """
    from failmodes.evaluate.engine.estimate import estimate_run
    from failmodes.ingest.datasets.opening import open_dataset
    from failmodes.warehouse.errors import StudyError

    if not study.models:
        raise StudyError("this study names no models: there is nothing to evaluate, predictions are imported")
    dataset = open_dataset(study.dataset, study.cache)
    note(dataset.describe())
    estimate = estimate_run(study, dataset)
    if as_json:
        print_json(estimate.as_json())
    else:
        say("\n".join(map(printable, estimate.describe())))


def print_run(report: "RunResult") -> None:
    """Say what a run did.

    Raises:
        IncompleteRunError: a model raised.
    """
    for line in report.describe():
        note(line)
    report.raise_if_incomplete("mend it and run the same command")


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
    renormalize: Annotated[
        bool, typer.Option("--renormalize", help="Take probabilities that are rounded, and so sum to 1 only roughly.")
    ] = False,
    strict: StrictOption = False,
) -> None:
    """Bring in predictions made elsewhere (ONNX, TensorFlow, an API) as an evaluation like any other, less attention.

    The study says of which images, corruptions, severities and pixels they are; it needs no models.

    Columns of the file:

    - image_id: the image's index in the full data set, from 0; or file, its path within the folder of the images.
    `failmodes ingest --images images.csv` lists both

    - corruption and severity: clean images, which must be there, go by 'none' and 0

    - logits or probabilities: one list column (Parquet only), or a column a class: logit_0 … or probability_0 …

    - label: not needed; compared with the data set's where it is there

    Class names may stand instead of numbers: logit_cat, logit_dog …

    `failmodes corrupt` writes corrupted images for others to predict: name its folder as `published` in the study.

    Nothing is kept before all of the file is checked. A second import does nothing, or finishes what was interrupted.
    """
    require("evaluate", "`failmodes import`")
    from failmodes.evaluate.import_predictions.importing import import_predictions
    from failmodes.evaluate.study.study_file import read_study
    from failmodes.ingest.datasets.opening import open_dataset

    study = read_study(study_file, require_models=False)
    dataset = open_dataset(study.dataset, study.cache)
    with interruptible("finished cells are kept"), ProgressBar("import") as bar:
        report = import_predictions(
            study, dataset, predictions, label,
            architecture=architecture, seed=seed, only_study=only_study, renormalize=renormalize, strict=strict,
            on_progress=lambda unit, done, total: bar.update(done, total, f"{done:,}", unit),
        )  # fmt: skip
    for line in report.describe():
        note(line)
    study_argument = _named(study_file)
    note(f"next: `failmodes load{study_argument}`, then `failmodes report{study_argument}`")
