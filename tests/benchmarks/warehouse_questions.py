"""The reading room on generated facts: load, status, report, a chart and every question, as whole processes.

Facts are synthetic: 19 corruptions at 5 severities and clean, 10,000 images of 10 classes, attention for both targets,
of models that find the same images difficult to some extent; written by the public writer of shards. The part
`classes` has 50,000 images of 1,000 classes instead.
"""

import json
import multiprocessing
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from measure import Result
from synthetic_results import write_synthetic

from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.sql import MARTS, QUERIES, read_sql

MODELS = (2, 10, 20)
IMAGES, CLASSES, SHARED_DIFFICULTY = 10_000, 10, 0.7
MANY_MODELS, MANY_IMAGES, MANY_CLASSES = 3, 50_000, 1_000
SCRIPT = Path(sys.executable).parent / "failmodes"
SCALE_MODELS, WANTED_LOAD = (20, 57), 2.5  # CPU time of a bare CREATE TABLE AS
WANTED_REPORT_S = {2: 8, 10: 20, 20: 40}
WANTED_S = {"status": 1.0, "chart": 2.0}
WANTED_GATE_S = 2.0
WANTED_QUESTION_S, WANTED_PEAK_MB = 1.0, 2000
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
# Starts a command from a small process, for the memory of whoever starts it counts as its own
START = """
import json, os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen(sys.argv[2:])
_, status, used = os.wait4(process.pid, 0)
with open(sys.argv[1], "w") as file:
    json.dump([used.ru_utime + used.ru_stime, time.perf_counter() - started, used.ru_maxrss / 1024], file)
sys.exit(os.waitstatus_to_exitcode(status))
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


class Spent(NamedTuple):
    """What a process cost: CPU seconds of user and system, wall seconds, peak memory in MB, and what it printed."""

    cpu_s: float
    wall_s: float
    peak_mb: float
    output: str


def measure_warehouse() -> Iterator[Result]:
    """All lines of this file; the facts of two models are part of those of ten, and so on."""
    for count in MODELS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_facts(folder, range(count), IMAGES, CLASSES)
            write_facts(folder / "one more", [count], IMAGES, CLASSES)
            yield from _measure(folder, f"warehouse/{count}", count * IMAGES, WANTED_REPORT_S[count])
            yield _gate(folder, f"warehouse/{count}/gate")


def measure_many_classes() -> Iterator[Result]:
    """The same of a thousand classes, of which confusion is kept sparse; as many rows as 15 models have above."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_facts(folder, range(MANY_MODELS), MANY_IMAGES, MANY_CLASSES)
        write_facts(folder / "one more", [MANY_MODELS], MANY_IMAGES, MANY_CLASSES)
        rows = MANY_MODELS * MANY_IMAGES
        yield from _measure(
            folder, f"warehouse/{MANY_CLASSES}_classes", rows, WANTED_REPORT_S[20], PER_IMAGE + PER_CLASS
        )


def measure_scale(images: int = IMAGES) -> Iterator[Result]:
    """A load of more and more models: its CPU time and its memory, which should not grow with them.

    57 models of 10,000 images take 20 GB of disk and a quarter of an hour; of fewer images less.
    """
    cells = 1 + len(CORRUPTIONS) * 5
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, bare, written = folder / "warehouse.duckdb", folder / "bare.duckdb", 0
        for count in SCALE_MODELS:
            write_facts(folder, range(written, count), images, CLASSES)
            written = count
            peer = _run([sys.executable, "-c", BARE, folder, bare])
            bare.unlink()
            load = _run([SCRIPT, "load", folder, "--into", file, "--rebuild"])
            file.unlink()
            size = f"{count} models × {cells} cells × {images:,} images"
            against = f"{WANTED_LOAD:g} × the {peer.cpu_s:.1f} s of a bare CREATE TABLE AS wanted; {size}"
            yield _result(f"scale/{count}/load", load, WANTED_LOAD * peer.cpu_s, against)
            yield Result(
                f"scale/{count}/peak", load.peak_mb, "MB", WANTED_PEAK_MB / load.peak_mb,
                f"{WANTED_PEAK_MB:,} MB wanted, at any number of models; {size}",
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


def _measure(
    folder: Path, name: str, images: int, wanted_report_s: float, counted: Collection[str] = PER_IMAGE
) -> Iterator[Result]:
    """Measure the facts in a folder.

    Args:
        folder: holds them.
        name: of the results.
        images: how many they have over all models.
        wanted_report_s: what their report may take.
        counted: views that are too long to fetch.
    """
    file, bare = folder / "warehouse.duckdb", folder / "bare.duckdb"
    python = [sys.executable, "-c"]
    peer = _run([*python, BARE, folder, bare])
    bare.unlink()
    load = _run([SCRIPT, "load", folder, "--into", file])
    rows = (1 + len(CORRUPTIONS) * 5) * images
    against = f"bare CREATE TABLE AS of {rows:,} predictions with attention"
    yield _result(f"{name}/load", load, peer.cpu_s, against)
    spent = [load]
    for command, arguments in {
        "report": ["report", file], "status": ["status", file], "chart": ["chart", "curves", file, "--output", "a.svg"],
    }.items():  # fmt: skip
        spent.append(_run([SCRIPT, *arguments], folder))
        wanted = WANTED_S.get(command, wanted_report_s)
        yield _result(f"{name}/{command}", spent[-1], wanted, f"{wanted:g} s wanted")
    asked = _run([*python, ASK, file], folder, json.dumps(_questions(counted)))
    seconds = json.loads(asked.output.splitlines()[-1])  # below DuckDB's progress: it takes `python -c` for a user
    slowest = max(seconds, key=lambda question: seconds[question])
    yield Result(
        f"{name}/slowest_question", seconds[slowest], "s of CPU", WANTED_QUESTION_S / seconds[slowest],
        f"{WANTED_QUESTION_S:g} s wanted; it is {slowest}",
    )  # fmt: skip
    alone = _run([SCRIPT, "load", folder / "one more", "--into", folder / "alone.duckdb"])
    spent.append(_run([SCRIPT, "load", folder / "one more", "--into", file]))
    yield _result(f"{name}/one_more", spent[-1], alone.cpu_s, "the same model loaded into an empty warehouse")
    peak = max(one.peak_mb for one in (*spent, asked))
    yield Result(f"{name}/peak", peak, "MB", WANTED_PEAK_MB / peak, f"{WANTED_PEAK_MB:,} MB wanted")


def _gate(folder: Path, name: str) -> Result:
    """Two models of the warehouse that was measured: rules over each of 95 cells and over their mean."""
    (folder / "gate.toml").write_text(RULES)
    spent = _run([SCRIPT, "gate", folder / "gate.toml", folder / "warehouse.duckdb"])
    return _result(name, spent, WANTED_GATE_S, f"{WANTED_GATE_S:g} s wanted, of {len(CORRUPTIONS) * 5} cells")


def _questions(counted: Collection[str]) -> list[tuple[str, str]]:
    """Every view and saved query by name; of views whose rows are `counted`, how many there are."""
    views = [(name, f"select count(*) from {name}" if name in counted else f"from {name}") for name in read_sql(MARTS)]
    return [*views, *read_sql(QUERIES).items()]


def _result(name: str, spent: Spent, peer_s: float, against: str) -> Result:
    text = f"{against}; {spent.wall_s:.1f} s of wall, {spent.peak_mb:,.0f} MB"
    return Result(name, spent.cpu_s, "s of CPU", peer_s / spent.cpu_s, text)


def _run(command: list[str | Path], folder: Path | None = None, given: str = "") -> Spent:
    """Run a process to its end; its children count."""
    with tempfile.NamedTemporaryFile("r") as spent:
        starter = [sys.executable, "-S", "-c", START, spent.name]
        done = subprocess.run(
            list(map(str, [*starter, *command])), cwd=folder, input=given, stdout=subprocess.PIPE, text=True, check=True
        )
        return Spent(*json.load(spent), done.stdout)
