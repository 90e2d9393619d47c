"""`failmodes site`: write a study as a folder for any static host, in which DuckDB-WASM queries every prediction.

What needs Python is computed in advance: strips of misclassified images, and comparisons of models.
"""

import json
import re
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from itertools import combinations, islice
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from failmodes.analysis.charts.style.theme import page_variables
from failmodes.analysis.evaluations.selection import Selection, select
from failmodes.analysis.images.stored_images import OpenStudy
from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.analysis.render.formatting import format_count, join_names
from failmodes.analysis.site.answers import comparison_answer, opened_selections, strip_answer, study_facts
from failmodes.analysis.site.bundling import STAMP, bundled_page
from failmodes.ingest.data_files import read_json
from failmodes.runtime.errors import DataError, FailmodesError, StudyError
from failmodes.runtime.progress import counted
from failmodes.runtime.storage.files import atomic_folder, is_url
from failmodes.runtime.storage.locations import WAREHOUSE_FILE
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.subset import PARTS, Columns, subset, table_sizes
from failmodes.warehouse.metrics.metric import Metric

MAX_BYTES = 500_000_000
MIN_SAVED = 0.02  # of a site's size, for an option to be advised
MAX_PAIRS = 15  # all pairs of six models; of more, each with the baseline
MAX_IMAGES = 5_000
NAME = re.compile(r"[\w-][\w .()+-]{0,99}")
STUDY = "study.json"
FORMAT = "failmodes site 1"  # in STUDY, by which an earlier site is known

_FAILURES = """
with failures as (
    select evaluation_id, corruption, image_id, max(confidence) as confidence
    from prediction_facts
    where corruption <> 'none' and predicted is distinct from label
    group by all
),
ranked as (
    select
        *,
        row_number() over (
            partition by evaluation_id, corruption
            order by exists (from exemplars where exemplars.evaluation_id = failures.evaluation_id
                and exemplars.corruption = failures.corruption and exemplars.image_id = failures.image_id) desc,
            confidence desc nulls last, image_id
        ) as place
    from failures
)
select evaluation_id, corruption, image_id from ranked order by place, corruption, evaluation_id limit $1
"""


class Site(NamedTuple):
    """A written site: its bytes, strips and comparisons, and what it lacks, in sentences."""

    size_bytes: int
    strip_count: int
    pair_count: int
    missing: list[str]


def check_folder(folder: Path, warehouse: Path) -> None:
    """Refuse a folder that a site must not replace.

    Raises:
        StudyError: it is a URL or a file, holds anything but an earlier site, or holds the warehouse.
    """
    if is_url(str(folder).replace(":/", "://", 1)):
        raise StudyError(f"cannot write {folder}: it is a URL, expected a local folder: write one and upload it")
    if folder.exists() and not folder.is_dir():
        raise StudyError(f"cannot write {folder}: it is a file, expected a new folder or an earlier site")
    if folder.is_dir() and any(folder.iterdir()) and not _is_site(folder):
        raise StudyError(f"{folder} is not empty and no earlier site: choose a new folder, such as {folder / 'site'}")
    if warehouse.resolve().is_relative_to(folder.resolve()):
        raise StudyError(f"{folder} holds the warehouse {warehouse}, which a new site would replace: choose another")


def _is_site(folder: Path) -> bool:
    with suppress(FileNotFoundError, DataError, AttributeError):
        return bool(read_json(folder / STUDY).get("format") == FORMAT)
    return False


def write_site(
    warehouse: Path,
    folder: Path,
    open_study: OpenStudy,
    *,
    images: int = 200,
    models: Sequence[str] = (),
    without: Collection[str] = (),
    metrics: Sequence[Metric] = (),
) -> Site:
    """Write a study as a static site, completely or not at all.

    Args:
        warehouse: the DuckDB file.
        folder: a new or empty folder, or an earlier site, which is replaced.
        open_study: opens the study, for images that the warehouse does not store.
        images: strips of misclassified images, at most; 0 for none.
        models: only these, by label. Default: all.
        without: keys of PARTS to leave out.
        metrics: the user's own.

    Returns:
        Its size, and what it lacks.

    Raises:
        StudyError: see `check_folder`; an unknown model or part; the site would be larger than MAX_BYTES; or the page
            cannot be built.
        WarehouseError: the warehouse cannot be read.
        StorageError: the folder cannot be written.
    """
    if unknown := sorted(set(without) - PARTS.keys()):
        raise StudyError(f"cannot leave out {unknown[0]!r}: expected {', '.join(PARTS)}")
    if not 0 <= images <= MAX_IMAGES:
        raise StudyError(f"{images:,} images: expected 0 to {MAX_IMAGES:,}")
    check_folder(folder, warehouse)
    with open_warehouse(warehouse) as con:
        opened_selections(con)
        every = [key for (key,) in con.execute("select evaluation_id from evaluations").fetchall()]
        kept = _evaluations_of(con, models) if models else every
        _check_size(con, kept, without)
    bundle = bundled_page()
    with atomic_folder(folder) as made:
        copy = made / WAREHOUSE_FILE
        part: dict[str, Any] = {"evaluations": kept, "derivation": DERIVATION, "metrics": metrics} if models else {}
        with subset(warehouse, copy, left_out=_columns_of(without), **part):
            pass
        for file in bundle.iterdir():
            if file.name != STAMP:
                shutil.copyfile(file, made / file.name)
        (made / "theme.css").write_text(page_variables(), "utf-8")
        missing: dict[str, None] = dict.fromkeys(_left_out(without, len(every) - len(kept)))
        with open_warehouse(copy) as con:
            selections = opened_selections(con)
            strips = list(_strips(con, selections, open_study, images, made, missing))
            pairs = list(_comparisons(copy, selections, made, missing))
            facts = study_facts(con, selections, WAREHOUSE_FILE)
            sizes, parts = table_sizes(con, {}), _part_sizes(con, without)
        settings = {"images": images, "models": list(models), "without": sorted(without)}
        facts |= {
            "format": FORMAT, "mode": "static", "settings": settings, "missing": list(missing), "strips": strips,
            "pairs": pairs, "strip": "strips/{evaluation}/{corruption}/{image}.json", "compare": "compare/{a}.{b}.json",
            "size": {"bytes": copy.stat().st_size, "tables": {name: size for name, size in sizes.items() if size}},
        }  # fmt: skip
        _write_json(made / STUDY, facts)
        size = sum(file.stat().st_size for file in made.rglob("*") if file.is_file())
        if size > MAX_BYTES:
            parts["fewer --images"] = sum(file.stat().st_size for file in made.glob("strips/**/*.json"))
            raise StudyError(_too_large(size, sizes, parts))
    return Site(size, len(strips), len(pairs), list(missing))


def _evaluations_of(con: duckdb.DuckDBPyConnection, models: Sequence[str]) -> list[str]:
    """Evaluations of models, by label, with those of their natural shifts."""
    named = {e.facts["model_id"] for selection in select(con, models=models) for e in selection.evaluations}
    query = "select evaluation_id from evaluations where model_id = any($1)"
    return [key for (key,) in con.execute(query, [list(named)]).fetchall()]


def _columns_of(parts: Collection[str]) -> Columns:
    return {name: columns for part in parts for name, columns in PARTS[part].items()}


def _check_size(con: duckdb.DuckDBPyConnection, kept: Collection[str], without: Collection[str]) -> None:
    """Refuse a warehouse that is too large before it is copied: a copy takes as much as its rows do now."""
    (share,) = con.execute(
        "select count_if(evaluation_id = any($1)) / count(*) from shards where table_name = 'prediction_facts'",
        [list(kept)],
    ).fetchall()[0]
    sizes = {name: round(share * size) for name, size in table_sizes(con, _columns_of(without)).items()}
    if (size := sum(sizes.values())) > MAX_BYTES:
        parts = {option: round(share * size) for option, size in _part_sizes(con, without).items()}
        raise StudyError(_too_large(size, sizes, parts))


def _part_sizes(con: duckdb.DuckDBPyConnection, without: Collection[str]) -> dict[str, int]:
    """Bytes that each option that leaves out a further part would save."""

    def size(parts: Collection[str]) -> int:
        return sum(table_sizes(con, _columns_of(parts)).values())

    return {f"--without {part}": size(without) - size([*without, part]) for part in PARTS if part not in without}


def _too_large(size: int, sizes: dict[str, int], parts: dict[str, int]) -> str:
    """Why a site is refused, with the options that reduce it, by what they save."""
    largest = ", ".join(f"{name} {bytes_ / 1e6:,.0f} MB" for name, bytes_ in islice(sizes.items(), 5))
    saved = sorted(((bytes_, option) for option, bytes_ in parts.items() if bytes_ > MIN_SAVED * size), reverse=True)
    options = ", ".join(["--models", *(f"{option} ({bytes_ / 1e6:,.0f} MB)" for bytes_, option in saved)])
    return (
        f"the site would take {size / 1e6:,.0f} MB, more than {MAX_BYTES / 1e6:,.0f} MB ({largest}): reduce it with "
        f"{options}; rows are never sampled"
    )


def _left_out(without: Collection[str], removed_count: int) -> Iterator[str]:
    if removed_count:
        yield f"This site shows chosen models only; left out: {format_count(removed_count, 'evaluation')}."
    if without:
        yield f"This site was written without {join_names(sorted(without))}; metrics computed from that are shown."


def _strips(
    con: duckdb.DuckDBPyConnection,
    selections: Sequence[Selection],
    open_study: OpenStudy,
    most: int,
    folder: Path,
    missing: dict[str, None],
) -> Iterator[tuple[str, str, int]]:
    """Write strips of misclassified images: of each model and corruption the exemplars and the most confident first."""
    labels = {key: label for selection in selections for key, label in selection.labels.items()}
    failures = [
        row for row in con.execute(_FAILURES, [most]).fetchall() if row[0] in labels and _can_be_files(*row[:2])
    ]
    unavailable: dict[str, str] = {}
    for evaluation_id, corruption, image_id in counted("images", failures):
        if evaluation_id in unavailable:
            continue
        try:
            strip = strip_answer(con, selections, open_study, evaluation_id, corruption, image_id)
        except FailmodesError as error:
            unavailable[evaluation_id] = str(error)
            continue
        _write_json(folder / "strips" / evaluation_id / corruption / f"{image_id}.json", strip)
        yield evaluation_id, corruption, image_id
    if unavailable:
        names = join_names(dict.fromkeys(labels[key] for key in unavailable))
        missing[f"Images under corruption are not shown of {names}: {next(iter(unavailable.values()))}."] = None


def _comparisons(
    warehouse: Path, selections: Sequence[Selection], folder: Path, missing: dict[str, None]
) -> Iterator[tuple[str, str]]:
    """Write comparisons of models: of all pairs of a group, or of many models those with the baseline."""
    pairs: list[tuple[str, str]] = []
    for selection in selections:
        every = list(combinations(selection.ids, 2))
        if len(every) > MAX_PAIRS:
            baselines = [e.evaluation_id for e in selection.evaluations if e.facts["is_baseline"]] or selection.ids[:1]
            every = [(baselines[0], key) for key in selection.ids if key not in baselines]
            missing[f"Comparisons are stored with {selection.labels[baselines[0]]} as baseline only."] = None
        pairs += every
    for a, b in counted("comparisons", pairs):
        try:
            compared = comparison_answer(warehouse, selections, a, b)
        except FailmodesError as error:
            missing[f"Some models are not compared: {error}."] = None
            continue
        _write_json(folder / "compare" / f"{a}.{b}.json", compared)
        yield a, b


def _can_be_files(*names: str) -> bool:
    """Whether names in the warehouse, which is untrusted, can be names of files."""
    return all(NAME.fullmatch(name) for name in names)


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, allow_nan=False), "utf-8")
