"""Published accuracies in the warehouse: replaced whole, kept by loads, no part of what is measured."""

import shutil
from pathlib import Path

import pytest
from published_files import CURVES, write_published_files
from run_commands import run
from synthetic_results import Synthetic
from warehouse_files import change_file

from failmodes.runtime.errors import StudyError, WarehouseError
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.published import is_of, store_published
from failmodes.warehouse.published_layout import read_published
from failmodes.warehouse.schema import SCHEMA_VERSION

COUNTS = "select published_set, count(*) from published_accuracy group by all order by all"
MEASURED = "select * from accuracy_by_severity order by all"


def rows(path: Path, sql: str) -> list[tuple]:
    with open_warehouse(path) as con:
        return con.execute(sql).fetchall()


@pytest.mark.test_all
def test_a_set_is_replaced_whole_others_stay_and_loads_keep_them(results: Synthetic, tmp_path: Path) -> None:
    path, cells = results.output / "warehouse.duckdb", len(CURVES) * 11
    load([results.output], path)
    before = rows(path, MEASURED)
    first, second = (read_published(write_published_files(tmp_path, name)) for name in ("a", "b"))
    store_published(path, [first, second])
    assert rows(path, COUNTS) == [("a_unaggregated", cells), ("b_unaggregated", cells)]
    store_published(path, [first._replace(models=first.models[:1])])
    assert rows(path, COUNTS) == [("a_unaggregated", 11), ("b_unaggregated", cells)]
    found = rows(path, "from published_accuracy where published_set like 'a%' and corruption = 'none'")
    assert found == [("a_unaggregated", None, "Upper", "net-upper", "A paper", "none", 0, 0.95)]
    with pytest.raises(StudyError, match="two files of published accuracies are called 'a_unaggregated'"):
        store_published(path, [first, first])
    load([results.output], path)
    assert len(rows(path, COUNTS)) == 2
    assert rows(path, MEASURED) == before
    load([results.output], path, rebuild=True)
    assert rows(path, COUNTS) == []


def test_the_command_stops_at_damage_before_it_loads(results: Synthetic, tmp_path: Path) -> None:
    (tmp_path / "damaged.csv").write_text(",fog\n,1\nA,81\n")
    refused = run("load", results.output, "--published", "damaged.csv", folder=tmp_path, expect=1)
    assert "damaged.csv" in refused.stderr
    assert not (results.output / "warehouse.duckdb").exists()


@pytest.mark.test_all
@pytest.mark.parametrize(
    ("of", "text"),
    [pytest.param([], "not stated", marks=pytest.mark.nightly),
     pytest.param(["--published-of", "Nothing"], "no dataset here is Nothing", marks=pytest.mark.nightly),
     (["--published-of", "synthetic DIGITS"], "shown beside models on synthetic DIGITS")],
)  # fmt: skip
def test_the_command_loads_both_or_published_alone(
    results: Synthetic, tmp_path: Path, of: list[str], text: str
) -> None:
    table = write_published_files(tmp_path)
    loaded = run("load", results.output, "--published", table, *of, folder=tmp_path)
    assert text in " ".join(loaded.stderr.split())
    handed = Path(shutil.copy(results.output / "warehouse.duckdb", tmp_path / "handed.duckdb"))
    store_published(handed, [read_published(table)._replace(name="other")])
    run("load", handed, "--published", table, *of, folder=tmp_path)  # no record lies beside it
    assert [name for name, _ in rows(handed, COUNTS)] == ["mine_unaggregated", "other"]


def test_a_file_of_another_version_is_refused(warehouse_copy: Path, tmp_path: Path) -> None:
    change_file(warehouse_copy, "update warehouse_info set schema_version = '1.7'")
    content = warehouse_copy.read_bytes()
    with pytest.raises(WarehouseError, match=rf"version 1\.7, this failmodes reads {SCHEMA_VERSION}: .*--rebuild"):
        store_published(warehouse_copy, [read_published(write_published_files(tmp_path))])
    assert warehouse_copy.read_bytes() == content


@pytest.mark.parametrize(
    ("stated", "label", "fits"),
    [
        ("CIFAR-10", "JPEG copy of CIFAR-10", True),
        ("CIFAR-10", "cifar10 (test)", True),
        ("CIFAR-10", "CIFAR-100", False),
        ("CIFAR-10", "CIFAR-10.1", False),
        ("ImageNet", "ImageNet-R", False),
        ("ImageNet", "ImageNet, first 2,000", True),
        ("my flowers", "My flowers", True),
        ("flow", "My flowers", False),
    ],
)
def test_what_a_published_set_is_of(stated: str, label: str, fits: bool) -> None:
    assert is_of(stated, "folder", label) is fits
    assert is_of("CIFAR-10", "cifar10", "anything")
