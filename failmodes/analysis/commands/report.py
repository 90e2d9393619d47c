"""The commands claims, shapes, chart and report, and the findings that `failmodes run` prints."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from failmodes.analysis.charts.registry import (
    chart_meanings,
    complete_chart,
    draw_from_warehouse,
    draw_of_images,
    image_charts,
    warehouse_charts,
)
from failmodes.analysis.charts.style.theme import THEMES, named_theme
from failmodes.analysis.commands.queries import give_list
from failmodes.runtime.errors import StudyError, printable
from failmodes.runtime.process import limit_command
from failmodes.runtime.progress import stages_shown
from failmodes.runtime.storage.locations import default_location, find_results, find_warehouse, study_files
from failmodes.runtime.terminal import announce_output, named, say, suggest
from failmodes.warehouse.cli import (
    READING_S,
    Command,
    CorruptionOption,
    FilterOption,
    MixedOption,
    TimeoutOption,
    WhereArgument,
)
from failmodes.warehouse.completion import complete_model
from failmodes.warehouse.output_files import STDOUT, ForceOption, check_result, check_texts, result_file, write_texts

if TYPE_CHECKING:
    from failmodes.ingest.statements import AnyStatement
    from failmodes.runtime.storage.files import StorePath
    from failmodes.warehouse.metrics.metric import Metric

LAYOUT_CHOICES, THEME_CHOICES = "page|paper", "|".join(THEMES)  # in the help
LOOKS, ROWS, IMAGES = "Appearance", "From a warehouse", "From images, without a warehouse"  # panels of the help


class PairCommand(Command):
    """A command whose `--pair` takes two names, which an option of typer cannot: each name becomes one option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write `--pair A B` as `--pair A --pair B`."""
        written: list[str] = []
        for place, text in enumerate(args):
            is_second = args[max(0, place - 2) : place - 1] == ["--pair"] and not text.startswith("-")
            written += ["--pair", text] if is_second else [text]
        return super().parse_args(ctx, written)


def claims(
    where: WhereArgument = None,
    claims_file: Annotated[
        Path | None,
        typer.Option(
            "--claims", metavar="FILE", help="Judge the [\\[claims]] of this TOML file instead of those of the study."
        ),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="FILE",
            help="Write all results as JSON to this file (- for stdout, instead of the table); keys: docs/gate.md.",
        ),
    ] = None,
    markdown_file: Annotated[
        Path | None,
        typer.Option(
            "--markdown", metavar="FILE", help="Write a Markdown table for a pull request to this file (- for stdout)."
        ),
    ] = None,
    force: ForceOption = False,
    timeout: TimeoutOption = READING_S,
) -> None:
    """Judge claims by the data: supported, contradicted, inconclusive or not measurable, for each model.

    \b
    Claims are tables of the study file or of the --claims file (all keys: docs/claims.md):
      [\\[claims]]
      metric = "accuracy"
      corruptions = ["fog"]      # default: all; "none" is clean
      severities = [5]           # or "last"; default: whole severities
      relation = "drop_at_most"  # or at_least, at_most, less_than, largest_drop …
      limit = 0.10
      [\\[claims]]
      shape = "near_linear"      # instead of metric, relation and limit
      corruptions = ["contrast"]
    """  # noqa: D301  # \b is a letter here, which keeps lines as they are
    limit_command(timeout)
    from failmodes.analysis.judging.claims import ClaimsResult
    from failmodes.analysis.judging.stored import sealed_claims, warehouse_claims
    from failmodes.analysis.render.documents import print_document
    from failmodes.ingest.statements import claims_file as read_claims
    from failmodes.ingest.statements import claims_of_studies
    from failmodes.warehouse.metrics.custom import metrics_of_studies

    outputs = {"json": json_file, "markdown": markdown_file}
    check_texts(outputs, force=force)
    stated = read_claims(claims_file) if claims_file is not None else []
    path = find_warehouse(where)
    metrics = metrics_of_studies([claims_file or where]) or []
    of_study = None if stated else claims_of_studies([where])
    result = ClaimsResult(warehouse_claims(path, stated, of_study, metrics))
    origin = Path(claims_file or where or default_location()).name
    result = result.with_seals(sealed_claims(path, stated or of_study, find_results(where), origin))
    if not write_texts({"json": result.to_json, "markdown": result.to_markdown}, outputs, force=force):
        print_document(result.document)


def shapes(
    where: WhereArgument = None,
    flat_below: Annotated[
        float | None,
        typer.Option(min=0, max=1, metavar="X", help="Curves within this drop from clean are flat."),
    ] = None,
    curvature_threshold: Annotated[
        float | None,
        typer.Option(min=0, metavar="X", help="Curvature from which a drop is late or early."),
    ] = None,
    resamples: Annotated[
        int | None,
        typer.Option(min=10, max=100_000, metavar="N", help="Bootstrap resamples of each curve."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, metavar="N", help="Random seed of the bootstrap.")] = None,
    level: Annotated[
        float | None,
        typer.Option(min=0.5, max=0.999, metavar="X", help="Confidence level of intervals."),
    ] = None,
    timeout: TimeoutOption = READING_S,
) -> None:
    """Show how accuracy drops: shape, stability, total drop, curvature and largest step of every curve.

    Options change the stored settings of shapes and recompute everything derived from them.
    """
    from failmodes.analysis.judging.derivation import change_settings
    from failmodes.analysis.judging.stored import open_current
    from failmodes.analysis.render.documents import print_document
    from failmodes.analysis.report.report_tables import shapes_document

    limit_command(timeout)
    path = find_warehouse(where)
    settings: dict[str, Any] = {"flat_below": flat_below, "curvature_threshold": curvature_threshold,
                             "resamples": resamples, "seed": seed, "interval_level": level}  # fmt: skip
    with stages_shown("shapes"):
        change_settings(path, {name: value for name, value in settings.items() if value is not None})
        with open_current(path) as con:
            document = shapes_document(con)
    print_document(document)
    suggest(f"failmodes chart shapes{named(where)}")


def chart(
    name: Annotated[
        str | None,
        typer.Argument(
            help=f"From a warehouse: {', '.join(warehouse_charts())}. From images alone: {', '.join(image_charts())} "
            "(distortion: if an option for images is given).",
            autocompletion=complete_chart,
        ),
    ] = None,
    where: WhereArgument = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Output file: .svg, .png, .pdf, .html or .json (- for SVG on stdout).",
            rich_help_panel=LOOKS,
        ),
    ] = None,
    force: ForceOption = False,
    layout: Annotated[
        str,
        typer.Option(
            help="page (180 mm, for a screen) or paper (85 mm, texts of 5 to 7 points).",
            metavar=LAYOUT_CHOICES,
            rich_help_panel=LOOKS,
        ),
    ] = "page",
    width: Annotated[
        str | None,
        typer.Option(
            help="Paper of this width, such as 85mm, 18cm, 7in, 480pt or 680px.",
            metavar="LENGTH",
            rich_help_panel=LOOKS,
        ),
    ] = None,
    theme: Annotated[str, typer.Option(help="Colors.", metavar=THEME_CHOICES, rich_help_panel=LOOKS)] = "light",
    caption: Annotated[
        bool | None,
        typer.Option(
            "--caption/--no-caption",
            help="Draw title and caption; without them, they are printed for LaTeX. Default: only on a page.",
            rich_help_panel=LOOKS,
        ),
    ] = None,
    letters: Annotated[bool, typer.Option("--letters", help="Letter the panels.", rich_help_panel=LOOKS)] = False,
    corruption: CorruptionOption = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this model, by label. Repeatable.",
            metavar="NAME",
            rich_help_panel=ROWS,
            autocompletion=complete_model,
        ),
    ] = None,
    evaluation: Annotated[
        list[str] | None,
        typer.Option(help="Only this evaluation, by ID. Repeatable.", metavar="ID", rich_help_panel=ROWS),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="Draw the chart once per value of a column: corruption, corruption_group, a column of "
            "evaluation_labels such as architecture, class_name or a column of `images` (numbers by quartile).",
            metavar="COLUMN",
            rich_help_panel=ROWS,
        ),
    ] = None,
    filter: FilterOption = "",
    published: Annotated[
        bool | None,
        typer.Option(
            "--published/--no-published",
            help="Draw published models behind yours (curves, shapes). Default: if the warehouse has any.",
            rich_help_panel=ROWS,
        ),
    ] = None,
    axis: Annotated[
        str | None,
        typer.Option(
            help="Horizontal axis: severity, or value of the levels on their scale (curves, onset). Default: severity.",
            metavar="severity|value",
            rich_help_panel=ROWS,
        ),
    ] = None,
    mixed_protocols: MixedOption = False,
    recipe: Annotated[
        str | None,
        typer.Option(help="Default: cifar-c.", metavar="cifar-c|imagenet-c", rich_help_panel=IMAGES),
    ] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Image file; for distortion also a folder, repeatable. Default: scikit-learn's sample photographs.",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Random seed of the corruptions.", rich_help_panel=IMAGES),
    ] = None,
    severity: Annotated[
        list[float] | None,
        typer.Option(
            min=0, max=5, metavar="S", help="Only this severity and clean. Repeatable.", rich_help_panel=IMAGES
        ),
    ] = None,
    list_charts: Annotated[bool, typer.Option("--list", help="List the charts and what they show.")] = False,
    timeout: TimeoutOption = READING_S,
) -> None:
    """Draw a chart and save it in the format of the file suffix (default: NAME.svg in the current folder)."""
    if list_charts:
        give_list(("chart", "what it shows"), [*chart_meanings().items()])
        return
    if name is None:
        raise StudyError("chart: expected the name of a chart, such as curves (see --list)")
    limit_command(timeout)
    from failmodes.analysis.charts.style.figure import FORMATS
    from failmodes.analysis.charts.style.frame import frame_of
    from failmodes.analysis.render.row_formats import latex_caption

    named_theme(theme)  # before minutes of work, as all that can be checked without the warehouse
    frame = frame_of(layout, width, has_letters=letters)
    written = output or Path(f"{name}.svg")
    check_result(written, FORMATS, force=force)
    of_images = {"--image": image, "--recipe": recipe, "--seed": seed, "--severity": severity}
    of_warehouse = {
        "WHERE": where, "--model": model, "--evaluation": evaluation, "--by": by, "--published": published,
        "--axis": axis, "--filter": filter or None,
    }  # fmt: skip
    has_images = any(value is not None for value in of_images.values())
    with stages_shown("chart"):
        if name in image_charts() and (has_images or name not in warehouse_charts()):
            from failmodes.analysis.images.sample_images import CorruptionRequest

            _refuse(name, "corrupts images itself and reads no warehouse", of_warehouse)
            request = CorruptionRequest(recipe or "cifar-c", seed or 0, severity or (), corruption or (), image or ())
            drawn = draw_of_images(name, request, frame)
        else:
            _refuse(name, "reads a warehouse and corrupts no images", of_images)
            drawn = draw_from_warehouse(
                find_warehouse(where or default_location()), name, frame=frame, models=model or (),
                evaluations=evaluation or (), corruptions=corruption or (), published=published, by=by, axis=axis,
                filter=filter,
                mixed=mixed_protocols,
            )  # fmt: skip
        drawn = drawn.with_theme(theme)
        drawn = drawn if caption is None else replace(drawn, has_caption=caption)
        with result_file(written, "chart.svg") as path:
            drawn.save(path, force=force)
    if written != STDOUT:
        say(printable(str(written)))
        if not drawn.has_caption:
            say(printable(latex_caption(drawn.title, drawn.caption)))
        suggest(f"failmodes report{named(where)}")


def _refuse(name: str, because: str, options: dict[str, Any]) -> None:
    options_set = [option for option, value in options.items() if value is not None]
    if options_set:
        raise StudyError(f"chart {name!r} {because}: leave out {', '.join(options_set)}")


def report(
    where: WhereArgument = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="HTML file (- for stdout). Default: report.html next to the warehouse.",
        ),
    ] = None,
    force: ForceOption = False,
    pair: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A B",
            help="Compare these two models, named by label or evaluation ID. Repeatable. Default: two models, or "
            "of more each with the baseline of the study.",
        ),
    ] = None,
    appendix: Annotated[
        bool,
        typer.Option(
            "--appendix",
            help="End with what was tested, for auditors: data, protocol, metrics with intervals, limits, hashes.",
        ),
    ] = False,
    timeout: TimeoutOption = READING_S,
) -> None:
    """Write the report: findings, charts, tables and provenance in one self-contained HTML file."""
    limit_command(timeout)
    from failmodes.ingest.statements import claims_of_studies
    from failmodes.warehouse.metrics.custom import metrics_of_studies

    names = pair or []
    if len(names) % 2:
        raise StudyError("--pair expects two models: --pair A B")
    pairs = list(zip(names[::2], names[1::2], strict=True))
    claims = claims_of_studies([where])
    metrics = metrics_of_studies([where]) or []
    warehouse = find_warehouse(where)
    if output is None and study_files([where]):
        announce_output(warehouse.parent)
    save_report(
        warehouse, output, pairs=pairs, claims=claims, metrics=metrics, results=find_results(where),
        has_appendix=appendix, force=force,
    )  # fmt: skip
    if output != STDOUT:
        suggest(f"failmodes query @worst_cells{named(where)}")


def save_report(
    warehouse: Path,
    output: Path | None = None,
    *,
    pairs: Sequence[tuple[str, str]] = (),
    claims: "Sequence[AnyStatement] | None",
    metrics: "Sequence[Metric]",
    results: "StorePath | None" = None,
    has_appendix: bool = False,
    force: bool = False,
) -> None:
    """Write the report with progress display, next to the warehouse by default, and print its path."""
    from failmodes.analysis.report.rendering import REPORT_FILE, write_report

    written = output or warehouse.parent / REPORT_FILE
    with stages_shown("report"), result_file(written, REPORT_FILE) as path:
        write_report(
            warehouse, path, pairs=pairs, claims=claims, metrics=metrics, results=results, has_appendix=has_appendix,
            force=force,
        )  # fmt: skip
    if written != STDOUT:
        say(printable(str(written)))


def print_findings(warehouse: Path) -> None:
    """Print the findings of the report and the verdicts on the study's claims."""
    from failmodes.analysis.judging.claims import counts_sentence
    from failmodes.analysis.judging.stored import warehouse_claims, warehouse_findings
    from failmodes.analysis.render.blocks import Sentence
    from failmodes.analysis.render.documents import print_document

    document = warehouse_findings(warehouse).document
    claims = warehouse_claims(warehouse)
    sentences = [Sentence(f"{counts_sentence(claims)} `failmodes claims` lists them.")] if claims else []
    print_document(replace(document, blocks=(*document.blocks, *sentences)))
