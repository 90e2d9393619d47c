"""Commands of the warehouse: load records into it, say what it holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from failmodes.warehouse.limits import limit_command
from failmodes.warehouse.stages import stages_shown
from failmodes.warehouse.terminal import interruptible, named, note, print_json, stdout_console, suggest

if TYPE_CHECKING:
    from failmodes.warehouse.database.load import LoadReport
    from failmodes.warehouse.database.stated_claims import StatedClaim
    from failmodes.warehouse.database.status import WarehouseStatus
    from failmodes.warehouse.metrics.metric import Metric
    from failmodes.warehouse.published_layout import PublishedSet
    from failmodes.warehouse.storage.files import StorePath

WhereArgument = Annotated[
    Path | None,
    typer.Argument(help="Study file, output folder or .duckdb file; study.toml or warehouse.duckdb here by default."),
]

TimeoutOption = Annotated[float, typer.Option("--timeout", help="Seconds until it is stopped.", min=0.001)]
READING_S = 3600  # by default: a report of many models takes minutes

# Keys of `failmodes status --json` of a warehouse
STATUS_KEYS = (
    "warehouse", "schema_version", "updated_at", "size_bytes", "row_counts", "evaluations", "checks", "out_of_date",
)  # fmt: skip

ResultsArgument = Annotated[
    str | None,
    typer.Argument(help="Study file, output folder or URL that holds a record; study.toml here by default."),
]


def load(
    where: ResultsArgument = None,
    more: Annotated[list[str] | None, typer.Argument(help="More studies, output folders or URLs.")] = None,
    into: Annotated[
        Path | None, typer.Option(help="The warehouse, a local file; by default that of the first WHERE.")
    ] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Start from nothing: holds just what is named.")] = False,
    published: Annotated[
        list[Path] | None,
        typer.Option(help="Accuracies that others published, a CSV file of RobustBench's layout; may be repeated."),
    ] = None,
    published_of: Annotated[
        str | None, typer.Option(help="The data set that they are of, where the file's name (cifar10_…) does not tell.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done to stdout, as JSON.")] = False,
) -> None:
    """Load evaluated cells into the warehouse: only what is new, each file verified by its hash.

    Keys of --json: warehouse, shards (new, replaced, kept, dropped), rows, is_changed, measured_evaluations, elapsed_s;
    and published: name, models, dataset, has_clean and is_drawn of each set. What is of a record is null where none was
    loaded.
    """
    load_locations(
        where, more, into=into, rebuild=rebuild, published=published, published_of=published_of, as_json=as_json
    )


def load_locations(
    where: str | None,
    more: list[str] | None,
    *,
    into: Path | None = None,
    rebuild: bool = False,
    published: list[Path] | None = None,
    published_of: str | None = None,
    as_json: bool = False,
    claims: "list[StatedClaim] | None" = None,
) -> None:
    """Do what the command does, with the claims of the studies; None keeps those that the warehouse holds."""
    limit_command(None)
    from failmodes.warehouse.metrics.custom import metrics_of_studies
    from failmodes.warehouse.published_layout import read_published
    from failmodes.warehouse.shards.inventory import has_results
    from failmodes.warehouse.storage.locations import find_results, find_warehouse

    sets = [read_published(path, published_of) for path in published or []]  # one that is damaged stops before all else
    target = find_warehouse(into or where)
    outputs = [find_results(location) for location in (where, *(more or []))]
    report, published_sets = None, []
    if not sets or rebuild or not target.exists() or any(map(has_results, outputs)):
        metrics = metrics_of_studies([where, *(more or [])])
        report = _load_results(outputs, target, rebuild=rebuild, claims=claims, metrics=metrics)
    if sets:
        published_sets = _load_published(sets, target)
    if as_json:
        print_json(_as_json(target, report, published_sets))
        return
    suggest(f"failmodes report{named(into or where)}")


def _as_json(target: Path, report: "LoadReport | None", published: list[dict[str, Any]]) -> dict[str, Any]:
    """What a load did, by the keys that its help names."""
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


def _load_published(sets: list["PublishedSet"], target: Path) -> list[dict[str, Any]]:
    """Put published accuracies into the warehouse, and say whether they will be drawn beside its models."""
    from failmodes.warehouse.database.connection import open_warehouse
    from failmodes.warehouse.database.published import store_published
    from failmodes.warehouse.database.published_sets import is_of

    with interruptible("the warehouse is as it was"):
        store_published(target, sets)
    with open_warehouse(target, ["datasets"]) as con:
        datasets = con.execute("select dataset_name, dataset_label from datasets").fetchall()
    published_sets = []
    for one in sets:
        clean = "" if one.has_clean else ", without clean accuracies, and so without shapes"
        drawn = f"drawn beside models on {one.dataset}"
        if one.dataset is None:
            drawn = "not drawn, for it is not stated which data set they are of: load them again with --published-of"
        elif not any(is_of(one.dataset, *row) for row in datasets):
            drawn = f"not drawn, for no data set here is {one.dataset}: --published-of NAME says that one is"
        note(f"{target}: {len(one.models):,} published models ({one.name}){clean}; {drawn}")
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
    claims: "list[StatedClaim] | None" = None,
    metrics: "list[Metric] | None" = None,
) -> "LoadReport":
    from failmodes.warehouse.database.load import load as load_results

    with stages_shown("load"), interruptible("the warehouse is as it was"):
        report = load_results(outputs, target, rebuild=rebuild, claims=claims, metrics=metrics)
    counts = [
        f"{report.new_shards:,} new",
        f"{report.replaced_shards:,} replaced",
        f"{report.kept_shards:,} already there",
    ]
    if report.dropped_shards:
        counts.append(f"{report.dropped_shards:,} dropped, for no folder named here holds them")
    state = f"{report.row_count:,} rows in {report.elapsed_s:.1f} s" if report.swapped else "nothing to do"
    if report.measured_evaluations and not report.row_count:  # of rows that are new it goes without a word
        state = f"metrics computed again for {report.measured_evaluations:,} evaluations; {state}"
    note(f"{target}: shards {', '.join(counts)}; {state}")
    return report


def read_status(where: Path, *, full: bool = False) -> tuple[Path, "WarehouseStatus"]:
    """The warehouse that is meant, and what it holds.

    Args:
        where: study file, output folder or .duckdb file.
        full: check all rows again.
    """
    from failmodes.warehouse.database.status import warehouse_status
    from failmodes.warehouse.storage.locations import find_warehouse

    path = find_warehouse(where)
    with stages_shown("status"):
        return path, warehouse_status(path, full=full)


def status_as_json(path: Path, status: "WarehouseStatus") -> dict[str, Any]:
    """What a warehouse holds and which checks hold, by the keys that the help of `failmodes status` names."""
    return {
        "warehouse": str(path),
        "schema_version": status.schema_version,
        "updated_at": f"{status.updated_at:%Y-%m-%dT%H:%M:%SZ}",
        "size_bytes": status.size_bytes,
        "row_counts": status.row_counts,
        "evaluations": [
            row | {"latest_at": row["latest_at"] and f"{row['latest_at']:%Y-%m-%dT%H:%M:%SZ}"}
            for row in status.evaluations.iter_rows(named=True)
        ],
        "checks": [
            {"name": one.name, "invariant": one.invariant, "passed": one.passed, "breaking_rows": one.row_count}
            for one in status.checks
        ],
        "out_of_date": status.stale_derived,
    }


def print_status(path: Path, status: "WarehouseStatus") -> None:
    """Print what a warehouse holds and whether every invariant holds."""
    console = stdout_console()
    facts = f"{status.row_counts['prediction_facts']:,} predictions, {status.row_counts['attention']:,} attention rows"
    if pictures := status.row_counts["thumbnails"]:
        facts += f", {pictures:,} clean images to show"
    if published := status.row_counts["published_accuracy"]:
        facts += f", {published:,} published accuracies"
    if claims := status.row_counts["stated_claims"]:
        facts += f", {claims:,} stated claims"
    console.print(
        f"{path}: schema {status.schema_version}, {status.size_bytes / 1e6:,.1f} MB, {facts}, "
        f"last changed {status.updated_at:%Y-%m-%d %H:%M} UTC"
    )
    for row in status.evaluations.iter_rows(named=True):
        unpaired = "" if row["paired"] else ", not paired with clean images"
        console.print(
            f"  {row['evaluation_id']}  {row['model_label']} on {row['dataset_label']}, {row['subset']}; "
            f"{row['source_label']}{unpaired}; {row['cell_count']} cells, {row['attention_cell_count']} with attention"
        )
    failed = [check for check in status.checks if not check.passed]
    for check in failed:
        console.print(f"BROKEN {check.name}: {check.invariant} ({check.row_count:,} rows break it)")
    if status.stale_derived:
        console.print(f"out of date: {', '.join(status.stale_derived)}: `failmodes shapes` makes them anew")
    console.print(f"{len(status.checks) - len(failed)} of {len(status.checks)} checks hold")
