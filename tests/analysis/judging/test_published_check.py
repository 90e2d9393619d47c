"""A miniature of each protocol against rows of its own accuracies, and mCE against RobustBench's."""

import csv
import json
import shutil
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pytest
from run_commands import run
from synthetic_results import write_synthetic

from failmodes import open as open_results
from failmodes.analysis.judging.published_check import check_published, mean_errors, mean_ratio, published_alexnet
from failmodes.ingest.protocols.protocol import published_protocols
from failmodes.runtime.errors import DataError, StudyError
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.published_files import read_published_file
from failmodes.warehouse.published_layout import CLEAN_CELL, PublishedModel, write_published

PROTOCOLS = published_protocols()
HEADLINE = tuple(PROTOCOLS["imagenet-c"].corruptions)
UNLIKE = ("imagenet-c", "robustbench-imagenet-3dcc", "imagenet-r")  # 15 corruptions, 12 others, none
IMAGES = 40


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    write_synthetic(folder / "results", images=IMAGES, models=("Alpha",), corruptions=HEADLINE)
    load([folder / "results"], folder / "w.duckdb")
    return folder / "w.duckdb"


def miniature(whole: Path, folder: Path, name: str, deviations: str = "[]") -> tuple[Path, dict]:
    """A warehouse whose evaluation states a protocol, with the accuracy of each of its cells."""
    path = Path(shutil.copy(whole, folder / "w.duckdb"))
    renamed = dict(zip(HEADLINE, PROTOCOLS[name].corruptions, strict=False))
    with duckdb.connect(str(path)) as con:
        con.execute(f"update evaluations set protocol = '{name}', deviations = {deviations}")
        con.execute("update datasets set dataset_name = ?", [PROTOCOLS[name].dataset])
        for (table,) in con.execute(
            "select table_name from information_schema.columns join information_schema.tables using (table_name) "
            "where column_name = 'corruption' and table_type = 'BASE TABLE'"
        ).fetchall():
            for old, new in renamed.items():
                if old != new:
                    con.execute(f"update {table} set corruption = ? where corruption = ?", [new, old])
        rows = con.execute(
            "select corruption, severity, value from cell_metrics where metric = 'accuracy' order by all"
        ).fetchall()
    kept = {*PROTOCOLS[name].corruptions, "none"}
    return path, {
        (corruption, severity.normalize()): value for corruption, severity, value in rows if corruption in kept
    }


@pytest.mark.test_all
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in UNLIKE else pytest.mark.nightly) for name in PROTOCOLS]
)
def test_a_miniature_of_each_protocol_reproduces_its_own_accuracies(whole: Path, tmp_path: Path, name: str) -> None:
    path, accuracies = miniature(whole, tmp_path, name)
    if PROTOCOLS[name].corruptions:
        write_published(tmp_path / f"{name}.csv", [PublishedModel("alpha", accuracies)])
    else:
        (tmp_path / f"{name}.csv").write_text(f"model,top1,top5\nalpha,{100 * accuracies[CLEAN_CELL]},99\n")
    (checked,) = check_published(path, [tmp_path / f"{name}.csv"])
    assert (checked.outcome, checked.differences) == ("reproduced", ())
    cells = [number for number in checked.numbers if number.cell is not None]
    assert len(cells) == 1 + 5 * len(PROTOCOLS[name].corruptions)
    assert all(number.measured.value == pytest.approx(number.published) for number in checked.numbers)
    averages = {number.name for number in checked.numbers if number.cell is None}
    assert averages == ({"mean accuracy"} if PROTOCOLS[name].corruptions else set()) | (
        {"mCE, published AlexNet"} if len(PROTOCOLS[name].corruptions) == 15 else set()
    )


def test_another_number_is_not_reproduced_and_another_protocol_is_not_compared(whole: Path, tmp_path: Path) -> None:
    path, accuracies = miniature(whole, tmp_path, "cifar10-c")
    accuracies[CLEAN_CELL] = 0.5
    write_published(tmp_path / "cifar10-c.csv", [PublishedModel("alpha", accuracies)])
    done = run("check", "w.duckdb", "--published", "cifar10-c.csv", folder=tmp_path, expect=1)
    assert "Alpha does not reproduce alpha" in done.stdout
    assert "75 of 76" in done.stdout
    checks = open_results(path).check(tmp_path / "cifar10-c.csv", model="Alpha")
    assert checks.to_text().split() == done.stdout.split()
    assert [number.name for number in checks[0].numbers if not number.is_reproduced] == ["clean"]
    with duckdb.connect(str(path)) as con:
        con.execute("update evaluations set deviations = ['images: 40 instead of 10,000']")
    command = ("check", "w.duckdb", "--published", "cifar10-c.csv", "--format", "json")
    done = run(*command, folder=tmp_path, expect=3)
    (checked,) = json.loads(done.stdout)["checks"]
    assert (checked["outcome"], checked["differences"]) == ("not comparable", ["images: 40 instead of 10,000"])


def test_a_warehouse_without_evaluations_is_refused_in_one_line(whole: Path, tmp_path: Path) -> None:
    path, accuracies = miniature(whole, tmp_path, "cifar10-c")
    write_published(tmp_path / "cifar10-c.csv", [PublishedModel("alpha", accuracies)])
    with duckdb.connect(str(path)) as con:
        con.execute("delete from evaluations")
    done = run("check", "w.duckdb", "--published", "cifar10-c.csv", folder=tmp_path, expect=2)
    assert "has no evaluations" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_formats_of_robustbench_and_timm(whole: Path, tmp_path: Path) -> None:
    path, accuracies = miniature(whole, tmp_path, "robustbench-imagenet-c")
    mean = np.mean([value for (name, _), value in accuracies.items() if name != "none"])
    clean = 100 * accuracies[CLEAN_CELL]
    model = {"dataset": "imagenet", "clean_acc": f"{clean:.2f}", "corruptions_acc_2d": f"{100 * mean:.2f}",
             "corruptions_acc_3d": "50", "corruptions_mce_2d": "", "architecture": "A"}  # fmt: skip
    (tmp_path / "Alpha.json").write_text(json.dumps(model))
    (checked,) = check_published(path, [tmp_path / "Alpha.json"])
    assert [number.name for number in checked.numbers] == ["clean", "mean accuracy"]
    assert checked.outcome == "reproduced"
    timm = f"model,top1,top1_err,top5,top5_err\nalpha,{clean:.3f},0,99,1\nother,50,50,90,10\n"
    (tmp_path / "results-imagenet.csv").write_text(timm)
    (checked,) = check_published(path, [tmp_path / "results-imagenet.csv"])
    assert checked.published_set == "ImageNet validation set"
    assert [number.name for number in checked.numbers] == ["clean"]
    with pytest.raises(StudyError, match="no evaluation here has a published row"):
        check_published(path, [tmp_path / "results-imagenet.csv"], row="absent")
    (tmp_path / "results-imagenet.csv").write_text(timm.replace("50,50", "many,50"))
    with pytest.raises(DataError, match="line 3: top1 'many'"):
        check_published(path, [tmp_path / "results-imagenet.csv"])
    (tmp_path / "Alpha.json").write_text("[1")
    with pytest.raises(DataError, match="not a model of RobustBench"):
        check_published(path, [tmp_path / "Alpha.json"])


def test_mce_over_each_alexnet_is_an_average_of_its_own(whole: Path, tmp_path: Path) -> None:
    path, accuracies = miniature(whole, tmp_path, "robustbench-imagenet-c")
    alexnet = {cell: value / 2 for cell, value in accuracies.items()}
    file = tmp_path / "robustbench-imagenet-c.csv"
    write_published(file, [PublishedModel("alpha", accuracies), PublishedModel("AlexNet", alexnet)])
    (checked,) = check_published(path, [file])
    of_name = {number.name: number for number in checked.numbers if number.cell is None}
    ratios = [
        sum(1 - accuracies[name, Decimal(s)] for s in range(1, 6))
        / sum(1 - alexnet[name, Decimal(s)] for s in range(1, 6))
        for name in HEADLINE
    ]
    own = of_name["mCE, AlexNet on the same images"]
    assert own.published == pytest.approx(np.mean(ratios))
    assert own.measured.value == pytest.approx(np.mean(ratios))
    assert own.measured.low < own.measured.value < own.measured.high
    assert of_name["mCE, published AlexNet"].published != pytest.approx(np.mean(ratios))


@pytest.mark.test_all
def test_mce_of_robustbench_is_as_it_publishes_it(whole: Path, real_data: Path) -> None:
    (published,) = read_published_file(real_data / "robustbench" / "imagenet_corruptions_unaggregated.csv")
    cells = {
        model.name: {(name, float(severity)): value for (name, severity), value in model.accuracies.items() if severity}
        for model in published.models
    }
    alexnet = mean_errors(cells["AlexNet"])
    leaderboard = {"Standard_R50": 76.38, "Hendrycks2020AugMix": 64.17, "Salman2020Do_50_2_Linf": 80.00,
                   "Tian2022Deeper_DeiT-B": 41.70}  # fmt: skip
    for name, mce in leaderboard.items():
        assert round(100 * mean_ratio(cells[name], alexnet), 2) == mce
    with open_warehouse(whole, ["alexnet_errors"]) as con:
        other = 100 * mean_ratio(cells["Standard_R50"], published_alexnet(con))
    assert round(other, 2) == 76.37, "of 50,000 images"


def test_published_files_are_read_by_their_columns(tmp_path: Path) -> None:
    with (tmp_path / "results-other.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["model", "top1", "top5"], ["a", "50", "60"]])
    (published,) = read_published_file(tmp_path / "results-other.csv")
    assert published.name == "results-other"
    with pytest.raises(StudyError, match="no file at"):
        read_published_file(tmp_path / "absent.csv")
