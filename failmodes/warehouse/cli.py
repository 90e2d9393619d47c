"""`failmodes load`, and options that commands over a warehouse share."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from failmodes.runtime.process import interruptible, limit_command
from failmodes.runtime.progress import stages_shown
from failmodes.runtime.terminal import announce_output, named, note, print_json, suggest

if TYPE_CHECKING:
    from failmodes.runtime.storage.files import StorePath
    from failmodes.warehouse.database.load import LoadReport
    from failmodes.warehouse.database.tables import StatedClaim
    from failmodes.warehouse.database.updates import Derivation
    from failmodes.warehouse.metrics.metric import Metric
    from failmodes.warehouse.published_layout import PublishedSet

WhereArgument = Annotated[
    Path | None,
    typer.Argument(help="Study file, output folder or .duckdb file. Default: study.toml or warehouse.duckdb here."),
]

TimeoutOption = Annotated[float, typer.Option("--timeout", help="Time limit in seconds.", min=0.001)]
READING_S = 3600  # default: a report of many models takes minutes


def load(
    where: str | None,
    more: Sequence[str],
    *,
    into: Path | None,
    rebuild: bool,
    published: Sequence[Path],
    published_of: str | None,
    as_json: bool,
    claims: "Sequence[StatedClaim] | None",
    derivation: "Derivation",
) -> None:
    """Run `failmodes load`.

    Args:
        where: study file, output folder or URL.
        more: further ones.
        into: the warehouse.
        rebuild: rebuild the warehouse from only the given inputs.
        published: files of published accuracies.
        published_of: their dataset.
        as_json: print the result as JSON.
        claims: those of the studies; None keeps those of the warehouse.
        derivation: computes the derived tables.
    """
    limit_command(None)
    from failmodes.runtime.storage.locations import find_results, find_warehouse, study_files
    from failmodes.warehouse.metrics.custom import metrics_of_studies
    from failmodes.warehouse.published_layout import read_published
    from failmodes.warehouse.shards.inventory import has_results

    sets = [read_published(path, published_of) for path in published]  # errors of these files come first
    target = find_warehouse(into or where)
    if into is None and study_files([where]):
        announce_output(target.parent)
    outputs = [find_results(location) for location in (where, *more)]
    report, published_sets = None, []
    if not sets or rebuild or not target.exists() or any(map(has_results, outputs)):
        metrics = metrics_of_studies([where, *more])
        report = _load_results(outputs, target, rebuild=rebuild, claims=claims, metrics=metrics, derivation=derivation)
    if sets:
        published_sets = _load_published(sets, target, derivation)
    if as_json:
        print_json(_as_json(target, report, published_sets))
        return
    suggest(f"failmodes report{named(into or where)}")


def _as_json(target: Path, report: "LoadReport | None", published: list[dict[str, Any]]) -> dict[str, Any]:
    """The result of a load, with the keys of its help."""
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
        "published": published,
    }


def _load_published(sets: list["PublishedSet"], target: Path, derivation: "Derivation") -> list[dict[str, Any]]:
    """Store published accuracies, and print whether charts show them beside the warehouse's models."""
    from failmodes.warehouse.database.connection import open_warehouse
    from failmodes.warehouse.database.published import is_of, store_published

    with interruptible("the warehouse is unchanged"):
        store_published(target, sets, derivation)
    with open_warehouse(target, ["datasets"]) as con:
        datasets = con.execute("select dataset_name, dataset_label from datasets").fetchall()
    published_sets = []
    for one in sets:
        clean = "" if one.has_clean else ", without clean accuracies and shapes"
        shown = f"shown beside models on {one.dataset}"
        if one.dataset is None:
            shown = "not shown because their dataset is not stated: load them again with --published-of"
        elif not any(is_of(one.dataset, *row) for row in datasets):
            shown = f"not shown because no dataset here is {one.dataset}: name one with --published-of NAME"
        note(f"{target}: {len(one.models):,} published models ({one.name}){clean}; {shown}")
        published_sets.append({
            "name": one.name,
            "models": len(one.models),
            "dataset": one.dataset,
            "has_clean": one.has_clean,
            "is_drawn": one.dataset is not None and any(is_of(one.dataset, *row) for row in datasets),
        })  # fmt: skip
    return published_sets


def _load_results(
    outputs: list["StorePath"],
    target: Path,
    *,
    rebuild: bool,
    claims: "Sequence[StatedClaim] | None",
    metrics: "list[Metric] | None",
    derivation: "Derivation",
) -> "LoadReport":
    from failmodes.warehouse.database.load import load as load_results

    with stages_shown("load"), interruptible("the warehouse is unchanged"):
        report = load_results(outputs, target, rebuild=rebuild, claims=claims, metrics=metrics, derivation=derivation)
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
