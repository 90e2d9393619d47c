"""Commands for decisions: compare two models, check one against rules, export a baseline, publish results."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from failmodes.analysis.publishing import FileFormat, FormatName, TrackerName
from failmodes.analysis.render.documents import format_names
from failmodes.runtime.errors import StudyError, printable
from failmodes.runtime.process import errors_exit_with, interruptible, limit_command
from failmodes.runtime.progress import stages_shown
from failmodes.runtime.terminal import finish_output, named, note, say, suggest
from failmodes.warehouse.cli import READING_S, CorruptionOption, FilterOption, MixedOption, TimeoutOption, WhereArgument
from failmodes.warehouse.completion import complete_model
from failmodes.warehouse.output_files import STDOUT, ForceOption, check_result, check_texts, result_file, write_texts


def compare(
    a: Annotated[
        str,
        typer.Argument(
            help="Baseline model: a label, a label without training seed (all its runs), the start of an evaluation ID "
            "or an architecture that only it has; or FILE.duckdb, or FILE.duckdb::LABEL.",
            autocompletion=complete_model,
        ),
    ],
    b: Annotated[
        str,
        typer.Argument(
            help="Candidate model (same naming rules). Differences are candidate − baseline.",
            autocompletion=complete_model,
        ),
    ],
    where: Annotated[
        Path | None,
        typer.Argument(
            help="Study file, output folder or .duckdb file; not needed if A and B name their files.",
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="Default: text, or the format of the file suffix. markdown is for pull requests.",
            metavar="|".join(format_names()),
            autocompletion=format_names,
        ),
    ] = None,
    margin: Annotated[
        float,
        typer.Option(metavar="X", help="Smallest relevant difference of mean corrupted accuracy; 0.01 is one point."),
    ] = 0.01,
    level: Annotated[
        float, typer.Option(metavar="X", help="Confidence level of intervals and decisions, 0.5 to 0.999.")
    ] = 0.95,
    corruption: CorruptionOption = None,
    filter: FilterOption = "",
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC", help="Also compare this metric (a name), or the metrics of a Python file. Repeatable."
        ),
    ] = None,
    mixed_protocols: MixedOption = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Output file: .txt, .json, .md, .html or .xml. Default: stdout (-).",
        ),
    ] = None,
    force: ForceOption = False,
    timeout: TimeoutOption = READING_S,
) -> None:
    """Compare a candidate model B with a baseline A: which is more accurate, by how much, and where.

    Tests whether B is worse by at most the margin; if that is inconclusive, estimates how many images would decide it.
    Models evaluated on the same images are compared image by image.
    """
    limit_command(timeout)
    from failmodes.analysis.judging.compare import compare_named
    from failmodes.analysis.render.documents import print_document, suffixes_of, write
    from failmodes.analysis.results.comparison import ComparisonResult
    from failmodes.warehouse.metrics.custom import named_metrics

    check_result(output, suffixes_of(format), force=force)
    with stages_shown("compare"):
        metrics = named_metrics(metric or [], where)
        comparison = compare_named(
            a, b, where, margin=margin, level=level, corruptions=corruption or (), metrics=metrics, filter=filter,
            mixed=mixed_protocols,
        )  # fmt: skip
        document = ComparisonResult(comparison).document
    if output not in (None, STDOUT):
        say(printable(str(write(document, output, format, force=force))))
        return
    print_document(document, format or "text")
    if format in (None, "text") and output is None:
        suggest("failmodes gate --help" if where is None else f"failmodes chart differences{named(where)}")


def gate(
    rules: Annotated[Path, typer.Argument(help="TOML file with rules, or a study file with a \\[gate] table.")],
    where: Annotated[
        Path | None,
        typer.Argument(help="Study file, output folder or .duckdb file for models without a file of their own."),
    ] = None,
    candidate: Annotated[str | None, typer.Option(metavar="NAME", help="Candidate model; overrides the rules.")] = None,
    baseline: Annotated[str | None, typer.Option(metavar="NAME", help="Baseline model; overrides the rules.")] = None,
    inconclusive: Annotated[
        Literal["stop", "pass"],
        typer.Option(help="Whether an inconclusive rule stops the pipeline (exit code 3) or passes."),
    ] = "stop",
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="FILE",
            help="Write all results as JSON to this file (- for stdout, instead of the text); keys: docs/gate.md.",
        ),
    ] = None,
    junit_file: Annotated[
        Path | None,
        typer.Option("--junit", metavar="FILE", help="Write JUnit XML to this file, one test case per rule or cell."),
    ] = None,
    markdown_file: Annotated[
        Path | None,
        typer.Option("--markdown", metavar="FILE", help="Write a Markdown summary for a pull request to this file."),
    ] = None,
    force: ForceOption = False,
    timeout: TimeoutOption = READING_S,
) -> None:
    """Check a model against rules: no worse than a baseline, or within limits.

    \b
    Exit codes:
      0  every rule passes
      1  a rule fails
      3  a rule is inconclusive (too few images), or a cell is missing
      2  invalid rules, arguments or files, or out of time or memory: nothing was judged

    \b
    Each rule is a metric with a relation to a limit (all relations: docs/claims.md):
      \\[gate]
      baseline = "Net A"         # a label, FILE.duckdb or FILE.duckdb::LABEL
      candidate = "Net B"
      level = 0.95
      [\\[gate.rules]]
      metric = "accuracy"
      corruptions = ["fog"]      # default: all; "none" is clean
      severities = [3, 4, 5]     # or "last"; default: whole severities
      over = "mean"              # or "each" cell
      relation = "worse_by_at_most"   # than the baseline
      limit = 0.01
      [\\[gate.rules]]
      metric = "ece"
      relation = "at_most"       # or at_least, drop_at_most, better_by_at_least …
      limit = 0.05
    """  # noqa: D301  # a literal \b tells Click to keep line breaks
    with errors_exit_with(StudyError.exit_code):  # exit code 1 means only that a rule fails
        limit_command(timeout)
        from failmodes.analysis.judging.gate import run_gate
        from failmodes.analysis.render.documents import print_document

        outputs = {"json": json_file, "junit": junit_file, "markdown": markdown_file}
        check_texts(outputs, force=force)
        with stages_shown("gate"):
            result = run_gate(rules, where, candidate=candidate, baseline=baseline, inconclusive=inconclusive)
        texts = {"json": result.to_json, "junit": result.to_junit, "markdown": result.to_markdown}
        if not write_texts(texts, outputs, force=force):
            print_document(result.document)
            suggest(result.next_command)
        finish_output()
    raise typer.Exit(result.exit_code)


def seal(
    file: Annotated[Path, typer.Argument(help="Study file, or a TOML file of claims or of rules.")],
    where: WhereArgument = None,
) -> None:
    """Seal claims and rules before the run: keep their hash and the time in the results folder.

    `claims`, `gate` and `report` then show the seal, and what was changed since. The time is that of this machine's
    clock, which nobody attests: publish the hash too, in a commit or a preregistration. What is sealed keeps its first
    time; a changed file gets a further seal. WHERE is the study or folder with the results, if FILE is no study.
    """
    limit_command(None)
    from failmodes.analysis.judging.seal import SealCheck, seal_file
    from failmodes.runtime.storage.locations import find_results, find_warehouse, read_toml

    is_study = where is None and "output" in read_toml(file, "seal")
    place = file if is_study else where
    for sealed in seal_file(file, find_results(place), find_warehouse(place)):
        say(printable(SealCheck(sealed, (), ()).sentence))
    suggest(f"failmodes run {file}" if is_study else f"failmodes claims{named(where)}")


def export(
    target: Annotated[str, typer.Argument(metavar="FILE", help="Output file, such as baseline.duckdb.")],
    evaluation: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The model: a label, a label without training seed (all its runs), the start of an "
            "evaluation ID, or an architecture that only it has.",
            autocompletion=complete_model,
        ),
    ],
    where: WhereArgument = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing .duckdb file.")] = False,
    timeout: TimeoutOption = READING_S,
) -> None:
    """Export one model's predictions to a small file: a baseline to commit or upload, for `compare` and `gate`.

    The file is a warehouse without images, image file names, attention and logits.
    """
    limit_command(timeout)
    from failmodes.analysis.publishing.model_export import export_model
    from failmodes.runtime.storage.locations import find_warehouse

    with stages_shown("export"), interruptible(f"{target} was not written"):
        done = export_model(find_warehouse(where), evaluation, target, force=force)
    runs = f", {done.run_count} training runs" if done.run_count > 1 else ""
    report = done.report
    say(
        printable(
            f"{target}: {done.label}{runs}, {report.row_count:,} predictions in {report.cell_count} cells, "
            f'{report.size_bytes / 1e6:,.1f} MB; in the rules of a gate: baseline = "{target}"'
        )
    )
    suggest("failmodes gate --help")


def publish(
    where: WhereArgument = None,
    file_format: Annotated[
        FileFormat | None,
        typer.Option(
            "--format",
            help="robustbench: CSV of accuracies by corruption and severity, with clean accuracies in a second file; "
            "croissant: JSON-LD description of warehouse and results; model-card: metadata and tables (Hugging Face); "
            "latex: booktabs tables; timm: its CSV for clean images, corruptions and each shift; every-eval-ever: a "
            "JSON for each model below the folder data. Default: robustbench.",
        ),
    ] = None,
    to: Annotated[
        TrackerName | None,
        typer.Option(
            help="Instead of a file: a run of this tracker for each evaluation; runs that are there stay as they are."
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Output file (- for stdout, if it is one), or folder of a tracker. Default: next to the warehouse.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", metavar="NAME", help="Only this model, by label. Repeatable.")
    ] = None,
    evaluation: Annotated[
        list[str] | None, typer.Option("--evaluation", metavar="ID", help="Only this evaluation, by ID. Repeatable.")
    ] = None,
    intervals: Annotated[
        bool, typer.Option("--intervals", help="With latex: the interval of each value below it.")
    ] = False,
    query: Annotated[
        str, typer.Option(metavar="SQL", help="With latex: a table of this query's rows, or of @NAME's, instead.")
    ] = "",
    organization: Annotated[
        str, typer.Option(metavar="NAME", help="With every-eval-ever: who evaluated the models.")
    ] = "",
    project: Annotated[
        str, typer.Option(metavar="NAME", help="With mlflow and wandb: name of the experiment or project.")
    ] = "",
    mixed_protocols: MixedOption = False,
    force: ForceOption = False,
    timeout: TimeoutOption = READING_S,
) -> None:
    """Publish results where people read them: tables of papers and leaderboards, dataset descriptions, model cards."""
    limit_command(timeout)
    from failmodes.analysis.publishing.formats import FORMATS, publish_results
    from failmodes.runtime.storage.locations import find_warehouse

    if to and file_format:
        raise StudyError(f"--format {file_format} and --to {to}: publish to one of them at a time")
    output_format: FormatName = to or file_format or "robustbench"
    is_printed = output == str(STDOUT)
    if is_printed and FORMATS[output_format].writes_several:
        raise StudyError(
            f"--output -: {output_format} writes several files, not to stdout: name the first, such as "
            f"{FORMATS[output_format].file_name or 'published'}"
        )
    warehouse = find_warehouse(where)
    with stages_shown("publish"), result_file(Path(output or ""), FORMATS[output_format].file_name) as file:
        target = file if is_printed else output
        written = publish_results(
            warehouse, output_format, target, models=model or (), evaluations=evaluation or (), mixed=mixed_protocols,
            force=force, intervals=intervals, query=query, organization=organization, project=project,
        )  # fmt: skip
    for line in written.notes:
        note(line)
    if not is_printed:
        for path in written.paths:
            say(printable(str(path)))
        suggest(f"failmodes report{named(where)}")
