"""The study that the soak torments: what each command starts from and makes, how far it is, and whether rows agree."""

import hashlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
from fault_trials import Trial, attempt, check_refusal, has_ended
from packed_images import SOURCES, photographs, write_studies
from safetensors import safe_open
from tiny_study import CELLS, write_tiny_study

from failmodes.evaluate.training import STATE_SUFFIX
from failmodes.warehouse.shards.format import read_verified

PREDICTIONS_FILE = "predictions.parquet"
POLLED_S = 0.005
TIMES = ["elapsed_s", "images_per_s", "build_id"]  # columns that differ from run to run, beside moments
TIMES_OF_REPORT = (b">Evaluated<", b">Speed<")
STAGES = (
    "nothing yet", "images on record", "an epoch kept", "model trained", "some shards", "all shards",
    "warehouse being written", "warehouse loaded", "report written",
)  # fmt: skip


class Found(NamedTuple):
    """What came of one thing that was tried.

    Attributes:
        part: of the soak.
        name: what was tried.
        outcome: how it ended, in words.
        wrong: what did not hold; nothing where all did.
        figures: what was measured.
    """

    part: str
    name: str
    outcome: str
    wrong: list[str]
    figures: dict[str, Any] = {}  # noqa: RUF012  # never changed


_TO_COMPARE = threading.Lock()  # held by the trial that makes what others wait for
Job = Callable[[Path], Found]  # tries one thing in an empty folder of its own


class Undisturbed(NamedTuple):
    """What a command leaves when nothing is in its way: `digests` of its folder, and the seconds that it took."""

    digests: dict[str, str]
    seconds: float


class Base(NamedTuple):
    """The study left alone.

    Attributes:
        folder: of the study file, after `failmodes run`.
        imported: the same of a study whose predictions were imported; they lie in PREDICTIONS_FILE beside it.
        stays_s: how long the run stood at each stage, seconds.
        left: by command line, what a command leaves undisturbed; see `undisturbed`.
    """

    folder: Path
    imported: Path
    stays_s: dict[str, float]
    left: dict[tuple[str, ...], Undisturbed]


class Command(NamedTuple):
    """A command of the soak.

    Attributes:
        arguments: its command line.
        prepare: makes what it starts from in an empty folder.
        is_compared: whether what it leaves is compared, every table and file.
        stages: at which it can be killed; none for a command that is short.
    """

    arguments: tuple[str, ...]
    prepare: Callable[[Base, Path], object]
    is_compared: bool = False
    stages: tuple[str, ...] = ()


def make_base(folder: Path) -> Base:
    """Run the study and an import of its predictions, with nothing in their way."""
    from import_files import stored_rows

    here, imported = folder / "base", folder / "imported"
    here.mkdir()
    imported.mkdir()
    write_tiny_study(here)
    stays_s: dict[str, float] = {}
    _must_work(attempt("run", folder=here, meanwhile=lambda number: _clock_stages(number, here / "out", stays_s)))
    rows = stored_rows(here / "out").select("image_id", "corruption", "severity", "logits")
    rows.cast({"severity": float}).write_parquet(imported / PREDICTIONS_FILE)
    return Base(here, imported, stays_s, {})


def undisturbed(base: Base, command: Command) -> Undisturbed:
    """Run a command with nothing in its way, once for all of its trials."""
    with _TO_COMPARE:
        if command.arguments not in base.left:
            folder = base.folder.with_name(f"undisturbed-{len(base.left)}")
            folder.mkdir()
            command.prepare(base, folder)
            trial = attempt(*command.arguments, folder=folder)
            _must_work(trial)
            base.left[command.arguments] = Undisturbed(digests(folder), trial.elapsed_s)
        return base.left[command.arguments]


def write_study_without_models(folder: Path) -> None:
    """The study, for predictions that are imported."""
    path = write_tiny_study(folder)
    path.write_text(path.read_text().split("[[models]]")[0])


def stage_of(output: Path) -> str:
    """How far a command is, by what it has published."""

    def there(pattern: str) -> bool:
        return any(not path.name.startswith(".") for path in output.glob(pattern))

    shards = count_shards(output)
    reached = (
        True,
        there("results/datasets/*.parquet"),
        there(f"checkpoints/*{STATE_SUFFIX}"),
        there("checkpoints/*.safetensors"),
        shards > 0,
        shards >= CELLS,
        any(output.glob(".tmp-*-warehouse.duckdb")),
        (output / "warehouse.duckdb").exists(),
        (output / "report.html").exists(),
    )
    return [stage for stage, is_reached in zip(STAGES, reached, strict=True) if is_reached][-1]


def count_shards(output: Path) -> int:
    """Cells of predictions that are published."""
    return sum(1 for _ in output.glob("results/prediction_facts/*/*/*/rows.parquet"))


def leftovers(folder: Path) -> list[str]:
    """Files that only a command under way may have."""
    found = [path for pattern in (".tmp-*", "*.wal", f"*{STATE_SUFFIX}") for path in folder.rglob(pattern)]
    return [str(path.relative_to(folder)) for path in found]


def compare(folder: Path, command: Command, base: Base) -> list[str]:
    """What differs between what a command has made in `folder`, once it is done, and what it makes undisturbed."""
    wrong = [f"left behind: {path}" for path in leftovers(folder)]
    if command.is_compared:
        ours, theirs = digests(folder), undisturbed(base, command).digests
        every = sorted(ours.keys() | theirs.keys())
        wrong += [f"differs: {name}" for name in every if ours.get(name) != theirs.get(name)]
    return wrong


def digests(folder: Path) -> dict[str, str]:
    """A hash by name of every file in a folder; of a database, of each table. Locks and caches are left out."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or path.name.startswith(".") or "cache" in path.parts:
            continue
        if path.suffix == ".duckdb":
            found |= {f"{name}: {table}": digest for table, digest in _digests_of_tables(path)}
        elif path.suffix == ".safetensors":
            found[name] = _digest_of_tensors(path)
        elif path.suffix == ".parquet" and "results" in path.parts:
            found[name] = read_verified(path).content_hash
        else:
            lines = path.read_bytes().splitlines() if path.suffix == ".html" else [path.read_bytes()]
            kept = [line for line in lines if not any(label in line for label in TIMES_OF_REPORT)]
            found[name] = hashlib.sha256(b"\n".join(kept)).hexdigest()
    return found


def _digest_of_tensors(path: Path) -> str:
    """Of the tensors and texts of a checkpoint, which the library writes in any order."""
    with safe_open(path, "numpy") as tensors:
        parts = [(name, tensors.get_tensor(name).tobytes().hex()) for name in sorted(tensors.keys())]
        return hashlib.sha256(repr([parts, sorted((tensors.metadata() or {}).items())]).encode()).hexdigest()


def _digests_of_tables(path: Path) -> Iterator[tuple[str, str]]:
    """Name, and number and hash of the rows in any order, of each table, without what differs from run to run."""
    with duckdb.connect() as con:
        con.execute(f"attach '{path}' as stored (read_only)")
        columns = con.execute(
            "select table_name, string_agg(column_name, ', ' order by column_name) from duckdb_columns() "
            "where database_name = 'stored' and schema_name = 'main' and not internal and table_name in "
            "(select table_name from duckdb_tables() where database_name = 'stored') "
            "and not (ends_with(column_name, '_utc') or column_name = any(?)) group by table_name",
            [TIMES],
        ).fetchall()
        for name, listed in columns:
            sql = f"select count(*), sum(hash({listed})) from stored.main.{name}"
            yield name, str(con.execute(sql).fetchone())


def resumed(folder: Path, command: Command, base: Base) -> list[str]:
    """What does not hold once the same command is given again: it must end well, with the rows of the undisturbed."""
    again = attempt(*command.arguments, folder=folder)
    return [f"not resumed: {again.stderr.strip()}"] if again.code else compare(folder, command, base)


def unlike_a_refusal(trial: Trial, says: str = "", code: int | None = None) -> list[str]:
    """What does not hold of a command that had to say what ended it; nothing where none did."""
    try:
        if trial.code:
            check_refusal(trial, says, code)
    except AssertionError as error:
        return [f"not one line of {says or 'an error'}: {error}"]
    return []


def _must_work(trial: Trial) -> None:
    if trial.code:
        raise RuntimeError(f"undisturbed, the study does not work: {trial.stderr}")


def _clock_stages(number: int, output: Path, stays_s: dict[str, float]) -> None:
    """Watch a command to its end, and add up the seconds at each stage."""
    former = time.monotonic()
    while not has_ended(number):
        time.sleep(POLLED_S)
        stage, now = stage_of(output), time.monotonic()
        stays_s[stage] = stays_s.get(stage, 0) + now - former
        former = now


def _nothing(_base: Base, _folder: Path) -> None: ...


def _study(_base: Base, folder: Path) -> None:
    write_tiny_study(folder)


def _trained(base: Base, folder: Path) -> None:
    write_tiny_study(folder)
    shutil.copytree(base.folder / "out" / "checkpoints", folder / "out" / "checkpoints")


def _evaluated(base: Base, folder: Path) -> None:
    _trained(base, folder)
    shutil.copytree(base.folder / "out" / "results", folder / "out" / "results")


def _finished(base: Base, folder: Path) -> None:
    shutil.copytree(base.folder, folder, dirs_exist_ok=True)


def _to_import(base: Base, folder: Path) -> None:
    write_study_without_models(folder)
    shutil.copy(base.imported / PREDICTIONS_FILE, folder)


def _with_another(base: Base, folder: Path) -> None:
    """The finished study, and the results of a second model that its warehouse lacks."""
    _finished(base, folder)
    shutil.copy(base.imported / PREDICTIONS_FILE, folder)
    _must_work(attempt("import", PREDICTIONS_FILE, "--label", "Elsewhere", folder=folder))


def _packed(_base: Base, folder: Path) -> None:
    write_studies(folder, photographs(30), "image_size = 32")


COMMANDS = {
    "run": Command(("run",), _study, True, STAGES[:-1]),
    "train": Command(("train",), _study, True, ("nothing yet", "an epoch kept")),
    "evaluate": Command(("evaluate",), _trained, True, ("model trained", "some shards", "all shards")),
    "import": Command(("import", PREDICTIONS_FILE, "--label", "Elsewhere"), _to_import, True,
                      ("nothing yet", "some shards", "all shards")),
    "load": Command(("load",), _evaluated, True, ("all shards", "warehouse being written")),
    "load another": Command(("load",), _with_another, True),
    "init": Command(("init", "digits"), _nothing),
    "ingest": Command(("ingest",), _study, True),
    "corrupt": Command(("corrupt", "digits", "--to", "set", "--corruption", "contrast", "--images", "60"), _nothing,
                       True),
    "corrupt to folders": Command(
        ("corrupt", "digits", "--to", "set", "--corruption", "contrast", "--images", "60", "--layout", "imagenet-c"),
        _nothing, True,
    ),
    **{f"evaluate {name}": Command(("evaluate", f"{name}.toml"), _packed, True) for name in SOURCES},
    "ingest tar": Command(("ingest", "tar.toml"), _packed, True),
    "slices": Command(("slices", "--output", "slices.json"), _finished, True),
    "status": Command(("status",), _finished),
    "query": Command(("query", "@worst_cells"), _finished),
    "query to a file": Command(("query", "from prediction_facts", "--output", "rows.parquet"), _finished, True),
    "shapes": Command(("shapes", "--resamples", "200"), _finished),
    "chart": Command(("chart", "curves", "--output", "curves.svg"), _finished, True),
    "report": Command(("report",), _finished, True),
    "export": Command(("export", "--evaluation", "Net 0", "baseline.duckdb", "--force"), _finished, True),
}  # fmt: skip
