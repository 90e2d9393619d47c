"""With more than four networks, findings, tables and titles count instead of listing; noise is no cost."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import duckdb
import numpy as np
import pytest
from scipy import stats

from failmodes.analysis.charts.curve_panel import BACKGROUND_GREY
from failmodes.analysis.charts.drawing import CHARTS
from failmodes.analysis.charts.onset import _finding as onset_sentence
from failmodes.analysis.charts.style.labels import PlotArea, chance_label_position
from failmodes.analysis.estimate import Estimate
from failmodes.analysis.findings.attention import drift_sentence
from failmodes.analysis.findings.calibration import overconfidence_tally
from failmodes.analysis.findings.collection import findings
from failmodes.analysis.findings.corruption_cost import costliest_on_average_sentence, costliest_sentence
from failmodes.analysis.findings.finding import Finding
from failmodes.analysis.findings.model_comparison import leader_sentence, many_pairs
from failmodes.analysis.report.comparison_tables import pair_tables
from failmodes.analysis.report.rendering import _chapter as chapter
from failmodes.analysis.selection import EvaluationInfo, Selection, select_one
from failmodes.analysis.statistics.attention import CellDrift
from failmodes.analysis.statistics.curve_shape import ShapeSettings
from failmodes.analysis.statistics.mcnemar import CellTest, PairTest, compare_pairs, correct_jointly, rank_by_wins
from failmodes.analysis.statistics.shape_tables import ensure_shapes
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from tests.synthetic_record import Synthetic, write_synthetic

# two stand firm, one falls most; by alphabet neither the firmest nor the weakest comes first
FALLS = {"Aspen": 1.0, "Birch": 0.0, "Cedar": 1.8, "Douglas": 1.0, "Elm": 1.0, "Fir": 0.0}

CORRUPTIONS = ("contrast", "motion_blur")


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return write_synthetic(
        tmp_path_factory.mktemp("many"), images=80, models=tuple(FALLS), falls=FALLS, corruptions=CORRUPTIONS,
        severities=(2, 5),
    )  # fmt: skip


@pytest.fixture(scope="module")
def con(record: Synthetic) -> Iterator[duckdb.DuckDBPyConnection]:
    path = record.output / "warehouse.duckdb"
    load([record.output], path)
    ensure_shapes(path, ShapeSettings(resamples=100))
    with open_warehouse(path) as connection:
        yield connection


@pytest.fixture(scope="module")
def selection(con: duckdb.DuckDBPyConnection) -> Selection:
    return select_one(con)


def comparisons(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    return [finding for finding in findings(con, selection) if finding.topic == "Comparison"]


def test_all_pairs_are_one_finding_with_counts_and_method(
    con: duckdb.DuckDBPyConnection, selection: Selection, record: Synthetic
) -> None:
    (found,) = comparisons(con, selection)
    assert found.headline.startswith("As checkpoints on these images, of 15\u00a0pairs of networks ")
    assert (
        f"{found.figures['pairs_decided']} are decided; Birch and Fir are each right more often than" in found.headline
    )
    for words in ("exact McNemar tests, Holm's correction over all 75 cells of all pairs", "one training run"):
        assert words in found.detail
    assert found.figures["pairs_decided"] == len(decided_by_hand(record))
    assert found.verdict == "found"


def decided_by_hand(record: Synthetic) -> list[tuple[str, str]]:
    """Pairs decided at 0.05 by SciPy's exact test and Holm over all cells, written as (more, less often right)."""
    rows = []
    for a, b in combinations(FALLS, 2):
        for corruption, row in [(CORRUPTIONS[0], 0), *((c, r) for c in CORRUPTIONS for r in (1, 2))]:
            x, y = record.correct[a, corruption][row], record.correct[b, corruption][row]
            only_a, only_b = int((x & ~y).sum()), int((y & ~x).sum())
            p = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
            rows.append((p, (a, b) if only_a > only_b else (b, a)))
    rejected = []
    for rank, (p, way) in enumerate(sorted(rows)):
        if p * (len(rows) - rank) >= 0.05:
            break
        rejected.append(way)
    return [way for way in dict.fromkeys(rejected) if way[::-1] not in rejected]


def test_all_pairs_are_one_matrix_in_order_of_standing(
    con: duckdb.DuckDBPyConnection, selection: Selection, record: Synthetic
) -> None:
    (matrix,) = pair_tables(con, selection)
    names = [row[0].text.split(". ")[1] for row in matrix.rows]
    assert set(names[:2]) == {"Birch", "Fir"}
    assert names[-1] == "Cedar"
    won = {(a, b): cell.text.isdigit() for a, row in zip(names, matrix.rows, strict=True)
           for b, cell in zip(names, row[3:], strict=True)}  # fmt: skip
    assert {pair for pair, is_won in won.items() if is_won} == set(decided_by_hand(record))
    assert all(row[3 + place].text == "\u2013" for place, row in enumerate(matrix.rows))


def test_up_to_four_networks_keep_a_finding_and_a_table_a_pair(con: duckdb.DuckDBPyConnection) -> None:
    four = select_one(con, models=["Aspen", "Birch", "Cedar", "Fir"])
    assert len(comparisons(con, four)) == len(pair_tables(con, four)) == 6
    assert comparisons(con, four)[0].headline.startswith("Whether Aspen or Birch has the more robust ")


def evaluation(label: str) -> EvaluationInfo:
    return EvaluationInfo(label, label, {"training_recipe": None, "architecture": label})


def pair(a: str, b: str, *counts: tuple[int, int]) -> PairTest:
    cells = tuple(CellTest("fog", place, x, y, 100, 1.0) for place, (x, y) in enumerate(counts))
    return PairTest(evaluation(a), evaluation(b), cells)


def test_correction_over_all_pairs_by_hand() -> None:
    # two-sided p of (7, 0) is 2 / 2**7 = .015625; alone it is below .05, of four cells it is .0625
    tested = correct_jointly([pair("A", "B", (7, 0), (1, 1)), pair("A", "C", (1, 1), (1, 1))])
    assert tested[0].cells[0].adjusted_p == pytest.approx(4 * 2 / 2**7)
    assert correct_jointly([pair("A", "B", (7, 0))])[0].cells[0].adjusted_p == pytest.approx(2 / 2**7)
    assert not tested[0].winner


def test_a_pair_with_cells_won_both_ways_is_not_decided() -> None:
    (split,) = correct_jointly([pair("A", "B", (20, 0), (0, 20), (1, 1))])
    assert split.is_split
    assert not split.winner
    found = many_pairs([split, pair("A", "C", (1, 1)), pair("B", "C", (1, 0))], {"A": 0.9, "B": 0.9, "C": 0.8})
    assert found.headline == "As checkpoints on these images, of 3\u00a0pairs of networks none is decided."
    assert found.verdict == "undecided"
    assert "in 1 each of the two is ahead in some cells, 2 cannot be told apart" in found.detail
    assert "clean accuracies lie more than 0.5\u00a0points apart in 2\u00a0pairs" in found.detail


@pytest.mark.parametrize(
    ("won", "words"),
    [
        (("AB", "AC", "AD"), "A is right more often than 3 of the 3 others"),
        (("AC", "AD", "BC", "BD"), "A and B are each right more often than 2 of the 3 others"),
        (("AB",), "no network is right more often than most of the others"),
    ],
    ids=["one", "two", "none"],
)
def test_leading_words(won: tuple[str, ...], words: str) -> None:
    pairs = [pair(a, b, (30, 0) if a + b in won else (1, 1)) for a, b in combinations("ABCD", 2)]
    assert leader_sentence(rank_by_wins(correct_jointly(pairs))) == words


def test_pairs_of_the_record_are_corrected_pair_by_pair_before(
    con: duckdb.DuckDBPyConnection, selection: Selection
) -> None:
    alone, joint = compare_pairs(con, selection), correct_jointly(compare_pairs(con, selection))
    both = [(a.adjusted_p, b.adjusted_p) for x, y in zip(alone, joint, strict=True)
            for a, b in zip(x.cells, y.cells, strict=True)]  # fmt: skip
    assert all(one <= all_of_them for one, all_of_them in both)
    assert any(one < all_of_them for one, all_of_them in both)


def test_the_title_of_a_chapter_counts_networks(
    con: duckdb.DuckDBPyConnection, selection: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("failmodes.analysis.report.rendering.CHARTS", {})  # drawn elsewhere
    four = select_one(con, models=["Aspen", "Birch", "Cedar", "Elm"])
    assert chapter(con, selection).title == "How 6\u00a0networks fail on Synthetic digits"
    assert chapter(con, four).title == "How Aspen, Birch, Cedar and Elm fail on Synthetic digits"


def test_noise_is_no_dearest_corruption(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    told = costliest_sentence(con, selection)
    assert told.startswith("Dearest corruption at the last severity, among 4 of 6 networks: ")
    assert told.endswith("; the other 2 lose no accuracy beyond sampling noise")
    assert sum(int(word) for word in told.split(": ")[1].split(";")[0].split() if word.isdigit()) == 4
    average = costliest_on_average_sentence(con, selection)
    assert average.startswith("Dearest corruption on average over severities, among 4 of 6 networks: ")


@pytest.mark.parametrize(
    ("models", "dearest", "average"),
    [
        (["Birch"], "No corruption costs Birch accuracy at severity 5 beyond sampling noise",
         "On average over severities, no corruption costs Birch accuracy beyond sampling noise"),
        (["Aspen", "Birch"], "; No corruption costs Birch accuracy at severity 5 beyond sampling noise",
         "; no corruption costs Birch accuracy beyond sampling noise"),
    ],
    ids=["one", "two"],
)  # fmt: skip
def test_few_networks_say_so_where_nothing_costs(
    con: duckdb.DuckDBPyConnection, models: list[str], dearest: str, average: str
) -> None:
    few = select_one(con, models=models)
    assert costliest_sentence(con, few).endswith(dearest)
    assert costliest_on_average_sentence(con, few).endswith(average)
    costs = [finding for finding in findings(con, few) if finding.topic == "Cost"]
    assert costs[-1].verdict == "undecided"
    assert costs[-1].headline == "No corruption costs Birch accuracy at severity 5 beyond sampling noise."


@pytest.mark.parametrize(
    ("models", "fall", "start"),
    [
        ("ABC", 0.0, "No corruption costs any of 3 networks accuracy beyond sampling noise"),
        ("ABCDE", 1.0, "Fog costs all 5 networks most: from "),
    ],
    ids=["nothing costs", "one corruption costs all"],
)
def test_titles_where_all_networks_agree(tmp_path: Path, models: str, fall: float, start: str) -> None:
    record = write_synthetic(tmp_path, images=40, models=tuple(models), falls=dict.fromkeys(models, fall),
                             corruptions=("fog",), severities=(5,))  # fmt: skip
    path = tmp_path / "warehouse.duckdb"
    load([record.output], path)
    ensure_shapes(path, ShapeSettings(resamples=50))
    with open_warehouse(path) as con:
        told = costliest_sentence(con, select_one(con))
    assert told.startswith(start)
    if fall:
        right = [record.correct[label, "fog"] for label in models]
        drops = sorted(100 * (rows[0].mean() - rows[1].mean()) for rows in right)
        low, high = told.removeprefix(start).split(" to ")
        assert low.startswith(f"{drops[0]:.1f}\u00a0points [")
        assert high.startswith(f"{drops[-1]:.1f}\u00a0points [")


def test_flat_curves_are_counted(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    spec = CHARTS["shapes"](con, selection).to_dict()
    assert "not shown, because flat: 4\u00a0curves of 2 networks" in spec["usermeta"]["subtitle"]


def test_curves_colour_the_most_and_the_least_accurate(
    con: duckdb.DuckDBPyConnection, selection: Selection, record: Synthetic
) -> None:
    means = {label: np.mean([record.correct[label, c][1:].mean() for c in CORRUPTIONS]) for label in FALLS}
    most, least = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
    chart = CHARTS["curves"](con, selection)
    spec = chart.to_dict()
    text = [row.get("text", "") for rows in spec["datasets"].values() for row in rows]
    assert f"{most}, highest mean accuracy ({100 * means[most]:.1f}\u00a0%)" in text
    assert f"{least}, lowest mean accuracy ({100 * means[least]:.1f}\u00a0%)" in text
    assert "of 6 networks those with the highest and the lowest mean accuracy" in spec["usermeta"]["subtitle"]
    layers = spec["vconcat"][1]["concat"][0]["layer"]
    behind = [layer for layer in layers if layer["mark"].get("color") == BACKGROUND_GREY]
    assert len(behind) == 1
    assert set(behind[0]["transform"][0]["filter"]["oneOf"]) == set(FALLS) - {most, least}


@pytest.mark.parametrize("name", ["curves", "drops", "shapes", "attention", "onset", "calibration"])
def test_titles_stay_short(con: duckdb.DuckDBPyConnection, selection: Selection, name: str) -> None:
    title = CHARTS[name](con, selection).to_dict()["title"]["text"]
    assert len(title) <= 4
    assert sum(label in " ".join(title) for label in FALLS) <= 2


def test_confidence_is_tallied() -> None:
    over, under, neither = Estimate(0.2, 0.1, 0.3), Estimate(-0.05, -0.08, -0.02), Estimate(0.01, -0.01, 0.03)
    last = {"A": over, "B": neither, "C": Estimate(0.3, 0.2, 0.4), "D": under, "E": neither}
    assert overconfidence_tally(last, [over, neither, neither, under, under]) == (
        "Of 5 networks at the last severity, 2 are overconfident, most of all C by 30.0\u00a0points "
        "[20.0,\u00a040.0]; 1 is underconfident, most of all D by 5.0\u00a0points [2.0,\u00a08.0] "
        "(when clean 1 over-, 2 underconfident; all beyond noise)"
    )
    assert "none is underconfident" in overconfidence_tally({"A": over}, [over])


def test_attention_is_tallied() -> None:
    rows = [("A", "fog", 0.1), ("B", "fog", 0.3), ("C", "snow", 0.2), ("D", "fog", 0.25), ("E", "fog", 0.15)]
    cells = [CellDrift(label, corruption, 5, 0.5, shift, 2 * shift, 0, 1) for label, corruption, shift in rows]
    cells += [CellDrift(label, "frost", 5, 0.5, 0.05, 0.1, 0, 1) for label, _, _ in rows]
    names = {"fog": "Fog", "snow": "Snow", "frost": "Frost"}
    assert drift_sentence(cells, names) == (
        "Of 5 networks, attention moves most under fog in 4 and under snow in 1: from 0.10 in A (null 0.20) to 0.30 "
        "in B (null 0.60), in image\u00a0widths"
    )
    assert drift_sentence(cells[:2], names).startswith("Attention moves most under fog at severity 5: 0.10")


def test_onset_is_tallied(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    rows = con.sql("select * from onset_by_corruption order by corruption, severity").pl()
    named = rows.with_columns(label=rows["model_label"])
    ends = named.filter(severity=5).group_by("label").agg(worst=named["surviving_share"].min())
    assert len(ends) == 6
    told = onset_sentence(named, list(FALLS))
    lowest = {label: named.filter(label=label, severity=5)["surviving_share"].min() for label in FALLS}
    few = sum(share < 0.5 for share in lowest.values())
    least = min(lowest, key=lowest.__getitem__)
    assert f"{few} of 6 networks keep less than half" in told
    assert f"fewest are left in {least}, which keeps {100 * lowest[least]:.0f}\u00a0% of its right answers" in told


HIGH = [(0.0, 0.9), (5.0, 0.8)]


@pytest.mark.parametrize(
    ("lines", "side"),
    [
        ([HIGH], ("left", "above")),
        ([HIGH, [(0.0, 0.45), (2.5, 0.2), (5.0, 0.6)]], ("left", "above")),
        ([[(0.0, 0.3), (0.3, 0.1), (5.0, 0.5)]], ("right", "above")),
        ([[(0.0, 0.22), (5.0, 0.22)]], ("left", "below")),
        ([[(0.0, 0.22), (5.0, 0.22)], [(0.0, 0.05), (3.0, 0.22), (5.0, 0.22)]], ("right", "below")),
        ([[(0.0, 0.22), (5.0, 0.22)], [(0.0, 0.05), (5.0, 0.05)]], None),
    ],
    ids=["clear", "line above", "left taken", "above taken", "only right below", "crowded"],
)
def test_the_word_chance_stands_where_no_line_runs(
    lines: list[list[tuple[float, float]]], side: tuple[str, str] | None
) -> None:
    plane = PlotArea(0, 5, 0, 1, 160, 130)
    place = chance_label_position(0.15, lines, plane)
    if side is None:
        assert place is None
        return
    assert place is not None
    rule = plane.pixel(0, 0.15)[1]
    assert ("left" if place[0] < 80 else "right", "above" if place[1] < rule else "below") == side


def test_no_word_beneath_the_floor() -> None:
    crowded = [[(0.0, 0.05), (5.0, 0.05)]]
    assert chance_label_position(0.01, crowded, PlotArea(0, 5, 0, 1, 160, 130)) is None
