"""Commands on a study file: write one, check its images, train and evaluate its models, import predictions.

`ingest` is here and not in the package `ingest`, which does not know studies.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from failmodes.runtime.errors import printable
from failmodes.runtime.packages import require
from failmodes.runtime.process import interruptible
from failmodes.runtime.progress import ProgressBar
from failmodes.runtime.terminal import announce_output, named, note, print_json, say, suggest
from failmodes.warehouse.output_files import STDOUT, ForceOption, check_result, result_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from failmodes.evaluate.study.study_schema import Study
    from failmodes.evaluate.tables.options import TableOptions
    from failmodes.ingest.datasets.dataset import Dataset

StudyArgument = Annotated[Path, typer.Argument(help="Study file.", metavar="STUDY")]
DEFAULT_STUDY = Path("study.toml")
SkipUnreadableOption = Annotated[
    bool,
    typer.Option(
        "--skip-unreadable",
        help="Leave out images that cannot be decoded, and count them; skip_unreadable = true in [dataset] does so in "
        "every command.",
    ),
]


def init(
    template: Annotated[Literal["digits", "cifar10", "folder"], typer.Argument(help="Template.")] = "digits",
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write; - prints to stdout.", metavar="FILE")
    ] = DEFAULT_STUDY,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing .toml file.")] = False,
) -> None:
    """Write a study file to start from, with comments on every key."""
    from failmodes.evaluate.study.study_file import templates
    from failmodes.runtime.errors import StudyError
    from failmodes.warehouse.output_files import write_output

    check_result(output, (".toml",), force=True)
    if output != STDOUT and output.exists() and not force:
        raise StudyError(f"{output} already exists: choose another name with --output, remove it, or add --force")
    with result_file(output, DEFAULT_STUDY.name) as path:
        write_output(path, templates()[template].read_bytes(), (".toml",), force=force)
    if output != STDOUT:
        note(f"wrote {output}: edit it, then run `failmodes run{named(output)}`")


def ingest(
    study_file: StudyArgument = DEFAULT_STUDY,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Write the study's images to this .csv file (- for stdout): image_id, label, class, file.",
            metavar="FILE",
        ),
    ] = None,
    skip_unreadable: SkipUnreadableOption = False,
    force: ForceOption = False,
) -> None:
    """Check the images: open and fingerprint the dataset and the corrupted dataset, and store both in the results."""
    from failmodes.ingest.datasets.dataset import write_image_list

    check_result(images, (".csv",), force=force)
    study, dataset = open_study(study_file, require_models=False, skip_unreadable=skip_unreadable)
    evaluated = ingest_images(study, dataset)
    if images is not None:
        with result_file(images, "images.csv") as path:
            write_image_list(dataset, evaluated, path, force=force)
    following = f"train{_named(study_file)}"
    suggest(f"failmodes {following if study.models else f'import PREDICTIONS{_named(study_file)} --label NAME'}")


def open_study(
    study_file: Path, *, require_models: bool = True, skip_unreadable: bool = False
) -> "tuple[Study, Dataset]":
    """Read a study and open its images; on request without those that cannot be decoded.

    Raises:
        StudyError, DataError, StorageError: as the message says.
    """
    from failmodes.evaluate.study.study_file import read_study

    study = read_study(study_file, require_models=require_models)
    study = study.without_unreadable() if skip_unreadable else study
    return study, open_images(study)


def open_images(study: "Study") -> "Dataset":
    """Print where a study writes, and open its images."""
    from failmodes.ingest.datasets.layout import open_dataset

    announce_output(study.output, study.results)
    return open_dataset(study.dataset, study.cache)


def ingest_images(study: "Study", dataset: "Dataset") -> "NDArray[np.int64]":
    """Check and store the images of a study, print their description; returns the image_ids of the evaluated ones."""
    from failmodes.evaluate.evaluation_data import open_study_data
    from failmodes.ingest.datasets.dataset import record_dataset
    from failmodes.ingest.sources import record_corruptions, record_source

    record_dataset(study.results_folder, dataset)
    record_corruptions(study.results_folder)
    note(dataset.describe())
    opened = open_study_data(study, dataset)
    for data in opened:
        if data.shift is not None:
            if data.is_shifted:
                note(data.shift.describe())
            continue
        source = data.source
        record_source(study.results_folder, source)
        paired = f"{'' if source.pairing.paired else 'not '}paired with the clean images"
        note(f"{source.row()['source_label']}: {paired}; {data.subset.description}")
        for source_note in source.notes:
            note(source_note.line)
    return opened[0].subset.clean_ids


def train(study_file: StudyArgument = DEFAULT_STUDY, skip_unreadable: SkipUnreadableOption = False) -> None:
    """Train the models of a study that have no checkpoint yet. Training resumes from the last finished epoch."""
    require("evaluate", "`failmodes train`")
    train_models(*open_study(study_file, skip_unreadable=skip_unreadable))
    suggest(f"failmodes evaluate{_named(study_file)}")


def train_models(study: "Study", dataset: "Dataset") -> None:
    """Train the models of a study that have no checkpoint yet, and print their checkpoints."""
    from failmodes.evaluate import stages

    with interruptible("finished epochs are kept"):
        trained = stages.train(study, dataset)
    if not trained:
        note("nothing to train: all models have a checkpoint")
    for path in trained:
        note(f"trained {path}")


def _named(study_file: Path) -> str:
    """The study file as an argument; empty for the default."""
    return "" if study_file == DEFAULT_STUDY else named(study_file)


StrictOption = Annotated[
    bool, typer.Option("--strict", help="Treat warnings as errors: stop before the corrupted images with exit code 1.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print summary, assumptions and notes to stdout as JSON; see the keys above.")
]


def evaluate(
    study_file: StudyArgument = DEFAULT_STUDY,
    redo_damaged: Annotated[
        bool, typer.Option("--redo-damaged", help="Verify the hash of every stored file and recompute damaged ones.")
    ] = False,
    strict: StrictOption = False,
    skip_unreadable: SkipUnreadableOption = False,
    as_json: JsonOption = False,
) -> None:
    """Evaluate every model on each missing corruption and severity. Safe to kill and rerun.

    Warnings are printed first, then assumptions: the images and each model's input, outputs, classes and attention
    method. Clean images are evaluated first, and the predictions on them are checked. Warnings are stored in the
    results and printed again by every later call.

    Keys of --json: images (text), evaluations, written, existing and rewritten (shards), notes (topic, text, label,
    level), changed_predictions (by label) and failures (evaluation_id, model_label, reason).
    """
    require("evaluate", "`failmodes evaluate`")
    opened = open_study(study_file, skip_unreadable=skip_unreadable)
    evaluate_models(*opened, redo_damaged=redo_damaged, strict=strict, as_json=as_json)
    if not as_json:
        suggest(f"failmodes load{_named(study_file)}")


def evaluate_models(
    study: "Study",
    dataset: "Dataset",
    *,
    redo_damaged: bool = False,
    strict: bool = False,
    as_json: bool = False,
    describe_images: bool = True,
) -> None:
    """Evaluate, and print a summary, as JSON on request.

    Raises:
        IncompleteRunError: a model raised, or `strict` is set and there are warnings.
    """
    from failmodes.evaluate.stages import evaluate as evaluate_stage
    from failmodes.runtime.errors import StudyError

    if (study.results or "").startswith("memory:"):
        raise StudyError("results in memory are lost when the command ends: set `results` to a folder or another URL")
    with interruptible("finished shards are kept"):
        report = evaluate_stage(
            study, dataset, redo_damaged=redo_damaged, strict=strict, describe_images=describe_images
        )
    if as_json:
        print_json({"images": dataset.describe(), **report.as_json()})
    for line in report.describe():
        note(line)
    report.raise_if_incomplete("fix it and rerun the same command")


def print_estimate(study: "Study", dataset: "Dataset", *, as_json: bool = False) -> None:
    """Print missing cells, estimated minutes and disk space of a run.

    Raises:
        StudyError: the study has no models.
    """
    from failmodes.evaluate.engine.estimate import estimate_run
    from failmodes.runtime.errors import StudyError

    if not study.models:
        raise StudyError("the study has no models: its predictions are imported, so there is nothing to evaluate")
    note(dataset.describe())
    estimate = estimate_run(study, dataset)
    if as_json:
        print_json(estimate.as_json())
    else:
        say("\n".join(map(printable, estimate.describe())))


def import_(
    tables: Annotated[
        list[Path],
        typer.Argument(
            help="Tables of predictions (CSV, Parquet, JSON lines); with a study instead of --to, one table and the "
            "study file.",
            metavar="TABLES",
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option(help="Output folder. Its tables share one dataset, by names of images.", metavar="FOLDER"),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(help="Model name in charts. Default: the file name, or the column `model`.", metavar="NAME"),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            help="Columns by role, such as image=file_name,prediction=predicted_class. Repeatable.",
            metavar="ROLE=COLUMN",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check every row and print the role of each column; store nothing.")
    ] = False,
    dataset: Annotated[
        str | None, typer.Option(help="Dataset name in charts. Default: the name of the folder.", metavar="NAME")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder with the images, by their names in the table.", metavar="FOLDER")
    ] = None,
    metadata: Annotated[
        Path | None,
        typer.Option(help="Metadata of the images, a .csv or .parquet with their names in a column.", metavar="FILE"),
    ] = None,
    image_pattern: Annotated[
        str | None, typer.Option(help="Regular expression of the part of an image name to keep.", metavar="REGEX")
    ] = None,
    axis: Annotated[
        list[str] | None,
        typer.Option(
            help='Axis of levels, from the reference level: contrast="%,100..1,log". Repeatable.',
            metavar="NAME=AXIS",
        ),
    ] = None,
    level_pattern: Annotated[
        str | None,
        typer.Option(help="Regular expression of the level in a text: 'c(\\d+)' for c30.", metavar="REGEX"),
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="Condition that is the reference level, such as cr.", metavar="WORD")
    ] = None,
    missing: Annotated[
        str | None,
        typer.Option(
            help="Texts that mean no prediction, which counts as incorrect: na,refused ('' for empty ones).",
            metavar="TEXTS",
        ),
    ] = None,
    more_classes: Annotated[
        bool, typer.Option("--more-classes", help="Predicted classes that no image has are classes too.")
    ] = False,
    architecture: Annotated[
        str, typer.Option(help="Architecture of the model, stored in the results.", metavar="NAME")
    ] = "imported",
    seed: Annotated[
        int | None,
        typer.Option(
            help="With a study: corruption seed of the images. Default: the first seed of the study.", metavar="N"
        ),
    ] = None,
    only_study: Annotated[
        bool,
        typer.Option("--only-study", help="With a study: ignore images and cells that are not in it."),
    ] = False,
    renormalize: Annotated[
        bool, typer.Option("--renormalize", help="Accept rounded probabilities, which sum to 1 only approximately.")
    ] = False,
    strict: StrictOption = False,
) -> None:
    """Import predictions made elsewhere: by other frameworks, an API, a phone, or people.

    With --to, tables are enough: no study, no images, no PyTorch. Roles of columns:

    - image and label: required, names or numbers

    - prediction: a class; or logits or probabilities of every class, in a list or in columns logit_0 … probability_cat

    - confidence: optional, of the predicted class, 0-1

    - corruption, and severity (0 to 999) or value of the level, which --axis ranks; without them all images are clean

    - model, and run (training seed, observer, trial)

    Other columns are metadata of images where they are constant by image. Common names are recognized.

    With a study instead of --to, images are those of the study (see `failmodes ingest --images`), by image_id or file,
    and logits or probabilities of every class are required.

    Nothing is stored before every row is checked. Importing again does nothing, or finishes an interrupted import.
    """
    from failmodes.evaluate.tables.columns import parse_columns
    from failmodes.evaluate.tables.options import parse_axes, table_options
    from failmodes.runtime.errors import StudyError

    studies = [path for path in tables if path.suffix == ".toml"]
    paths = [path for path in tables if path.suffix != ".toml"]
    if not paths or len(studies) > 1 or (studies and to is not None):
        raise StudyError("expected tables and --to FOLDER, or one table and a study file")
    _check_import_options(
        to,
        {
            "--dry-run": dry_run, "--dataset": dataset, "--images": images, "--metadata": metadata,
            "--image-pattern": image_pattern,
            "--axis": axis, "--level-pattern": level_pattern, "--reference": reference, "--missing": missing,
            "--more-classes": more_classes,
        },
        {"--seed": seed is not None, "--only-study": only_study},
    )  # fmt: skip
    named_columns = parse_columns(columns or ())
    if to is None:
        _import_with_study(
            paths, studies, label, named_columns, architecture=architecture, seed=seed, only_study=only_study,
            renormalize=renormalize, strict=strict,
        )  # fmt: skip
        return
    options = table_options(
        to, columns=named_columns, label=label or paths[0].name.partition(".")[0], dataset=dataset,
        architecture=architecture, images=images, metadata=metadata, image_pattern=image_pattern,
        level_pattern=level_pattern,
        reference=reference, axes=parse_axes(axis or ()), missing=() if missing is None else missing.split(","),
        more_classes=more_classes, renormalize=renormalize, strict=strict,
    )  # fmt: skip
    _import_tables(paths, to, options, dry_run=dry_run)


def _check_import_options(to: Path | None, of_tables: dict[str, Any], of_studies: dict[str, Any]) -> None:
    """Refuse options that have no meaning with a study, or without one."""
    from failmodes.runtime.errors import StudyError

    others = of_tables if to is None else of_studies
    if used := [name for name, value in others.items() if value]:
        fix = "is for tables without a study: add --to FOLDER" if to is None else "needs a study instead of --to"
        raise StudyError(f"{used[0]} {fix}")


def _import_tables(paths: list[Path], to: Path, options: "TableOptions", *, dry_run: bool) -> None:
    """Import tables without a study; a dry run only checks them."""
    from failmodes.evaluate.tables.importing import check_tables, import_table

    with interruptible("finished cells are kept"), ProgressBar("import") as bar:

        def on_progress(unit: str, done: int, total: int | None) -> None:
            bar.update(done, total, f"{done:,}", unit)

        checked = check_tables(paths, to, options, on_progress)
        for line in checked.describe():
            note(line)
        if dry_run:
            note("dry run: nothing is stored")
            return
        report = import_table(checked, to, options, on_progress)
    for line in report.describe():
        note(line)
    note(f"next: `failmodes load{named(to)}`, then `failmodes report{named(to)}`")


def _import_with_study(
    paths: list[Path],
    studies: list[Path],
    label: str | None,
    columns: list[tuple[str, str]],
    *,
    architecture: str,
    seed: int | None,
    only_study: bool,
    renormalize: bool,
    strict: bool,
) -> None:
    """Import one table of a study's images."""
    from failmodes.runtime.errors import StudyError

    study_file = studies[0] if studies else DEFAULT_STUDY
    if not studies and not study_file.exists():
        raise StudyError(f"no {study_file} in this folder: add --to FOLDER to import without a study, or name a study")
    if len(paths) != 1:
        raise StudyError(f"{len(paths)} tables and a study: import one table at a time")
    if label is None:
        raise StudyError("--label is missing: expected the name of the model in charts")
    require("evaluate", "`failmodes import` with a study")
    from failmodes.evaluate.tables.columns import named_columns
    from failmodes.evaluate.tables.with_study import import_predictions

    study, images = open_study(study_file, require_models=False)
    with interruptible("finished cells are kept"), ProgressBar("import") as bar:
        report = import_predictions(
            study, images, paths[0], label, columns=named_columns(columns),
            architecture=architecture, seed=seed, only_study=only_study, renormalize=renormalize, strict=strict,
            on_progress=lambda unit, done, total: bar.update(done, total, f"{done:,}", unit),
        )  # fmt: skip
    for line in report.describe():
        note(line)
    if study.shifts:
        note("natural shifts are not imported: models of the study are evaluated on them")
    study_argument = _named(study_file)
    note(f"next: `failmodes load{study_argument}`, then `failmodes report{study_argument}`")
