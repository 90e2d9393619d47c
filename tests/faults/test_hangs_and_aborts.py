"""What once hung, aborted or looked outside the warehouse: labels, names, files beside it, limits, hangups."""

import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import duckdb
import numpy as np
import pytest
from fault_trials import (
    MAX_S,
    WITH_TORCH_S,
    Trial,
    attempt,
    attempt_here,
    check_refusal,
    half_written,
    listing,
    refused,
    stop,
)
from marked_cases import quick

from failmodes.runtime.packages import require

COUNT = ("query", "select count(*) from models")
FORBIDDEN = "\x1b[2J\x01\x0b\ufffe\uffff"  # by XML


@pytest.fixture(scope="module")
def labeled(small_warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `w.duckdb`, every label of which holds characters that XML forbids; read only."""
    folder = tmp_path_factory.mktemp("labeled")
    shutil.copy(small_warehouse, folder / "w.duckdb")
    with duckdb.connect(str(folder / "w.duckdb")) as con:
        for table, column in (
            ("models", "model_label"), ("classes", "class_name"), ("datasets", "dataset_label"),
            ("corruptions", "corruption_label"), ("corruptions", "corruption_group"), ("sources", "source_label"),
        ):  # fmt: skip
            con.execute(f"update {table} set {column} = coalesce({column}, '') || ?", [FORBIDDEN])
    return folder


DRAWN = {
    "svg": ("chart", "curves", "--output", "c.svg"),
    "images": ("images", "--filter", "image_id < 2 and severity = 1", "--output", "c.svg"),
    **{suffix: ("chart", "curves", "--output", f"c.{suffix}") for suffix in ("png", "pdf", "html", "json")},
    **{name: ("chart", name, "--output", "c.svg") for name in ("confusion", "exemplars", "ranking", "predictions")},
    "parts": ("chart", "accuracy", "--by", "corruption_group", "--output", "c.svg"),
    "dark": ("chart", "accuracy", "--theme", "dark", "--output", "c.svg"),
}


@pytest.mark.test_all
@quick("name", DRAWN, "svg", others="nightly")
def test_a_label_that_xml_forbids_is_drawn(labeled: Path, tmp_path: Path, name: str) -> None:
    words = DRAWN[name]
    trial = attempt_here(*words, str(labeled / "w.duckdb"), folder=tmp_path)
    assert trial.code == 0, trial
    written = (tmp_path / words[-1]).read_bytes()
    assert b"\x1b" not in written or name in ("png", "pdf")  # bytes of which mean something else
    if words[-1].endswith(".svg"):
        texts = "".join(ElementTree.fromstring(written).itertext())
        assert "\ufffd" in texts
        assert "undefined" not in texts


def beside(name: str, make: Callable[[Path], object]) -> Callable[[Path], Path]:
    """A good warehouse, and `make` at a name beside it."""

    def prepared(folder: Path) -> Path:
        make(folder / name)
        return folder / "w.duckdb"

    return prepared


def linked(folder: Path) -> Path:
    """A link to a good warehouse, beside which a pipe has the name of the log."""
    os.mkfifo(folder / "link.duckdb.wal")
    (folder / "link.duckdb").symlink_to(folder / "w.duckdb")
    return folder / "link.duckdb"


def renamed(name: str) -> Callable[[Path], Path]:
    return lambda folder: Path(shutil.move(folder / "w.duckdb", folder / name))


def of_sqlite(name: str) -> Callable[[Path], Path]:
    def prepared(folder: Path) -> Path:
        with sqlite3.connect(folder / name) as con:
            con.execute("create table models (model_label)")
        con.close()
        return folder / name

    return prepared


WAL, LOCK = "w.duckdb.wal", ".w.duckdb.lock"
UNFINISHED, NO_DATABASE = "exists beside the warehouse", "not a valid DuckDB database"
REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a pipe for the log": (beside(WAL, os.mkfifo), UNFINISHED),
    "a link for the log": (beside(WAL, lambda path: path.symlink_to("/etc/passwd")), UNFINISHED),
    "a link to nothing for the log": (beside(WAL, lambda path: path.symlink_to("nothing")), UNFINISHED),
    "a folder for the log": (beside(WAL, Path.mkdir), UNFINISHED),
    "a log of something else": (beside(WAL, lambda path: path.write_bytes(b"foreign" * 999)), UNFINISHED),
    "a pipe for the log of a checkpoint": (beside(f"{WAL}.checkpoint", os.mkfifo), UNFINISHED),
    "a pipe for the log of a recovery": (beside(f"{WAL}.recovery", os.mkfifo), UNFINISHED),
    "SQLite": (of_sqlite("a.duckdb"), NO_DATABASE),
    "SQLite by its prefix": (of_sqlite("sqlite:a.duckdb"), NO_DATABASE),
    "SQLite named as a lake": (of_sqlite("ducklake:a.duckdb"), NO_DATABASE),
}
READ = {
    **{name: renamed(name) for name in ("sqlite:w.duckdb", "ducklake:w.duckdb", "md:w.duckdb", "a'; b.duckdb")},
    "a pipe for the lock": beside(LOCK, os.mkfifo),  # which only writers need
    "a pipe beside a link": linked,
}


@pytest.fixture
def home(handed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder with a warehouse `w.duckdb`, and an extension of SQLite that is none."""
    shutil.copy(handed / "warehouse.duckdb", tmp_path / "w.duckdb")
    with duckdb.connect() as con:
        (platform,) = con.execute("pragma platform").fetchone() or ("",)
    extensions = tmp_path / ".duckdb" / "extensions" / f"v{duckdb.__version__}" / platform
    extensions.mkdir(parents=True)
    for name in ("sqlite_scanner", "ducklake", "motherduck"):
        (extensions / f"{name}.duckdb_extension").write_bytes(b"trap")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_would_block_or_load_an_extension_is_refused(home: Path, name: str) -> None:
    make, says = REFUSED[name]
    path = make(home)
    trial = refused(*COUNT, path.name, folder=home, says=says, most_s=MAX_S)
    assert "xtension" not in trial.stderr


@pytest.mark.parametrize("name", READ)
def test_a_name_does_not_change_how_a_warehouse_is_read(home: Path, name: str) -> None:
    trial = attempt(*COUNT, READ[name](home).name, "--format", "csv", folder=home)
    assert (trial.code, trial.stdout.split()) == (0, ["count_star()", "2"]), trial
    assert trial.elapsed_s < MAX_S


@pytest.mark.parametrize("size", [0, 100, 4096, 1 << 20])
def test_a_truncated_warehouse_is_refused(home: Path, size: int) -> None:
    os.truncate(home / "w.duckdb", size)
    refused(*COUNT, "w.duckdb", folder=home, says="cannot be opened as a DuckDB database", code=1)


NOT_ROOT = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


@pytest.mark.test_all
@quick("name", ("read-only", "missing", ""), "read-only", others="nightly")
def test_no_home_is_needed(handed: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "read-only").mkdir(mode=0o555)
    environment = {"HOME": str(tmp_path / name) if name else ""}
    trial = attempt(*COUNT, folder=handed, environment=environment, through=NOT_ROOT)
    assert trial.code == 0, trial


@pytest.mark.parametrize("letters", [250, 255, 300])
def test_a_name_too_long_for_a_file_is_one_line(handed: Path, tmp_path: Path, letters: int) -> None:
    name = f"{'a' * (letters - 4)}.csv"
    refused(*COUNT, handed / "warehouse.duckdb", "--output", name, folder=tmp_path, says="cannot write", code=1)
    assert not list(tmp_path.iterdir())


LOCKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pipe": (os.mkfifo, "it is a named pipe"),
    "a link": (lambda path: path.symlink_to("precious"), "it is a symbolic link"),
    "a folder": (Path.mkdir, "it is a folder"),
}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_that_is_no_file_is_refused(handed: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "results").mkdir()
    make, says = LOCKS[name]
    make(tmp_path / LOCK)
    refused("load", "results", "--into", "w.duckdb", folder=tmp_path, says=says, most_s=MAX_S)
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_package_that_another_thread_imports_counts_as_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As two pages of the explorer do at once: OpenCV's module has no specification while it loads."""
    half_imported = ModuleType("cv2")
    half_imported.__spec__ = None
    monkeypatch.setitem(sys.modules, "cv2", half_imported)
    require("images", "a test", ["cv2"])


def onnx_bomb(path: Path, *nodes: tuple[str, list[str], str], **constants: Any) -> None:
    """A graph that asks for terabytes before it has logits."""
    onnx = pytest.importorskip("onnx")
    made = [onnx.helper.make_node(kind, inputs, [output]) for kind, inputs, output in nodes]
    made += [onnx.helper.make_node("GlobalAveragePool", ["x"], ["p"]), onnx.helper.make_node("Flatten", ["p"], ["f"])]
    made += [onnx.helper.make_node("Add", ["f", "m"], ["a"]), onnx.helper.make_node("MatMul", ["a", "w"], ["y"])]
    weights = {"w": np.ones((3, 10), np.float32), **constants}
    values = [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()]
    floats = onnx.TensorProto.FLOAT
    ends = [
        onnx.helper.make_tensor_value_info(*end) for end in (("x", floats, ["n", 3, 32, 32]), ("y", floats, ["n", 10]))
    ]
    graph = onnx.helper.make_graph(made, "bomb", ends[:1], ends[1:], values)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)


SUMMED = ("ReduceMean", ["c"], "m")
BOMBS: dict[str, Callable[[Path], None]] = {
    "a constant": lambda path: onnx_bomb(path, ("ConstantOfShape", ["s"], "c"), SUMMED, s=np.array([10**12])),
    "an expansion": lambda path: onnx_bomb(
        path, ("Expand", ["o", "s"], "c"), SUMMED, o=np.ones(1, np.float32), s=np.array([10**6, 10**6])
    ),
}
STUDY_OF_A_BOMB = """
name = "bomb"
output = "out"
[dataset]
kind = "digits"
images = 20
[corruptions]
names = ["contrast"]
severities = [1]
[[models]]
label = "Bomb"
architecture = "onnx:bomb.onnx"
input_side_px = 32
normalization = { mean = [0.5, 0.5, 0.5], std = [0.5, 0.5, 0.5] }
"""


@pytest.mark.nightly
@pytest.mark.parametrize("name", BOMBS)
def test_a_graph_that_asks_for_terabytes_is_one_line(tmp_path: Path, name: str) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "study.toml").write_text(STUDY_OF_A_BOMB)
    BOMBS[name](tmp_path / "bomb.onnx")
    refused("evaluate", folder=tmp_path, says="bomb.onnx", code=1, most_s=WITH_TORCH_S)


HOURS = {
    "a distance of texts": "select max(levenshtein(repeat('ab', 900000), repeat('ba', 900000)))",
    "a text of gigabytes": "select length(repeat('a', 4000000000))",
    "a sum of a list": "select list_sum(range(1000000000))",
    "a list of microseconds": "select len(generate_series(timestamp '2000-01-01', timestamp '2100-01-01', "
    "interval 1 microsecond))",
    "rows of microseconds": "select unnest(generate_series(timestamp '2000-01-01', timestamp '2000-01-01 02:00:00', "
    "interval 1 microsecond))",
}
LIMIT_S, GRACE_S = 2, 1
STARTS_AND_ENDS_S = 8  # more than a process takes, and for the system to take back its memory


@pytest.mark.nightly
@pytest.mark.parametrize("name", HOURS)
@pytest.mark.parametrize("output", ["-", "rows.csv"])
def test_a_query_ends_soon_after_its_limit(handed: Path, tmp_path: Path, name: str, output: str) -> None:
    words = ("query", HOURS[name], handed / "warehouse.duckdb", "--timeout", str(LIMIT_S))
    trial = attempt(*words, *(() if output == "-" else ("--output", output)), folder=tmp_path)
    check_refusal(trial, code=1)
    assert len(trial.stderr.splitlines()) == 1
    assert trial.elapsed_s < LIMIT_S + GRACE_S + STARTS_AND_ENDS_S, trial
    assert not list(tmp_path.iterdir())


@pytest.mark.nightly
def test_a_filter_that_does_not_return_ends_as_soon_as_a_query_that_does(handed: Path) -> None:
    condition = "length(repeat('a', 500000000 + label)) > 0"
    ended = [
        attempt(*words, "--timeout", "3", folder=handed)
        for words in (("query", CROSS), ("compare", "Alpha", "Beta", "--filter", condition))
    ]
    for trial in ended:
        check_refusal(trial, "stopped after 3 s")
    assert ended[1].elapsed_s < ended[0].elapsed_s + 3


@pytest.mark.nightly
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_function_that_does_not_return(handed: Path, sign: signal.Signals) -> None:
    trial = signaled(handed, sign, HOURS["a list of microseconds"])
    check_refusal(trial, "stopped", 130 if sign == signal.SIGINT else 143)
    assert trial.elapsed_s < GRACE_S + STARTS_AND_ENDS_S, trial


CROSS = "select count(*) from range(1_000_000) as a(i), range(1_000_000) as b(j) where hash(a.i, b.j) = 0"
HANGS_UP = ("env", "--default-signal=HUP")  # whatever the process that runs the tests does with it


def signaled(handed: Path, sign: signal.Signals, sql: str, through: tuple[str, ...] = HANGS_UP) -> Trial:
    """A query of 30 s at most, which gets a signal when it is at work."""
    return attempt(
        "query",
        sql,
        "--timeout",
        "30",
        folder=handed,
        through=through,
        meanwhile=lambda number: stop(number, sign, at_work=True),
    )


@pytest.mark.test_all
def test_a_closed_terminal_ends_a_command_in_one_line(handed: Path) -> None:
    trial = signaled(handed, signal.SIGHUP, CROSS)
    check_refusal(trial, "stopped", 143)
    assert len(trial.stderr.splitlines()) == 1
    assert not half_written(handed)


@pytest.mark.test_all
def test_a_command_without_hangups_goes_on(handed: Path) -> None:
    def close_the_terminal(number: int) -> None:
        stop(number, signal.SIGHUP, at_work=True)
        stop(number, signal.SIGTERM, at_work=True)

    trial = attempt("query", CROSS, folder=handed, through=("nohup",), meanwhile=close_the_terminal)
    check_refusal(trial, "stopped", 143)


def test_the_output_folder_of_a_study_is_named_before_anything_is_written(tmp_path: Path) -> None:
    here = tmp_path / "a" / "b"
    here.mkdir(parents=True)
    study = 'name = "far"\noutput = "../../elsewhere"\n[dataset]\nkind = "folder"\npath = "none"\n'
    (here / "study.toml").write_text(f'{study}[corruptions]\nnames = ["fog"]\nseverities = [1]\n')
    trial = refused("ingest", folder=here)
    assert trial.stderr.splitlines()[0] == f"output folder: {tmp_path / 'elsewhere'}"
    assert list(listing(tmp_path)) == ["a/b/study.toml"]
