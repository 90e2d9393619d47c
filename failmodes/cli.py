"""The command line: all commands, and those that combine several stages."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from failmodes import __version__
from failmodes.analysis.commands.check import check
from failmodes.analysis.commands.decisions import compare, export, gate, publish, seal
from failmodes.analysis.commands.diff import diff
from failmodes.analysis.commands.queries import SqlCommand, query, schema
from failmodes.analysis.commands.remove import remove
from failmodes.analysis.commands.report import (
    LAYOUT_CHOICES,
    THEME_CHOICES,
    PairCommand,
    chart,
    claims,
    print_findings,
    report,
    save_report,
    shapes,
)
from failmodes.analysis.commands.threshold import threshold
from failmodes.analysis.render.documents import format_names
from failmodes.evaluate.cli import (
    DEFAULT_STUDY,
    JsonOption,
    SkipUnreadableOption,
    StrictOption,
    StudyArgument,
    evaluate,
    evaluate_models,
    import_,
    ingest,
    ingest_images,
    init,
    open_images,
    print_estimate,
    train,
    train_models,
)
from failmodes.ingest.cli import corrupt, download
from failmodes.runtime.errors import IncompleteRunError, StudyError, printable
from failmodes.runtime.packages import require
from failmodes.runtime.process import interruptible, lift_limits, limit_command, query_memory
from failmodes.runtime.progress import stages_shown
from failmodes.runtime.terminal import announce_output, confirmed, named, note, print_json, say, shown_path, suggest
from failmodes.status_command import status
from failmodes.warehouse.cli import (
    READING_S,
    Command,
    Commands,
    CorruptionOption,
    FilterOption,
    TimeoutOption,
    WhereArgument,
    load_outputs,
    load_published,
    load_summary,
)
from failmodes.warehouse.completion import complete_corruption, complete_model
from failmodes.warehouse.output_files import STDOUT, ForceOption, check_result, result_file

if TYPE_CHECKING:
    from failmodes.analysis.images.stored_images import AttentionOf
    from failmodes.evaluate.study.study_schema import Study
    from failmodes.ingest.datasets.dataset import Dataset
    from failmodes.runtime.storage.files import StorePath

SLICE_FORMATS = ["csv", *(name for name in format_names() if name != "junit")]
IMAGES_S = 600  # for a filter, and for 200 images of the slowest corruption
ResultsArgument = Annotated[
    str | None,
    typer.Argument(help="Study file, or an output folder or URL with results. Default: study.toml in this folder."),
]
STUDY, STAGES, QUERIES, DECISIONS = "Whole study", "Stages", "Query and visualize", "Compare and decide"


def show_version(wanted: bool) -> None:
    """Print the version and exit."""
    if wanted:
        print(f"failmodes {__version__}")
        raise typer.Exit


def root(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options before the command."""


def run(
    study_file: StudyArgument = DEFAULT_STUDY,
    as_json: JsonOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print models, missing cells, estimated minutes and disk space.")
    ] = False,
    strict: StrictOption = False,
    skip_unreadable: SkipUnreadableOption = False,
) -> None:
    """Run the whole study (ingest, train, evaluate, load, analyze, report), skipping steps already done.

    Keys of --json: those of `failmodes evaluate --json`; with --dry-run: models (label, cells, missing, images,
    seconds), device, device_count, seconds, disk_bytes and free_bytes.
    """
    from failmodes.analysis.judging.derivation import DERIVATION
    from failmodes.analysis.judging.statement import stored_rows
    from failmodes.evaluate.study.study_file import read_study
    from failmodes.warehouse.metrics.custom import read_metrics

    lift_limits()  # it only reads files that it wrote itself
    study = read_study(study_file, require_models=False)
    study = study.without_unreadable() if skip_unreadable else study
    metrics = read_metrics(study.metrics, study_file.parent, str(study_file))  # else an error appears after hours
    if study.models:  # without models, its predictions are imported
        require("evaluate", "`failmodes run`")
    dataset = open_images(study)
    if dry_run:
        print_estimate(study, dataset, as_json=as_json)
        return
    ingest_images(study, dataset)
    raised = _run_models(study, dataset, strict=strict, as_json=as_json) if study.models else None
    warehouse = shown_path(study.warehouse)
    load_outputs(
        [study.results_folder], warehouse, claims=stored_rows(study.claims), models=study.stated_models,
        metrics=metrics, derivation=DERIVATION,
    )  # fmt: skip
    save_report(warehouse, claims=study.claims, metrics=metrics, results=study.results_folder)
    if not as_json:
        print_findings(warehouse)
    if raised is not None:
        raise raised
    if not as_json:
        suggest(f"failmodes query @worst_cells{named(study_file)}")


def _run_models(study: "Study", dataset: "Dataset", *, strict: bool, as_json: bool) -> IncompleteRunError | None:
    """Train and evaluate; returns the error of a model that raised, since results of the others are reported."""
    train_models(study, dataset)
    try:
        evaluate_models(study, dataset, strict=strict, as_json=as_json, describe_images=False)
    except IncompleteRunError as error:
        if strict:
            raise
        return error
    return None


def load(
    where: ResultsArgument = None,
    more: Annotated[list[str] | None, typer.Argument(help="Further studies, output folders or URLs.")] = None,
    into: Annotated[
        Path | None,
        typer.Option(
            help="Warehouse file to write (local). Default: the warehouse of the first WHERE.", metavar="FILE"
        ),
    ] = None,
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="Rebuild from only the given inputs; a file that cannot be read is set aside."),
    ] = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune", help="With --rebuild: drop rows whose results no input holds. Lists them, and asks first."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --prune: skip the confirmation.")] = False,
    published: Annotated[
        list[Path] | None,
        typer.Option(help="Published accuracies to show alongside (RobustBench CSV). Repeatable.", metavar="FILE"),
    ] = None,
    published_of: Annotated[
        str | None,
        typer.Option(
            help="Dataset of the published accuracies, if the file name (cifar10_…) does not say.", metavar="NAME"
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a summary to stdout as JSON; see the keys above.")
    ] = False,
) -> None:
    """Load evaluated cells into the warehouse: only new files, each verified by its hash.

    With --rebuild and a warehouse file as WHERE, or a folder without results, everything derived from the rows of the
    warehouse is derived again; its claims stay.

    Keys of --json: warehouse, shards (new, replaced, kept, dropped), rows, is_changed, measured_evaluations, elapsed_s,
    set_aside; and published: name, models, dataset, has_clean and is_drawn of each table. Keys about results are null
    if no results were loaded.
    """
    limit_command(None)
    from failmodes.analysis.judging.derivation import DERIVATION, derive_again
    from failmodes.analysis.judging.statement import stored_rows
    from failmodes.ingest.statements import claims_of_studies
    from failmodes.runtime.storage.locations import find_results, find_warehouse, study_files
    from failmodes.warehouse.metrics.custom import metrics_of_studies
    from failmodes.warehouse.published_layout import read_published
    from failmodes.warehouse.shards.inventory import has_results
    from failmodes.warehouse.stated_models import models_of_studies

    if prune and not rebuild:
        raise StudyError("--prune drops rows in a rebuild: add --rebuild")
    locations = [where, *(more or [])]
    claims = claims_of_studies(locations)
    models = models_of_studies(locations)
    sets = [read_published(path, published_of) for path in published or []]
    target = find_warehouse(into or where)
    if into is None and study_files([where]):
        announce_output(target.parent)
    outputs = [find_results(location) for location in locations]
    loaded = None
    is_file = where is not None and where.endswith(".duckdb")
    is_alone = into is None and not more and target.exists() and not study_files([where])
    if rebuild and is_alone and (is_file or not has_results(outputs[0])):
        with stages_shown("load"), interruptible("the warehouse is unchanged"):
            derive_again(target)
        note(f"{target}: all results derived from its rows are derived again")
    elif not sets or rebuild or not target.exists() or any(map(has_results, outputs)):
        if prune and not _may_prune(outputs, target, yes=yes):
            return
        loaded = load_outputs(
            outputs, target, rebuild=rebuild, prunes=prune, claims=None if claims is None else stored_rows(claims),
            models=models, metrics=metrics_of_studies(locations), derivation=DERIVATION,
        )  # fmt: skip
    shown = load_published(sets, target, DERIVATION) if sets else []
    if as_json:
        print_json(load_summary(target, loaded, shown))
    else:
        suggest(f"failmodes report{named(into or where)}")


def _may_prune(outputs: "list[StorePath]", target: Path, *, yes: bool) -> bool:
    """List the shards that a rebuild drops, and ask."""
    from failmodes.warehouse.database.load import lost_shards

    lost = lost_shards(outputs, target)
    for label, count in lost.items():
        say(printable(f"{label}: {count:,} shards, which no given folder holds"))
    return yes or not lost or confirmed("Drop them?", f"nothing was dropped, and {target} is unchanged")


def images(
    where: WhereArgument = None,
    condition: Annotated[
        str | None,
        typer.Option(
            "--filter",
            metavar="CONDITION",
            help="SQL condition with order and limit: \"corruption = 'fog' and severity = 3 and not correct "
            'order by confidence desc limit 24". Add clean_correct for images that are correct when clean.',
        ),
    ] = None,
    image: Annotated[
        list[int] | None,
        typer.Option(
            min=0,
            metavar="ID",
            help="This image from clean to the last severity, one row per model. Requires --corruption. Repeatable.",
        ),
    ] = None,
    corruption: Annotated[
        list[str] | None,
        typer.Option(
            help="With --image: under this corruption. Repeatable.", metavar="NAME", autocompletion=complete_corruption
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="With --image: only this model, by label. Repeatable.", metavar="NAME", autocompletion=complete_model
        ),
    ] = None,
    evaluation: Annotated[
        list[str] | None, typer.Option(help="With --image: only this evaluation, by ID. Repeatable.", metavar="ID")
    ] = None,
    attention: Annotated[
        bool,
        typer.Option("--attention", help="Compute attention maps that are not stored; needs the study file."),
    ] = False,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Output file: .png, .svg, .pdf, .html or .json (- for SVG on stdout).",
        ),
    ] = Path("images.png"),
    force: ForceOption = False,
    layout: Annotated[
        str, typer.Option(help="page (180 mm) or paper (85 mm, one column).", metavar=LAYOUT_CHOICES)
    ] = "page",
    width: Annotated[
        str | None, typer.Option(help="Width, such as 85mm; overrides --layout.", metavar="LENGTH")
    ] = None,
    theme: Annotated[
        str | None, typer.Option(help="Default: light; for HTML, the reader's system setting.", metavar=THEME_CHOICES)
    ] = None,
    timeout: TimeoutOption = IMAGES_S,
) -> None:
    """Show evaluated images, reproduced at their corruption and severity, with each model's prediction.

    Clean images come from the warehouse, else from the given study file or the one next to the warehouse.
    """
    limit_command(timeout, query_memory(None))
    from failmodes.analysis.charts.style.figure import FORMATS
    from failmodes.analysis.charts.style.frame import frame_of
    from failmodes.analysis.charts.style.theme import named_theme
    from failmodes.analysis.results.shown_images import find_images
    from failmodes.evaluate.study_images import open_study_images
    from failmodes.runtime.storage.locations import find_warehouse

    _check_selection(condition, image, corruption, {"--model": model, "--evaluation": evaluation})
    check_result(output, FORMATS, force=force)
    frame_of(layout, width)  # before minutes of work, as the theme
    named_theme("light" if theme is None else theme)
    attention_of = _attention_of(where) if attention else None
    path = find_warehouse(where)
    with stages_shown("images"):
        sheet = find_images(
            path, condition, images=image or (), corruptions=corruption or (), models=model or (),
            evaluations=evaluation or (), open_study=partial(open_study_images, where, path),
            attention_of=attention_of, timeout_s=timeout,
        )  # fmt: skip
        with result_file(output, "images.svg") as file:
            sheet.save(file, layout=layout, width=width, theme=theme, force=force)  # type: ignore[arg-type]  # checked
    for line in sheet.notes:
        note(line)
    if output != STDOUT:
        say(printable(str(output)))
        suggest(f"failmodes report{named(where)}")


def slices(
    where: WhereArgument = None,
    corruption: CorruptionOption = None,
    severity: Annotated[
        list[float] | None, typer.Option(metavar="X", help="Only this severity. Repeatable. Default: all.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this model, by label. Repeatable.", autocompletion=complete_model),
    ] = None,
    evaluation: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only this evaluation, by ID. Repeatable.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Attributes of images, such as camera,image_luminance,class_name. Default: all metadata, measured "
            "properties and the class.",
        ),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(min=1, max=3, metavar="N", help="Most conditions of a slice. Default: 3, less with many."),
    ] = None,
    min_images: Annotated[int, typer.Option(min=1, metavar="N", help="Fewest distinct images of a slice.")] = 30,
    filter: FilterOption = "",
    clean_prediction: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Only images whose clean image is predicted correct, incorrect, or as this class.",
            show_default=False,
        ),
    ] = "",
    format: Annotated[
        str | None,
        typer.Option(
            help="Default: text, or the format of the file suffix.",
            metavar="|".join(SLICE_FORMATS),
            autocompletion=lambda: SLICE_FORMATS,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Output file: .txt, .csv, .json, .md or .html. Default: stdout (-)."
        ),
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also show six images of each of the first slices from clean to the last severity: .png, .svg, .pdf, "
            ".html or .json.",
        ),
    ] = None,
    force: ForceOption = False,
    timeout: TimeoutOption = READING_S,
) -> None:
    """Find slices of images that a model fails on: conjunctions of metadata, image properties and classes.

    A slice is supported if its accuracy is below that of all other images at an error rate of 5% over everything that
    was searched, corruptions and severities included. Each says whether it is worse on clean images too.
    """
    limit_command(timeout)
    from failmodes.analysis.charts.style.figure import FORMATS
    from failmodes.analysis.judging.slices import warehouse_slices
    from failmodes.analysis.render.documents import print_document, suffixes_of, write
    from failmodes.analysis.results.slices import SlicesResult, slice_options
    from failmodes.evaluate.study_images import open_study_images
    from failmodes.runtime.storage.locations import find_warehouse

    is_csv = format == "csv" or (format is None and output is not None and output.suffix.lower() == ".csv")
    check_result(output, (".csv", "") if is_csv else suffixes_of(format), force=force)
    if pictures is not None:
        check_result(pictures, FORMATS, force=force)
    options = slice_options(
        corruption=corruption, severity=severity, by=by, depth=depth, min_images=min_images, filter=filter,
        clean_prediction=clean_prediction,
    )  # fmt: skip
    path = find_warehouse(where)
    with stages_shown("slices"):
        parts = warehouse_slices(path, options, models=model or (), evaluations=evaluation or ())
        result = SlicesResult(parts, path, partial(open_study_images, where, path))
        if pictures is not None:
            sheet = result.images()
            sheet.save(pictures, force=force)
    if pictures is not None:
        for line in (*sheet.notes, f"images of slices in {pictures}"):
            note(printable(line))
    if is_csv:
        from failmodes.analysis.commands.queries import give_batches

        give_batches([result.to_frame()], "csv", output, force=force)
    elif output not in (None, STDOUT):
        say(printable(str(write(result.document, output, format, force=force))))
    else:
        print_document(result.document, format or "text")
        if result and format in (None, "text") and output is None:
            suggest(f"failmodes chart curves --filter{named(result[0].condition)}{named(where)}")


def _check_selection(
    condition: str | None, image: list[int] | None, corruption: list[str] | None, others: dict[str, list[str] | None]
) -> None:
    """Refuse options of `images` that do not select images, or select them in both ways."""
    ways = "give either --filter, or --image and --corruption"
    refused = [flag for flag, values in {"--image": image, "--corruption": corruption, **others}.items() if values]
    if condition is not None and refused:
        raise StudyError(
            f"--filter cannot be combined with {', '.join(refused)}: {ways}; a filter may name them itself, as in "
            "\"corruption = 'fog' and model_label = 'ResNet-18'\""
        )
    if condition is None and not (image and corruption):
        raise StudyError(f"no images selected: {ways}")


def _attention_of(where: Path | None) -> "AttentionOf | None":
    """Computes attention by the models of the study file that the user names; a line says how if none is named."""
    from failmodes.runtime.storage.locations import default_location

    study_file = where or default_location()
    if study_file.suffix != ".toml":
        note("--attention needs the models of a study: name its file, as in `failmodes images STUDY.toml --attention`")
        return None
    require("evaluate", "--attention")
    from failmodes.evaluate.stages import attention_of_study

    return attention_of_study(study_file)


def explore(
    where: WhereArgument = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, metavar="PORT", help="Port. Default: the first free port from 2718."),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="Address to listen on; any address but 127.0.0.1 admits others who have the token."
        ),
    ] = "127.0.0.1",
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser, or only print its address.")
    ] = True,
) -> None:
    """Explore a warehouse in the browser, read-only: curves, linked histograms, confusion matrix, images and SQL.

    Needs the extra `explore` (Starlette, Uvicorn); requests nothing from other machines. `failmodes site` writes the
    same page as files for a web server.
    """
    from failmodes.analysis.site.serving import explore_warehouse
    from failmodes.evaluate.study_images import open_study_images
    from failmodes.runtime.storage.locations import default_location, find_warehouse

    path = find_warehouse(where)
    open_study = partial(open_study_images, where, path)
    location = str(where or default_location())
    explore_warehouse(path, open_study, location=location, host=host, port=port, open_browser=browser)


def site(
    where: WhereArgument = None,
    to: Annotated[
        Path, typer.Option("--to", metavar="FOLDER", help="Folder to write: a new or empty one, or an earlier site.")
    ] = Path("site"),
    images: Annotated[
        int,
        typer.Option(min=0, max=5000, metavar="N", help="Misclassified images to show along severity, at most."),
    ] = 200,
    models: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this model, by label. Repeatable.", autocompletion=complete_model),
    ] = None,
    without: Annotated[
        str,
        typer.Option(
            metavar="PARTS", help="Leave out attention, logits or thumbnails, or several: attention,logits.",
            show_default=False,
        ),
    ] = "",
    timeout: TimeoutOption = READING_S,
) -> None:  # fmt: skip
    """Write a study as a website of static files: every prediction queryable in the browser, no server, no Python.

    The folder holds the page, DuckDB-WASM and a read-only copy of the warehouse, and requests nothing else. If it would
    exceed 500 MB, the sizes of its tables are printed instead, and what each option would save.
    """
    limit_command(timeout)
    from failmodes.analysis.site.writing import write_site
    from failmodes.evaluate.study_images import open_study_images
    from failmodes.runtime.storage.locations import find_warehouse
    from failmodes.warehouse.metrics.custom import metrics_of_studies

    path = find_warehouse(where)
    parts = [part for name in without.split(",") if (part := name.strip())]
    with stages_shown("site"), interruptible(f"{to} was not written"):
        made = write_site(
            path, to, partial(open_study_images, where, path), images=images, models=models or (), without=parts,
            metrics=metrics_of_studies([where]) or [],
        )  # fmt: skip
    for line in made.missing:
        note(line)
    say(printable(f"{to}: {made.size_bytes / 1e6:,.1f} MB, {made.strip_count:,} images along severity"))
    suggest(f"python -m http.server --directory{named(to)}")


# One paragraph per line: every version of typer keeps these line breaks
EPILOGUE = "\n\n".join(
    (
        "Exit codes:",
        "0  done",
        "1  failure: damaged files, a model that raises, a failed check or rule, a full disk, a time or memory limit",
        "2  invalid input: options, names, studies, rules, SQL, class counts, missing files",
        "3  `gate` is inconclusive: too few images, or a missing cell; `check` or `diff` cannot compare two numbers",
        "70  a bug in failmodes",
        "130  interrupted (Ctrl-C)",
        "143  terminated (SIGTERM, SIGHUP)",
        "For `gate`, 1 means only that a rule fails, for `check` and `diff` that numbers differ: other failures are 2.",
    )
)

COMMANDS: dict[str, dict[str, Callable[..., None]]] = {  # by section of the help
    STUDY: {"init": init, "run": run, "status": status},
    STAGES: {
        "download": download,
        "corrupt": corrupt,
        "ingest": ingest,
        "train": train,
        "evaluate": evaluate,
        "import": import_,
        "load": load,
        "remove": remove,
    },
    QUERIES: {
        "query": query,
        "schema": schema,
        "claims": claims,
        "shapes": shapes,
        "slices": slices,
        "chart": chart,
        "images": images,
        "explore": explore,
        "site": site,
        "report": report,
    },
    DECISIONS: {
        "seal": seal,
        "compare": compare,
        "diff": diff,
        "gate": gate,
        "threshold": threshold,
        "check": check,
        "export": export,
        "publish": publish,
    },
}
PARSERS: dict[str, type[Command]] = {"query": SqlCommand, "report": PairCommand}  # commands with their own parser


def build_app(first_word: str | None = None) -> typer.Typer:
    """Build the command line, with only the command `first_word` if it is one, since typer parses every command."""
    only = first_word if any(first_word in commands for commands in COMMANDS.values()) else None
    app = typer.Typer(
        cls=Commands,
        no_args_is_help=True,
        epilog=EPILOGUE,
        help="Robustness evaluation for image classifiers, with every per-image result queryable in SQL.\n\n"
        "Start with `failmodes init digits`, then `failmodes run`.",
    )
    app.callback()(root)
    for part, commands in COMMANDS.items():
        for name, command in commands.items():
            if only in (None, name):
                app.command(name, cls=PARSERS.get(name, Command), rich_help_panel=part)(command)
    return app


app = build_app()
