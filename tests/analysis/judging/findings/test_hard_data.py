"""Data that say little or nothing: a report and findings with their reasons, and never a crash or a claim too many."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import pytest
from checkpoint_comparisons import of_kind, words_of
from report_blocks import blocks_of
from rewritten_shards import cell_of, every_cell, make_non_finite, reply_with
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import ensure_shapes

from failmodes.analysis.charts.style.frame import PAGE
from failmodes.analysis.judging.findings.kind import Finding
from failmodes.analysis.judging.stored import findings_of
from failmodes.analysis.render.blocks import Chart, Sentence, Table
from failmodes.analysis.report import report_charts
from failmodes.analysis.report.comparison_section import pairs_by_selection
from failmodes.analysis.report.rendering import report_part
from failmodes.analysis.selection import Selection, select
from failmodes.analysis.statistics.curve_shape import ShapeSettings
from failmodes.analysis.statistics.shape_tables import open_current
from failmodes.warehouse.database.load import load

pytestmark = pytest.mark.slow
SEVERITIES = (2, 5)
NO_NUMBER = re.compile(r"\b(nan|NaN|inf|None)\b")


def with_predictions(predictions: Callable[[np.ndarray, int], np.ndarray]) -> Callable[[Synthetic], None]:
    """Give every cell of A the predictions that its labels and its number lead to."""

    def change(made: Synthetic) -> None:
        labels = np.arange(made.correct["A", "fog"].shape[1]) % 4
        for number, key in enumerate(every_cell(made, "A", SEVERITIES)):
            reply_with(made, key, predictions(labels, number).tolist())

    return change


def without_numbers(*cells: tuple[str, float], images: int | None = None) -> Callable[[Synthetic], None]:
    def change(made: Synthetic) -> None:
        for corruption, severity in cells:
            make_non_finite(made, cell_of(made, "A", corruption, severity), images and range(images))

    return change


def nothing_finite(made: Synthetic) -> None:
    for key in every_cell(made, "A", SEVERITIES):
        make_non_finite(made, key)


class Case(NamedTuple):
    """How a record is made; other numbers of images, so that none shares a section with another."""

    images: int
    change: Callable[[Synthetic], None] = lambda _: None
    options: dict[str, object] = {}  # noqa: RUF012
    few: bool = False


CASES = {
    "one image": Case(1, few=True),
    "two images": Case(2, few=True),
    "29 images": Case(29, few=True),
    "one label": Case(41, options={"one_label": True}),
    "all answers the same in every cell": Case(
        42, with_predictions(lambda labels, _: np.where(np.arange(42) < 38, labels, 3))
    ),
    "chance": Case(43, with_predictions(lambda labels, cell: np.random.default_rng(cell).integers(0, 4, len(labels)))),
    "all wrong": Case(44, with_predictions(lambda labels, _: (labels + 1) % 4)),
    "all right": Case(45, with_predictions(lambda labels, _: labels)),
    "unpaired": Case(46, options={"paired": False}),
    "clean without numbers": Case(47, without_numbers(("none", 0))),
    "a cell without numbers": Case(48, without_numbers(("fog", 5))),
    "one row without numbers": Case(101, without_numbers(("fog", 5), images=1)),
    "one severity": Case(49, options={"severities": (5,)}),
    "nothing but rows without numbers": Case(50, nothing_finite),
    "one of two models without numbers": Case(51, nothing_finite, {"models": ("A", "B")}),
}


@pytest.fixture(scope="module")
def hard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse of all cases, each a section of its own."""
    folder = tmp_path_factory.mktemp("hard")
    for seed, (name, case) in enumerate(CASES.items()):
        options = {"models": ("A",), "corruptions": ("fog", "contrast"), "severities": SEVERITIES} | case.options
        case.change(write_synthetic(folder / name, images=case.images, seed=seed, **options))
    load([folder / name for name in CASES], folder / "w.duckdb")
    ensure_shapes(folder / "w.duckdb", ShapeSettings(resamples=50))
    return folder / "w.duckdb"


@pytest.fixture(scope="module")
def con(hard: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_current(hard) as connection:
        yield connection


@pytest.fixture(scope="module")
def selections(con: duckdb.DuckDBPyConnection) -> dict[str, Selection]:
    of_images = {selection.image_count: selection for selection in select(con)}
    return {name: of_images[case.images] for name, case in CASES.items()}


@pytest.mark.parametrize("name", CASES)
def test_a_section_of_a_report_is_made_with_its_reasons(
    con: duckdb.DuckDBPyConnection, selections: dict[str, Selection], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(report_charts, "FRAMES", {"page": PAGE})
    part = report_part(con, selections[name], *pairs_by_selection(con, Path("w.duckdb"), [selections[name]]))
    blocks = [*part.verdict, *part.ranking, *blocks_of(part.sections)]
    tables = [block for block in blocks if isinstance(block, Table)]
    assert tables
    assert part.ranking
    texts = [block.text for block in blocks if isinstance(block, Sentence)]
    texts += [block.finding for block in blocks if isinstance(block, Chart)]
    texts += [f"{cell.text} {cell.small}" for table in tables for row in table.rows for cell in row]
    compared = [section for section in part.sections if section.title == "Comparison"]
    assert len(compared) == (len(selections[name].evaluations) == 2)
    assert [text for text in texts if NO_NUMBER.search(text)] == []
    verdict = [one for one in part.verdict if isinstance(one, Sentence) and one.role == "lead"]
    assert len(verdict) == 1 if CASES[name].few else len(verdict) >= 1
    headlines = findings_of(con, selections[name]).headlines
    assert headlines
    for line in headlines:
        assert len(words_of(line.sentence)) <= 30


@pytest.mark.parametrize("name", CASES)
def test_every_figure_is_a_number_and_every_query_returns_rows(
    con: duckdb.DuckDBPyConnection, selections: dict[str, Selection], name: str
) -> None:
    found = findings_of(con, selections[name])
    assert len(found) > 5
    for finding in found:
        figures = [figure for figure in (finding.value, finding.low, finding.high) if figure is not None]
        assert np.isfinite(figures).all()
        assert len(words_of(finding.uncorrected().sentence)) <= 30
        assert not NO_NUMBER.search(finding.sentence)
    for query in {finding.query for finding in found}:
        con.execute(f"from ({query}) limit 1").fetchall()
    if CASES[name].few:
        assert {finding.verdict for finding in found if finding.kind != "few_images"} == {"not_measurable"}
        (line,) = found.headlines
        assert f"{CASES[name].images}\u00a0image" in line.sentence


def withheld(findings: list[Finding]) -> set[str]:
    return {f.corruption or "" for f in findings if "finite" in f.sentence}


def test_cells_without_numbers_say_so(con: duckdb.DuckDBPyConnection, selections: dict[str, Selection]) -> None:
    for name, corruptions in (("clean without numbers", {"fog", "contrast"}), ("a cell without numbers", {"fog"})):
        found = findings_of(con, selections[name])
        assert withheld(of_kind(found, "shape")) == corruptions
        assert withheld(of_kind(found, "largest_drop")) == {"fog", "contrast"}, "what is withheld might cost more"
        assert not of_kind(found, "largest_drop", verdict="supported")
        for finding in found:
            if finding.kind in ("shape", "largest_drop"):
                assert finding.corruption not in corruptions or finding.verdict in ("inconclusive", "not_measurable")
        assert "Numbers" in {limitation.topic for limitation in found.limitations}
    assert withheld(of_kind(findings_of(con, selections["nothing but rows without numbers"]), "shape")) == {
        "fog", "contrast",
    }  # fmt: skip
    assert withheld(list(findings_of(con, selections["one row without numbers"]))) == set()
