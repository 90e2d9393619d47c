"""The study that the soak torments: what each command starts from and makes, how far it is, and whether rows agree."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
from fault_trials import Trial, attempt, check_refusal, has_ended
from safetensors import safe_open
from tiny_study import CELLS, write_tiny_study

from failmodes.evaluate.training import STATE_SUFFIX
from failmodes.warehouse.schema import ATTENTION, CLEAN_MAPS, EVALUATIONS, EXEMPLARS, MODELS, PREDICTION_FACTS
from failmodes.warehouse.shards.format import read_verified
from failmodes.warehouse.storage.files import list_published

PREDICTIONS_FILE = "predictions.parquet"
POLLED_S = 0.005
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


Job = Callable[[Path], Found]  # tries one thing in an empty folder of its own


class Base(NamedTuple):
    """The study left alone.

    Attributes:
        folder: of the study file, after `failmodes run`.
        imported: the same of a study whose predictions were imported; they lie in PREDICTIONS_FILE beside it.
        stays_s: how long the run stood at each stage, seconds.
    """

    folder: Path
    imported: Path
    stays_s: dict[str, float]


class Command(NamedTuple):
    """A command of the soak.

    Attributes:
        arguments: its command line.
        prepare: makes what it starts from in an empty folder.
        makes: what it leaves of "results", "checkpoints", and "warehouse", to be compared.
        stages: at which it can be killed.
    """

    arguments: tuple[str, ...]
    prepare: Callable[[Base, Path], object]
    makes: tuple[str, ...] = ()
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
    base = Base(here, imported, stays_s)
    write_study_without_models(imported)
    _must_work(attempt(*COMMANDS["import"].arguments, folder=imported))
    return base


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


class Comparison(NamedTuple):
    """How what a command left differs from what it leaves when nothing disturbs it; and rows that are there twice."""

    differing_rows: int
    rows_twice: int
    wrong: list[str]


def compare(folder: Path, command: Command, base: Base) -> Comparison:
    """Compare what a command has made in `folder`, once it is done, with what it made undisturbed."""
    ours = folder / "out"
    theirs = (base.imported if PREDICTIONS_FILE in command.arguments else base.folder) / "out"
    rows, twice, wrong = 0, 0, [f"left behind: {path}" for path in leftovers(folder)]
    for kind, number, message in _differences(ours, theirs, command.makes):
        rows, twice = rows + (kind == "differ") * number, twice + (kind == "twice") * number
        wrong.append(f"{number} rows {kind}: {message}")
    return Comparison(rows, twice, wrong)


def resumed(folder: Path, command: Command, base: Base) -> list[str]:
    """What does not hold once the same command is given again: it must end well, with the rows of the undisturbed."""
    again = attempt(*command.arguments, folder=folder)
    return [f"not resumed: {again.stderr.strip()}"] if again.code else compare(folder, command, base).wrong


def unlike_a_refusal(trial: Trial, says: str = "", code: int | None = None) -> list[str]:
    """What does not hold of a command that had to say what ended it; nothing where none did."""
    try:
        if trial.code:
            check_refusal(trial, says, code)
    except AssertionError as error:
        return [f"not one line of {says or 'an error'}: {error}"]
    return []


def _differences(ours: Path, theirs: Path, makes: tuple[str, ...]) -> Iterator[tuple[str, int, str]]:
    if "results" in makes:
        yield from _differing_shards(ours, theirs)
    if "checkpoints" in makes:
        yield from _differing_models(ours / "checkpoints", theirs / "checkpoints")
    if "warehouse" in makes:
        yield from _differing_tables(ours / "warehouse.duckdb", theirs / "warehouse.duckdb")


_NEEDED = tuple(table.name for table in (PREDICTION_FACTS, ATTENTION, CLEAN_MAPS, EXEMPLARS, MODELS, EVALUATIONS))


def _differing_shards(ours: Path, theirs: Path) -> Iterator[tuple[str, int, str]]:
    """Files of the record whose content hash differs, are too many or missing; images twice in a shard."""
    stored = [
        {str(path.relative_to(output)): read_verified(path) for path in list_published(output / "results", ".parquet")}
        for output in (ours, theirs)
    ]
    for path in sorted(stored[0].keys() | stored[1].keys()):
        mine, other = stored[0].get(path), stored[1].get(path)
        if mine is None and path.split("/")[1] not in _NEEDED:  # a stage before records it
            continue
        if mine is None or other is None or mine.content_hash != other.content_hash:
            yield "differ", max(x.rows.num_rows for x in (mine, other) if x is not None), path
        if mine is not None and path.startswith(f"results/{PREDICTION_FACTS.name}/"):
            twice = mine.rows.num_rows - len(mine.rows["image_id"].unique())
            if twice:
                yield "twice", twice, path


def _differing_models(ours: Path, theirs: Path) -> Iterator[tuple[str, int, str]]:
    """Tensors that differ, model by model."""
    if {path.name for path in ours.iterdir()} != {path.name for path in theirs.iterdir()}:
        yield "differ", 1, f"{sorted(path.name for path in ours.iterdir())}"
        return
    for path in ours.glob("*.safetensors"):
        with safe_open(path, "numpy") as one, safe_open(theirs / path.name, "numpy") as other:
            names = set(one.keys()) | set(other.keys())
            equal = one.metadata() == other.metadata() and set(one.keys()) == set(other.keys())
            if not equal or not all(np.array_equal(one.get_tensor(n), other.get_tensor(n)) for n in names):
                yield "differ", 1, f"the tensors of {path.name}"


def _differing_tables(ours: Path, theirs: Path) -> Iterator[tuple[str, int, str]]:
    """Rows of the warehouse that only one of the two has, and rows of predictions that are there twice."""
    with duckdb.connect() as con:
        con.execute(f"attach '{ours}' as ours (read_only)")
        con.execute(f"attach '{theirs}' as theirs (read_only)")
        names = con.execute("select table_name from duckdb_tables() where database_name = 'theirs'").fetchall()
        for (name,) in names:
            if name in ("shards", "warehouse_info"):  # they tell the time
                continue
            for one, other in (("ours", "theirs"), ("theirs", "ours")):
                (number,) = con.execute(
                    f"select count(*) from (from {one}.{name} except all from {other}.{name})"
                ).fetchone() or (0,)
                if number:
                    yield "differ", number, f"only in {one}: {name}"
        (twice,) = con.execute(
            f"select count(*) - count(distinct ({', '.join(PREDICTION_FACTS.key)})) from ours.{PREDICTION_FACTS.name}"
        ).fetchone() or (0,)
        if twice:
            yield "twice", twice, "predictions"


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


COMMANDS = {
    "run": Command(("run",), _study, ("results", "checkpoints", "warehouse"), STAGES[:-1]),
    "train": Command(("train",), _study, ("checkpoints",), ("nothing yet", "an epoch kept")),
    "evaluate": Command(("evaluate",), _trained, ("results",), ("model trained", "some shards", "all shards")),
    "import": Command(("import", PREDICTIONS_FILE, "--label", "Elsewhere"), _to_import, ("results",),
                      ("nothing yet", "some shards", "all shards")),
    "load": Command(("load",), _evaluated, ("results", "warehouse"), ("all shards", "warehouse being written")),
    "init": Command(("init", "digits"), _nothing),
    "ingest": Command(("ingest",), _study),
    "corrupt": Command(("corrupt", "digits", "--to", "set", "--corruption", "contrast", "--images", "60"), _nothing),
    "status": Command(("status",), _finished),
    "query": Command(("query", "@worst_cells"), _finished),
    "query to a file": Command(("query", "from prediction_facts", "--output", "rows.parquet"), _finished),
    "shapes": Command(("shapes", "--resamples", "200"), _finished),
    "chart": Command(("chart", "curves", "--output", "curves.svg"), _finished),
    "report": Command(("report",), _finished),
}  # fmt: skip
