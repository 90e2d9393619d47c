"""The report: one offline file, everything in it, nothing from outside able to run."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from failmodes.analysis.report.rendering import write_report
from failmodes.warehouse.database.load import load
from failmodes.warehouse.errors import FailmodesError, WarehouseError
from tests.synthetic_record import Synthetic, write_synthetic

HOSTILE = "Alpha <img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    write_synthetic(folder, images=80, models=(HOSTILE,))
    load([folder], folder / "warehouse.duckdb")
    path = write_report(folder / "warehouse.duckdb")
    assert path == folder / "report.html"
    assert not list(folder.glob(".tmp-*"))
    return path.read_text()


def test_nothing_is_loaded_from_outside(page: str) -> None:
    assert not re.findall(r"<(?:script|img|link|iframe)[^>]+(?:src|href)=[\"']?https?:", page)
    assert "default-src 'none'" in page
    assert page.count("window.vegaEmbed = vegaEmbed") <= 1


def test_text_from_outside_is_escaped(page: str) -> None:
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "\\u003cimg src=x" in page  # in the charts' JSON, which no tag can end


def test_it_has_every_part(page: str) -> None:
    for part in ("Findings", "More charts", "Tables", "What cannot be claimed", "How it was made"):
        assert f">{part}</h2>" in page
    for fact in ("Accuracy of Alpha", "Shapes of Alpha", "Steps of Alpha", "Calibration of Alpha", "float32",
                 "synthetic: no real images", "cifar-c recipe, seed 0", "schema 1."):  # fmt: skip
        assert fact in page
    assert len(re.findall(r'class="plot"', page)) == 8
    assert "prefers-color-scheme: dark" in page


def test_commands(synthetic: Synthetic, tmp_path: Path) -> None:
    import typer

    from failmodes.analysis import cli

    app = typer.Typer()
    for command in (cli.shapes, cli.chart, cli.report):
        app.command()(command)
    path = tmp_path / "warehouse.duckdb"
    load([synthetic.output], path)
    runner = CliRunner()
    listed = runner.invoke(app, ["shapes", str(path), "--resamples", "50"], catch_exceptions=False)
    assert listed.exit_code == 0
    assert "late collapse" in listed.stdout
    assert "50 resamples" in listed.stdout
    drawn = runner.invoke(
        app, ["chart", "drops", str(path), "-o", str(tmp_path / "d.svg"), "--model", "Alpha"], catch_exceptions=False
    )
    assert drawn.exit_code == 0
    assert (tmp_path / "d.svg").read_text().startswith("<svg")
    wrong = runner.invoke(app, ["chart", "pie", str(path)])
    assert isinstance(wrong.exception, FailmodesError)
    assert "choose among curves" in str(wrong.exception)


def test_a_missing_warehouse_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="there is no warehouse"):
        write_report(tmp_path / "warehouse.duckdb")
