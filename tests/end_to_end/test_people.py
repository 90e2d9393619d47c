"""docs/people.md: its table is people.csv, its charts draw it, and its commands make it again from published trials."""

import re
import runpy
from pathlib import Path

import polars as pl
import pytest
from worked_example import ROOT, run_page

DOCS: Path = ROOT / "docs"
PAGE: Path = DOCS / "people.md"
LABELS = {"contrast": "contrast, %", "uniform_noise": "uniform noise, width"}
DRAWN = re.compile(r"accuracy: ([\d.]+); [^\"]*?from: ([\d.]+)%; to: ([\d.]+)%")


def stored() -> pl.DataFrame:
    return pl.read_csv(DOCS / "people.csv")


def page() -> str:
    """The text, with plain spaces in the table."""
    return PAGE.read_text(encoding="utf-8").replace("\u00a0", " ")


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def table_of_page() -> list[str]:
    """The rows of the page's table, as they follow from people.csv."""
    return [
        f"| {LABELS[row['corruption']]} | {row['level_value']:g} | {row['correct']} "
        f"| {percent(row['accuracy'])} [{percent(row['accuracy_low'])}, {percent(row['accuracy_high'])}] "
        f"| {percent(row['lowest_observer'])} to {percent(row['highest_observer'])} |"
        for row in stored().iter_rows(named=True)
    ]


def test_the_table_is_the_stored_one() -> None:
    rows = [line for line in page().splitlines() if line.startswith(tuple(f"| {label}" for label in LABELS.values()))]
    assert rows == table_of_page()


def test_numbers_of_the_text_are_those_of_the_table() -> None:
    text = page().partition("| corruption")[0]
    known = {f"{row[0]}% {row[1]}" for line in table_of_page() if (row := line.split("|")[4].strip().split(" ", 1))}
    shown = re.findall(r"\d+\.\d% \[\d+\.\d,\s\d+\.\d\]", re.sub(r"%\s+\[", "% [", text))
    assert len(shown) >= 6
    assert set(shown) <= known


@pytest.mark.parametrize("corruption", LABELS)
def test_the_chart_draws_it(corruption: str) -> None:
    svg = (DOCS / "images" / f"people-{corruption.replace('_', '-')}.svg").read_text(encoding="utf-8")
    drawn = [tuple(map(float, point)) for point in DRAWN.findall(svg)]
    rows = stored().filter(corruption=corruption).select("accuracy", "accuracy_low", "accuracy_high")
    expected = [(value, 100 * low, 100 * high) for value, low, high in rows.rows()]
    assert len(drawn) == 8
    for point, row in zip(drawn, expected, strict=True):
        assert point == pytest.approx(row, abs=0.051)


@pytest.mark.test_all
def test_the_commands_make_it_again(real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for experiment in ("contrast", "uniform-noise"):
        trials = pl.read_parquet(real_data / "human_trials" / f"{experiment}.parquet")
        (tmp_path / "raw-data" / experiment).mkdir(parents=True)
        for (subject,), rows in trials.partition_by("subj", as_dict=True).items():
            rows.write_csv(tmp_path / "raw-data" / experiment / f"{experiment}_{subject}_session_1.csv")
        correct = trials.group_by(pl.col("condition").str.strip_prefix("c").cast(pl.Float64)).agg(
            (pl.col("object_response") == pl.col("category")).sum().alias("correct")
        )
        rows = stored().filter(corruption=experiment.replace("-", "_"))
        assert dict(rows.select("level_value", "correct").rows()) == dict(correct.rows())
    run_page(page(), tmp_path)
    (tmp_path / "docs" / "images").mkdir(parents=True)
    script = runpy.run_path(str(ROOT / ".handbook" / "people.py"))
    script["write_page_files"].__globals__["DOCS"] = tmp_path / "docs"
    script["write_page_files"]([str(tmp_path / "runs" / name) for name in ("contrast", "noise")])
    again = pl.read_csv(tmp_path / "docs" / "people.csv")
    assert again.drop(pl.selectors.float()).equals(stored().drop(pl.selectors.float()))
    for name in again.select(pl.selectors.float()).columns:
        assert again[name].to_list() == pytest.approx(stored()[name].to_list(), abs=1e-5)
