"""`--output` and its like never destroy what is there: each option that writes, and whatever may stand there."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from marked_cases import quick
from precious_files import FILES, NO_FILES, copy_of, holdings
from run_commands import run
from synthetic_results import Synthetic

QUERY = "query 'select 1 as a' w.duckdb --format csv --output {}"
WRITING = {  # suffix that the command writes, and the command
    "query": (".csv", QUERY),
    "schema": (".tex", "schema models w.duckdb --output {}"),
    "report": (".html", "report w.duckdb --output {}"),
    "chart": (".svg", "chart curves w.duckdb --output {}"),
    "images": (".png", "images w.duckdb --filter true --output {}"),
    "compare": (".json", "compare Alpha Beta w.duckdb --output {}"),
    "gate": (".xml", "gate gate.toml w.duckdb --junit {}"),
    "claims": (".md", "claims w.duckdb --claims claims.toml --markdown {}"),
    "publish": (".json", "publish w.duckdb --format croissant --output {}"),
    "ingest": (".csv", "ingest study.toml --images {}"),
    "init": (".toml", "init --output {}"),
    "export": (".duckdb", "export --evaluation Alpha {} w.duckdb"),
}


@pytest.fixture
def folder(small_warehouse: Path, tmp_path: Path) -> Path:
    shutil.copy(small_warehouse, tmp_path / "w.duckdb")
    rule = '[[gate.rules]]\nmetric = "accuracy"\nrelation = "at_least"\nlimit = 0\n'
    (tmp_path / "gate.toml").write_text(f'[gate]\ncandidate = "Alpha"\n{rule}')
    (tmp_path / "claims.toml").write_text('[[claims]]\nshape = "flat"\ncorruptions = ["fog"]\n')
    return tmp_path


def run_line(command: str, file: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return run(*shlex.split(command.format(file)), folder=folder, expect=None)


def check_kept(command: str, file: str, folder: Path, says: str = "") -> None:
    """Whether a command refuses to write a file, in one line that names it, and leaves all as it is."""
    before = holdings(folder)
    done = run_line(command, file, folder)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done
    assert file.rpartition("/")[2] in done.stderr
    assert says in done.stderr
    assert holdings(folder) == before


@quick("name", WRITING, "query", "gate", "export", "init")
def test_no_command_replaces_a_warehouse_or_a_file_of_another_format(name: str, folder: Path) -> None:
    suffix, command = WRITING[name]
    shutil.copy(folder / "w.duckdb", folder / f"victim{suffix}")
    check_kept(command, f"victim{suffix}", folder)
    other = ".html" if suffix == ".duckdb" else ".duckdb"
    shutil.copy(folder / "w.duckdb", folder / f"victim{other}")
    check_kept(command, f"victim{other}", folder)


@pytest.mark.parametrize("kind", [*NO_FILES, *FILES, "shard", "link to a warehouse", "device"])
def test_whatever_stands_there_stays(kind: str, folder: Path, small_results: Synthetic) -> None:
    made: dict[str, Callable[[Path], object]] = {
        "shard": copy_of(next(small_results.output.glob("results/prediction_facts/**/*.parquet"))),
        "link to a warehouse": lambda path: path.symlink_to("w.duckdb"),
        "device": lambda path: os.mknod(path, 0o20666, os.makedev(1, 3)),
    }
    try:
        (NO_FILES | FILES | made)[kind](folder / "victim.csv")
    except PermissionError:
        pytest.skip("making a device takes root")
    check_kept(QUERY, "victim.csv", folder)


def test_a_device_behind_a_link_and_a_url_are_no_files(folder: Path) -> None:
    (folder / "device").symlink_to("/dev/null")  # through a link, so that no device is at stake if this fails
    check_kept(QUERY, "device", folder, "- prints to stdout")
    check_kept(QUERY, "s3://bucket/rows.csv", folder, "it is a URL")


def test_a_former_output_is_replaced(folder: Path) -> None:
    places = []
    for _ in range(2):
        assert run_line(QUERY, "out.csv", folder).returncode == 0
        places.append((folder / "out.csv").stat().st_ino)
    assert places[0] != places[1]


@pytest.mark.test_all
def test_force_replaces_a_file_of_the_own_suffix_alone(folder: Path) -> None:
    for make in FILES.values():
        (folder / "rows.csv").unlink(missing_ok=True)
        make(folder / "rows.csv")
        assert run_line(f"{QUERY} --force", "rows.csv", folder).returncode == 0
        assert (folder / "rows.csv").read_text() == "a\n1\n"
    check_kept(f"{QUERY} --force", "w.duckdb", folder, "expected a file name that ends in .csv")
    export = f"{WRITING['export'][1]} --force"
    shutil.copy(folder / "w.duckdb", folder / "other.duckdb")
    assert run_line(export, "other.duckdb", folder).returncode == 0
    check_kept(export, "w.duckdb", folder, "exported warehouse")


@pytest.mark.parametrize("kind", NO_FILES)
def test_load_replaces_no_link_and_no_device(small_results: Synthetic, tmp_path: Path, kind: str) -> None:
    NO_FILES[kind](tmp_path / "w.duckdb")
    before = holdings(tmp_path)
    assert run_line(f"load {small_results.output} --rebuild --into {{}}", "w.duckdb", tmp_path).returncode == 2
    assert holdings(tmp_path) == before
