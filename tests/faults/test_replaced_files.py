"""`--output` and its like never destroy what is there: commands × what stands at the path."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from installed_script import SCRIPT
from precious_files import ANOTHER_SUFFIX, FILES, NO_FILES, copy_of, holdings
from synthetic_results import Synthetic

slow = pytest.mark.slow


class Writing(NamedTuple):
    arguments: str  # the file is added, or takes the place of {}
    suffix: str


COMMANDS = {
    "query": Writing("query 'select 1 as a' w.duckdb --output", ".csv"),
    "query Parquet": Writing("query 'select 1 as a' w.duckdb --output", ".parquet"),
    "query format": Writing("query 'select 1 as a' w.duckdb --format csv --output", ".csv"),
    "query list": Writing("query --list --output", ".md"),
    "schema": Writing("schema models w.duckdb --output", ".tex"),
    "report": Writing("report w.duckdb --output", ".html"),
    "chart": Writing("chart curves w.duckdb --output", ".svg"),
    "images": Writing("images w.duckdb --filter true --output", ".png"),
    "compare": Writing("compare Alpha Beta w.duckdb --output", ".json"),
    "gate JUnit": Writing("gate gate.toml w.duckdb --junit", ".xml"),
    "gate Markdown": Writing("gate gate.toml w.duckdb --markdown", ".md"),
    "gate JSON": Writing("gate gate.toml w.duckdb --json", ".json"),
    "claims Markdown": Writing("claims w.duckdb --claims claims.toml --markdown", ".md"),
    "claims JSON": Writing("claims w.duckdb --claims claims.toml --json", ".json"),
    "model card": Writing("publish w.duckdb --format model-card --output", ".md"),
    "Croissant": Writing("publish w.duckdb --format croissant --output", ".json"),
    "RobustBench": Writing("publish w.duckdb --format robustbench --output", ".csv"),
    "ingest": Writing("ingest study.toml --images", ".csv"),
    "init": Writing("init --output", ".toml"),
    "export": Writing("export --evaluation Alpha {} w.duckdb", ".duckdb"),
}
COMMAND_CASES = [
    pytest.param(writing, id=name, marks=() if name == "query Parquet" else slow) for name, writing in COMMANDS.items()
]


@pytest.fixture
def folder(sound_warehouse: Path, tmp_path: Path) -> Path:
    shutil.copy(sound_warehouse, tmp_path / "w.duckdb")
    (tmp_path / "gate.toml").write_text(
        '[gate]\ncandidate = "Alpha"\n[[gate.rules]]\nmetric = "accuracy"\nrelation = "at_least"\nlimit = 0\n'
    )
    (tmp_path / "claims.toml").write_text('[[claims]]\nshape = "flat"\ncorruptions = ["fog"]\n')
    return tmp_path


@pytest.fixture(params=[*NO_FILES, *FILES, "warehouse", "shard", "another suffix", "own link to a warehouse", "device"])
def victim(
    request: pytest.FixtureRequest, sound_warehouse: Path, synthetic: Synthetic
) -> tuple[str, Callable[[Path], object]]:
    shard = next(synthetic.output.glob("results/prediction_facts/**/*.parquet"))
    made = {
        "warehouse": copy_of(sound_warehouse),
        "shard": copy_of(shard),
        "another suffix": copy_of(sound_warehouse),
        "own link to a warehouse": lambda path: path.symlink_to("w.duckdb"),
        "device": lambda path: os.mknod(path, 0o20666, os.makedev(1, 3)),
    }
    return request.param, (NO_FILES | FILES | made)[request.param]


def run(writing: Writing, file: str, folder: Path, more: str = "") -> subprocess.CompletedProcess:
    arguments = writing.arguments if "{}" in writing.arguments else f"{writing.arguments} {{}}"
    command = f"{SCRIPT} {arguments.replace('{}', file)} {more}"
    return subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("writing", COMMAND_CASES)
def test_what_is_there_stays(writing: Writing, victim: tuple[str, Callable[[Path], object]], folder: Path) -> None:
    name, make = victim
    suffix = ANOTHER_SUFFIX.get(writing.suffix, ".duckdb") if name == "another suffix" else writing.suffix
    try:
        make(folder / f"victim{suffix}")
    except PermissionError:
        pytest.skip("making a device takes root")
    before = holdings(folder)
    done = run(writing, f"victim{suffix}", folder)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert f"victim{suffix}" in done.stderr
    assert not done.stdout
    assert holdings(folder) == before


# Through a link, so that no device of the machine is at stake if this fails
@pytest.mark.parametrize("target", ["/dev/null", "/dev/full", "/dev/stdout", "/proc/self/fd/1"])
def test_an_error_on_a_device_mentions_stdout(folder: Path, target: str) -> None:
    (folder / "device").symlink_to(target)
    done = run(COMMANDS["query format"], "device", folder)
    assert done.returncode == 2
    assert "prints to stdout with -" in done.stderr
    assert os.readlink(folder / "device") == target


@pytest.mark.parametrize("url", ["s3://bucket/rows.csv", "https://example.com/rows.csv", "file:///tmp/rows.csv"])
def test_a_url_becomes_no_folder(folder: Path, url: str) -> None:
    before = holdings(folder)
    done = run(COMMANDS["query"], url, folder)
    assert done.returncode == 2
    assert "it is a URL" in done.stderr
    assert holdings(folder) == before


@pytest.mark.parametrize("name", ["query", "query Parquet", pytest.param("report", marks=slow)])
def test_a_former_output_is_replaced(folder: Path, name: str) -> None:
    writing = COMMANDS[name]
    file = folder / f"out{writing.suffix}"
    assert run(writing, file.name, folder).returncode == 0
    first = file.stat().st_ino
    assert run(writing, file.name, folder).returncode == 0
    assert file.stat().st_ino != first


def test_force_replaces_a_file_of_the_own_suffix(folder: Path) -> None:
    for name, make in FILES.items():
        path = folder / "rows.csv"
        path.unlink(missing_ok=True)
        make(path)
        assert run(COMMANDS["query"], path.name, folder, "--force").returncode == 0, name
        assert path.read_text() == "a\n1\n"
    refused = run(COMMANDS["query"], "w.duckdb", folder, "--force")
    assert refused.returncode == 2
    assert "expected a file name that ends in .csv" in refused.stderr


@pytest.mark.slow
def test_export_and_init_replace_with_force_alone(folder: Path) -> None:
    shutil.copy(folder / "w.duckdb", folder / "other.duckdb")
    assert "is there already" in run(COMMANDS["export"], "other.duckdb", folder).stderr
    assert run(COMMANDS["export"], "other.duckdb", folder, "--force").returncode == 0
    itself = run(COMMANDS["export"], "w.duckdb", folder, "--force")
    assert (itself.returncode, "exported from" in itself.stderr) == (2, True)
    (folder / "mine.toml").write_text("kept")
    assert run(COMMANDS["init"], "mine.toml", folder).returncode == 2
    assert run(COMMANDS["init"], "mine.toml", folder, "--force").returncode == 0


@pytest.mark.parametrize("kind", NO_FILES)
def test_load_replaces_no_link_and_no_device(synthetic: Synthetic, tmp_path: Path, kind: str) -> None:
    NO_FILES[kind](tmp_path / "w.duckdb")
    before = holdings(tmp_path)
    done = run(Writing(f"load {synthetic.output} --rebuild --into", ".duckdb"), "w.duckdb", tmp_path)
    assert done.returncode == 2
    assert holdings(tmp_path) == before
