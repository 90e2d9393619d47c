"""Data that say little or nothing: a report and findings with their reasons, and never a crash or a claim too many."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import pytest
from checkpoint_comparisons import of_kind
from report_blocks import blocks_of
from rewritten_shards import cell_of, every_cell, make_non_finite, reply_with
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import derivation

from failmodes.analysis.charts.style.frame import PAGE
from failmodes.analysis.evaluations.selection import Selection, select
from failmodes.analysis.judging.stored import findings_of, open_current
from failmodes.analysis.render.blocks import Chart, Sentence, Table
from failmodes.analysis.report import report_charts
from failmodes.analysis.report.rendering import report_part
from failmodes.analysis.report.sections import pairs_by_selection
from failmodes.warehouse.database.load import load

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
    """Of some cells of A, or of all; of some images, or of all."""

    def change(made: Synthetic) -> None:
        for key in [cell_of(made, "A", *cell) for cell in cells] or every_cell(made, "A", SEVERITIES):
            make_non_finite(made, key, images and range(images))

    return change


class Case(NamedTuple):
    """How a record is made; other numbers of images, so that none shares a section with another."""

    images: int
    change: Callable[[Synthetic], None] = lambda _: None
    options: dict[str, object] = {}  # noqa: RUF012


CASES = {
    "one image": Case(1),
    "two images": Case(2),
    "29 images": Case(29),
    "one label": Case(41, options={"one_label": True}),
    "the same answers in every cell": Case(42, with_predictions(lambda own, _: np.where(np.arange(42) < 38, own, 3))),
    "chance": Case(43, with_predictions(lambda own, cell: np.random.default_rng(cell).integers(0, 4, len(own)))),
    "all wrong": Case(44, with_predictions(lambda own, _: (own + 1) % 4)),
    "all right": Case(45, with_predictions(lambda own, _: own)),
    "unpaired": Case(46, options={"paired": False}),
    "clean without numbers": Case(47, without_numbers(("none", 0))),
    "a cell without numbers": Case(48, without_numbers(("fog", 5))),
    "one row without numbers": Case(101, without_numbers(("fog", 5), images=1)),
    "one severity": Case(49, options={"severities": (5,)}),
    "nothing but rows without numbers": Case(50, without_numbers()),
    "one of two models without numbers": Case(51, without_numbers(), {"models": ("A", "B")}),
}
QUICK = ("one image", "unpaired", "nothing but rows without numbers")  # whose reports lack the most


@pytest.fixture(scope="module")
def con(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """A warehouse of all cases, each a section of its own."""
    folder = tmp_path_factory.mktemp("hard")
    for seed, (name, case) in enumerate(CASES.items()):
        options = {"models": ("A",), "corruptions": ("fog", "contrast"), "severities": SEVERITIES} | case.options
        case.change(write_synthetic(folder / name, images=case.images, seed=seed, **options))
    load([folder / name for name in CASES], folder / "w.duckdb", derivation=derivation(resamples=50))
    with open_current(folder / "w.duckdb") as connection:
        yield connection


@pytest.fixture(scope="module")
def selections(con: duckdb.DuckDBPyConnection) -> dict[str, Selection]:
    of_images = {selection.image_count: selection for selection in select(con)}
    return {name: of_images[case.images] for name, case in CASES.items()}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.test_all if name in QUICK else pytest.mark.nightly) for name in CASES],
)
def test_a_report_and_findings_are_made_and_every_figure_is_a_number(
    con: duckdb.DuckDBPyConnection, selections: dict[str, Selection], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(report_charts, "LAYOUTS", {"page": PAGE})
    part = report_part(con, selections[name], *pairs_by_selection(con, Path("w.duckdb"), [selections[name]]))
    blocks = [*part.findings, *part.ranking, *blocks_of(part.sections)]
    texts = [block.text for block in blocks if isinstance(block, Sentence)]
    texts += [block.finding for block in blocks if isinstance(block, Chart)]
    rows = [row for block in blocks if isinstance(block, Table) for row in block.rows]
    texts += [f"{cell.text} {cell.small}" for row in rows for cell in row]
    found = findings_of(con, selections[name])
    texts += [finding.sentence for finding in found]
    assert [text for text in texts if NO_NUMBER.search(text)] == []
    assert np.isfinite([n for one in found for n in (one.value, one.low, one.high) if n is not None]).all()
    for query in {finding.query for finding in found}:
        con.execute(f"from ({query}) limit 1").fetchall()
    if CASES[name].images < 30:
        assert {finding.verdict for finding in found if finding.kind != "few_images"} == {"not_measurable"}
    assert found.headlines


@pytest.mark.test_all
@pytest.mark.parametrize("name", ["the same answers in every cell", "all wrong", "all right", "chance"])
def test_ties_and_chance_are_no_largest_drop(
    con: duckdb.DuckDBPyConnection, selections: dict[str, Selection], name: str
) -> None:
    found = findings_of(con, selections[name])
    assert not of_kind(found, "largest_drop", verdict="supported")
    assert bool(of_kind(found, "at_chance", verdict="supported")) == (name in ("all wrong", "chance"))


@pytest.mark.test_all
@pytest.mark.parametrize(
    ("name", "corruptions"),
    [("clean without numbers", {"fog", "contrast"}), ("a cell without numbers", {"fog"}),
     ("nothing but rows without numbers", {"fog", "contrast"}), ("one row without numbers", set())],
)  # fmt: skip
def test_cells_without_numbers_say_so(
    con: duckdb.DuckDBPyConnection, selections: dict[str, Selection], name: str, corruptions: set[str]
) -> None:
    found = findings_of(con, selections[name])
    withheld = [finding for finding in of_kind(found, "shape") if "finite" in finding.sentence]
    assert {finding.corruption for finding in withheld} == corruptions
    assert not [finding for finding in withheld if finding.verdict in ("supported", "contradicted")]
    assert not corruptions or not of_kind(found, "largest_drop", verdict="supported"), "what is withheld may cost more"
