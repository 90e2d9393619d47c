"""The reading room on generated facts: load, status, report, a chart and every question, as whole processes.

Facts are synthetic: 19 corruptions at 5 severities and clean, 10,000 images of 10 classes, attention for both targets,
of models that find the same images difficult to some extent; written by the public writer of shards. The part
`classes` has 20,000 images of 1,000 classes instead.
"""

import json
import multiprocessing
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from measure import Result, Spent, run_process
from synthetic_results import write_synthetic

from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.sql import MARTS, QUERIES, read_sql

MODELS = (2, 10, 20)
IMAGES, CLASSES, SHARED_DIFFICULTY = 10_000, 10, 0.7
MANY_MODELS, MANY_IMAGES, MANY_CLASSES = 3, 20_000, 1_000
CELLS = 1 + len(CORRUPTIONS) * 5
SCRIPT = Path(sys.executable).parent / "failmodes"
SCALE_MODELS = (20, 100)
WANTED_LOAD = 2.5  # times the CPU time of a bare CREATE TABLE AS
WANTED_MORE = 2.0  # times the load of the same model into an empty warehouse, and the copy
FEW_IMAGES = 1_000
WANTED_CELL_MS = 40.0  # of a load of that many images
WANTED_REPORT_S = {2: 8, 10: 14, 20: 20}
WANTED_REPORT_OF_CLASSES_S = 15
WANTED_CHART_S = {2: 2, 10: 4, 20: 4}
WANTED_STATUS_S = 1.0
WANTED_STATUS_MB = 500
WANTED_GATE_S = 2.0
VERDICTS = (0, 1, 3)  # exit codes of a gate that measured its rules
WANTED_QUESTION_S = {"accuracy_by_severity": 0.5, "confusion_by_severity": 0.5}
WANTED_ANY_QUESTION_S = 1.0
WANTED_PEAK_MB = 2000
PER_IMAGE = ("confident_failures", "failure_onset", "predictions")  # views that list images: counted, not fetched
PER_CLASS = ("confusion_by_severity", "accuracy_by_class")  # of a thousand classes these are counted too

# Asked in one process, so that the start of Python and of DuckDB is in no question; each by its CPU seconds
ASK = """
import json, sys, time
from pathlib import Path
from failmodes.warehouse.database.connection import open_warehouse
spent = {}
with open_warehouse(Path(sys.argv[1])) as con:
    for name, sql in json.load(sys.stdin):
        started = time.process_time()
        con.execute(sql).fetchall()
        spent[name] = time.process_time() - started
print(json.dumps(spent))
"""
BARE = """
import sys, duckdb
with duckdb.connect(sys.argv[2]) as con:
    for table in ("prediction_facts", "attention"):
        files = f"{sys.argv[1]}/results/{table}/*/*/*/*.parquet"
        con.execute(f"create table {table} as from read_parquet('{files}', hive_partitioning = true)")
"""

RULES = """
[gate]
baseline = "Model 00"
candidate = "Model 01"
rules = [
    { metric = "accuracy", over = "each", relation = "worse_by_at_most", limit = 0.05 },
    { metric = "ece", relation = "worse_by_at_most", limit = 0.05 },
    { metric = "accuracy", relation = "drop_at_most", limit = 0.5 },
]
"""


def measure_warehouse() -> Iterator[Result]:
    """All lines of this file; the facts of two models are part of those of ten, and so on, as is the warehouse."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written = 0
        for count in MODELS:
            write_facts(folder, range(written, count), IMAGES, CLASSES)
            if not written:
                yield _load(folder, "warehouse/load", count * IMAGES)
            written = count
            line = f"warehouse/{count}"
            yield from _measure(folder, line, WANTED_REPORT_S[count], WANTED_CHART_S[count])
            yield _gate(folder, f"{line}/gate")
        write_facts(folder / "one more", [written], IMAGES, CLASSES)
        yield from _one_more(folder, f"warehouse/{written}/one_more")
    with tempfile.TemporaryDirectory() as name:
        write_facts(Path(name), [0], FEW_IMAGES, CLASSES)
        load = run_process([SCRIPT, "load", name, "--into", Path(name) / "warehouse.duckdb"])
        cell_ms = 1000 * load.cpu_s / CELLS
        yield Result(
            "warehouse/load/cell", cell_ms, "ms of CPU a cell", WANTED_CELL_MS / cell_ms,
            f"{WANTED_CELL_MS:g} ms wanted; {CELLS} cells × {FEW_IMAGES:,} images, the start of the process included",
        )  # fmt: skip


def measure_many_classes() -> Iterator[Result]:
    """The same of a thousand classes, of which confusion is kept sparse; as many rows as 6 models have above."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_facts(folder, range(MANY_MODELS), MANY_IMAGES, MANY_CLASSES)
        line = f"warehouse/{MANY_CLASSES}_classes"
        yield _load(folder, f"{line}/load", MANY_MODELS * MANY_IMAGES)
        yield from _measure(folder, line, WANTED_REPORT_OF_CLASSES_S, WANTED_CHART_S[2], PER_IMAGE + PER_CLASS)


def measure_scale(images: int = IMAGES) -> Iterator[Result]:
    """Of more and more models: the load and the status of the warehouse, whose memory should not grow with them.

    100 models of 10,000 images are 96 million predictions: 34 GB of disk and an hour; of fewer images less.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "warehouse.duckdb"
        written = 0
        for count in SCALE_MODELS:
            write_facts(folder, range(written, count), images, CLASSES)
            load = run_process([SCRIPT, "load", folder, "--into", file])
            rows = f"{CELLS * images * count:,} predictions of {count} models"
            added = CELLS * images * (count - written)
            written = count
            spent = f"{load.peak_mb:,.0f} MB, {load.cpu_s:,.0f} s of CPU"
            yield Result(
                f"scale/{count}/load", 1e6 * load.cpu_s / added, "us of CPU each", WANTED_PEAK_MB / load.peak_mb,
                f"{WANTED_PEAK_MB:,} MB wanted at any number of models; {spent}; {rows}",
            )  # fmt: skip
            status = run_process([SCRIPT, "status", file])
            yield _result(f"scale/{count}/status", status, WANTED_STATUS_S, f"{WANTED_STATUS_S:g} s wanted; {rows}")
            yield Result(
                f"scale/{count}/status/peak", status.peak_mb, "MB", WANTED_STATUS_MB / status.peak_mb,
                f"{WANTED_STATUS_MB} MB wanted; {rows}",
            )  # fmt: skip


def write_facts(folder: Path, models: Iterable[int], images: int, classes: int) -> None:
    """In a process of its own, which gives its memory back."""
    options = {
        "images": images, "classes": classes, "shared_difficulty": SHARED_DIFFICULTY,
        "models": tuple(f"Model {index:02}" for index in models), "corruptions": tuple(CORRUPTIONS),
    }  # fmt: skip
    process = multiprocessing.get_context("spawn").Process(target=write_synthetic, args=(folder,), kwargs=options)
    process.start()
    process.join()
    assert process.exitcode == 0, "facts could not be written"


def _load(folder: Path, name: str, images: int) -> Result:
    """The first load of the facts in a folder into its warehouse, with the bare tables as its peer."""
    bare = folder / "bare.duckdb"
    peer = run_process([sys.executable, "-c", BARE, folder, bare])
    bare.unlink()
    load = run_process([SCRIPT, "load", folder, "--into", folder / "warehouse.duckdb"])
    against = f"bare CREATE TABLE AS of {CELLS * images:,} predictions with attention; {1 / WANTED_LOAD:g} wanted"
    return _result(name, load, peer.cpu_s, against)


def _measure(
    folder: Path, name: str, wanted_report_s: float, wanted_chart_s: float, counted: Collection[str] = PER_IMAGE
) -> Iterator[Result]:
    """Bring the warehouse of a folder up to date, and measure what reads it.

    Args:
        folder: holds facts and perhaps their warehouse.
        name: of the results.
        wanted_report_s: what their report may take.
        wanted_chart_s: what their chart may take.
        counted: views that are too long to fetch.
    """
    file = folder / "warehouse.duckdb"
    spent = [run_process([SCRIPT, "load", folder, "--into", file])]
    for command, arguments, wanted in (
        ("report", ["report", file], wanted_report_s),
        ("status", ["status", file], WANTED_STATUS_S),
        ("chart", ["chart", "curves", file, "--output", "a.svg"], wanted_chart_s),
    ):
        (folder / "a.svg").unlink(missing_ok=True)
        spent.append(run_process([SCRIPT, *arguments], folder))
        yield _result(f"{name}/{command}", spent[-1], wanted, f"{wanted:g} s wanted")
    asked = run_process([sys.executable, "-c", ASK, file], folder, json.dumps(_questions(counted)))
    seconds = json.loads(asked.output.splitlines()[-1])  # below DuckDB's progress: it takes `python -c` for a user
    slowest = max(seconds, key=lambda question: seconds[question])
    for question, wanted in {**WANTED_QUESTION_S, slowest: WANTED_ANY_QUESTION_S}.items():
        yield Result(
            f"{name}/{'slowest_question' if question == slowest else question}", seconds[question], "s of CPU",
            wanted / seconds[question], f"{wanted:g} s wanted; it is {question}",
        )  # fmt: skip
    peak = max(process.peak_mb for process in (*spent, asked))
    yield Result(f"{name}/peak", peak, "MB", WANTED_PEAK_MB / peak, f"{WANTED_PEAK_MB:,} MB wanted")


def _one_more(folder: Path, name: str) -> Iterator[Result]:
    """A model added to the warehouse of a folder, against its load alone with a copy of the warehouse's file."""
    file, copy = folder / "warehouse.duckdb", folder / "copy.duckdb"
    alone = run_process([SCRIPT, "load", folder / "one more", "--into", folder / "alone.duckdb"])
    copied = run_process([sys.executable, "-c", f"import shutil; shutil.copyfile({str(file)!r}, {str(copy)!r})"])
    copy.unlink()
    added = run_process([SCRIPT, "load", folder / "one more", "--into", file])
    against = (
        f"{WANTED_MORE:g} × the {alone.cpu_s:.1f} s of the model alone and {copied.cpu_s:.1f} s of the copy wanted"
    )
    yield _result(name, added, WANTED_MORE * alone.cpu_s + copied.cpu_s, against)


def _gate(folder: Path, name: str) -> Result:
    """Two models of the warehouse that was measured: rules over each of 95 cells and over their mean."""
    (folder / "gate.toml").write_text(RULES)
    spent = run_process([SCRIPT, "gate", folder / "gate.toml", folder / "warehouse.duckdb"], codes=VERDICTS)
    return _result(name, spent, WANTED_GATE_S, f"{WANTED_GATE_S:g} s wanted, of {CELLS - 1} cells")


def _questions(counted: Collection[str]) -> list[tuple[str, str]]:
    """Every view and saved query by name; of views whose rows are `counted`, how many there are."""
    views = [(name, f"select count(*) from {name}" if name in counted else f"from {name}") for name in read_sql(MARTS)]
    return [*views, *read_sql(QUERIES).items()]


def _result(name: str, spent: Spent, peer_s: float, against: str) -> Result:
    text = f"{against}; {spent.wall_s:.1f} s of wall, {spent.peak_mb:,.0f} MB"
    return Result(name, spent.cpu_s, "s of CPU", peer_s / spent.cpu_s, text)
