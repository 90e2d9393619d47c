"""What `failmodes load` prints, and options that commands over a warehouse share."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

from failmodes.runtime.errors import QueryError, did_you_mean, shown
from failmodes.runtime.process import interruptible
from failmodes.runtime.progress import stages_shown
from failmodes.runtime.terminal import note
from failmodes.warehouse.completion import complete_corruption

if TYPE_CHECKING:
    from failmodes.runtime.storage.files import StorePath
    from failmodes.warehouse.database.load import LoadReport
    from failmodes.warehouse.database.tables import StatedClaim
    from failmodes.warehouse.database.updates import Derivation
    from failmodes.warehouse.metrics.metric import Metric
    from failmodes.warehouse.published_layout import PublishedSet
    from failmodes.warehouse.stated_models import StatedModel


class Command(TyperCommand):
    """A command with the notation of `in_one_notation`."""

    def get_params(self, ctx: Any) -> Any:
        """All parameters, with their form in the help."""
        return in_one_notation(super().get_params(ctx))


class Commands(TyperGroup):
    """All commands, with the notation of `in_one_notation`."""

    def get_params(self, ctx: Any) -> Any:
        """The options before the command, with their form in the help."""
        return in_one_notation(super().get_params(ctx))


def in_one_notation(params: Any) -> Any:
    """The parameters with one form in the help: FILE, NAME or N for a value, a|b|c for choices, nothing for a flag."""
    for param in params:
        is_argument = isinstance(param, TyperArgument)
        if is_argument:
            param.metavar = param.metavar or str(param.name).upper()
            usage = param.metavar if param.required else f"[{param.metavar}]"
            param.get_usage_pieces = partial(_usage_pieces, usage + "..." * (param.nargs != 1))
        if hasattr(param, "type_descriptor"):  # typer 0.26 has none, and shows no type in angle brackets
            value = _choices(param) or ("" if is_argument or param.is_flag else param.metavar)
            param.display_type_rich = partial(_display_type, value)
    return params


def _usage_pieces(usage: str, ctx: Any) -> list[str]:  # noqa: ARG001  # typer may pass it by name
    return [usage]


def _display_type(value: str | None, ctx: Any) -> str | None:  # noqa: ARG001  # typer passes it by name
    return value or None


def _choices(param: Any) -> str:
    """The choices of a parameter as a|b|c; empty if it takes any value."""
    return "|".join(map(str, param.type_descriptor.choices or ()))


WhereArgument = Annotated[
    Path | None,
    typer.Argument(help="Study file, output folder or .duckdb file. Default: study.toml or warehouse.duckdb here."),
]

TimeoutOption = Annotated[float, typer.Option("--timeout", help="Time limit in seconds.", metavar="SECONDS", min=0.001)]
CorruptionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--corruption", help="Only this corruption. Repeatable.", metavar="NAME", autocompletion=complete_corruption
    ),
]


def _not_blank(context: typer.Context, parameter: typer.CallbackParam, condition: str) -> str:
    """Refuse a filter that is given and blank, as by a variable of the shell that is not set."""
    source = context.get_parameter_source(str(parameter.name))
    if source is not None and source.name != "DEFAULT" and not condition.strip():
        raise QueryError("--filter is blank: expected a condition on images, such as \"camera = 'B'\", or no --filter")
    return condition


FilterOption = Annotated[
    str,
    typer.Option(
        callback=_not_blank,
        help="Only images that an SQL condition on class_name and the columns of `images` keeps, such as "
        "\"camera = 'B'\".",
        metavar="CONDITION",
        show_default=False,
    ),
]
MixedOption = Annotated[
    bool,
    typer.Option(
        "--mixed-protocols",
        help="Rank models although their images, labels, class restriction, pixels or averaging differ; the result "
        "names what differs.",
    ),
]
READING_S = 3600  # default: a report of many models takes minutes


def load_summary(target: Path, report: "LoadReport | None", published: list[dict[str, Any]]) -> dict[str, Any]:
    """The result of a load as JSON, with the keys of its help."""
    shards = None
    if report is not None:
        shards = {
            "new": report.new_shards,
            "replaced": report.replaced_shards,
            "kept": report.kept_shards,
            "dropped": report.dropped_shards,
        }
    return {
        "warehouse": str(target),
        "shards": shards,
        "rows": None if report is None else report.row_count,
        "is_changed": bool(published) or (report is not None and report.swapped),
        "measured_evaluations": None if report is None else report.measured_evaluations,
        "elapsed_s": None if report is None else report.elapsed_s,
        "set_aside": None if report is None or report.set_aside is None else str(report.set_aside),
        "published": published,
    }


def load_published(sets: list["PublishedSet"], target: Path, derivation: "Derivation") -> list[dict[str, Any]]:
    """Store published accuracies, and print whether charts show them beside the warehouse's models."""
    from failmodes.warehouse.database.connection import open_warehouse
    from failmodes.warehouse.database.published import is_of, store_published

    with interruptible("the warehouse is unchanged"):
        store_published(target, sets, derivation)
    with open_warehouse(target, ["datasets"]) as con:
        datasets = con.execute("select dataset_name, dataset_label from datasets").fetchall()
    published_sets = []
    for table in sets:
        clean = "" if table.has_clean else ", without clean accuracies and shapes"
        shown = f"shown beside models on {table.dataset}"
        if table.dataset is None:
            shown = "not shown because their dataset is not stated: load them again with --published-of"
        elif not any(is_of(table.dataset, *row) for row in datasets):
            shown = f"not shown because no dataset here is {table.dataset}: name one with --published-of NAME"
        note(f"{target}: {len(table.models):,} published models ({table.name}){clean}; {shown}")
        published_sets.append({
            "name": table.name,
            "models": len(table.models),
            "dataset": table.dataset,
            "has_clean": table.has_clean,
            "is_drawn": table.dataset is not None and any(is_of(table.dataset, *row) for row in datasets),
        })  # fmt: skip
    return published_sets


def load_outputs(
    outputs: list["StorePath"],
    target: Path,
    *,
    rebuild: bool = False,
    prunes: bool = False,
    claims: "Sequence[StatedClaim] | None",
    models: "Sequence[StatedModel] | None",
    metrics: "list[Metric] | None",
    derivation: "Derivation",
) -> "LoadReport":
    """Load results with progress display, and print how many shards and rows are new."""
    from failmodes.warehouse.database.load import load

    with stages_shown("load"), interruptible("the warehouse is unchanged"):
        report = load(
            outputs, target, rebuild=rebuild, prunes=prunes, claims=claims, models=models, metrics=metrics,
            derivation=derivation,
        )  # fmt: skip
    if report.set_aside:
        note(f"the former warehouse could not be read, and lies in {report.set_aside}")
    _note_unknown_baseline(target, models or ())
    counts = [
        f"{report.new_shards:,} new",
        f"{report.replaced_shards:,} replaced",
        f"{report.kept_shards:,} already present",
    ]
    if report.dropped_shards:
        counts.append(f"{report.dropped_shards:,} dropped because no given folder holds them")
    state = f"{report.row_count:,} rows in {report.elapsed_s:.1f} s" if report.swapped else "nothing to do"
    if report.measured_evaluations and not report.row_count:  # new rows imply it
        state = f"metrics recomputed for {report.measured_evaluations:,} evaluations; {state}"
    note(f"{target}: shards {', '.join(counts)}; {state}")
    return report


def _note_unknown_baseline(target: Path, models: "Sequence[StatedModel]") -> None:
    """Print a note about a baseline that the warehouse lacks."""
    baseline = next((model.label for model in models if model.is_baseline), None)
    if baseline is None:
        return
    from failmodes.warehouse.database.connection import open_warehouse

    with open_warehouse(target, ["models"]) as con:
        labels = [label for (label,) in con.execute("select distinct model_label from models").fetchall()]
    if not any(model.label in labels for model in models if model.is_baseline):
        note(f"the baseline {shown(baseline)} was not evaluated: {did_you_mean(baseline, labels)}")
