"""What README, handbook and tutorials say of the founding study stands in its aggregates, which agree with each other.

After a new run of the study, FAILMODES_WRITE_DOCS=1 writes the tables of its page anew.
"""

import json
import os
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from study_tables import QUERIES, ROOT, STUDY, TABLES, aggregate, with_tables
from synthetic_results import write_synthetic

import failmodes
from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.warehouse.database.load import load

PAGE = ROOT / "docs" / "founding-study.md"
TUTORIALS = ROOT / "docs" / "tutorials"
STUDIES = ("published", "dense")
# "43.1 points [40.0, 46.2]", "+0.26 [0.22, 0.30]", "62.5% [61.0, 64.0]"
FIGURE = re.compile(r"([+−-]?\d+\.\d+)(?:\spoints|\s?%)?\s\[([+−-]?\d+\.\d+),\s([+−-]?\d+\.\d+)\]")
every_study = pytest.mark.parametrize("study", STUDIES)


def of_models(table: pl.DataFrame, column: str) -> dict[tuple[str, str], np.ndarray]:
    """A column of each curve, in the order of severities, by model and corruption."""
    curves = table.sort("severity").group_by("model_label", "corruption", maintain_order=True).agg(column)
    return {(model, corruption): np.array(values) for model, corruption, values in curves.rows()}


@pytest.mark.slow
def test_every_aggregate_is_what_its_query_gives(tmp_path: Path) -> None:
    """Its columns are, of any warehouse."""
    write_synthetic(tmp_path / "results", images=30, corruptions=("fog", "contrast"))
    load([tmp_path / "results"], tmp_path / "w.duckdb", derivation=DERIVATION)
    opened, queries = failmodes.open(tmp_path / "w.duckdb"), list(QUERIES.glob("*.sql"))
    for query in queries:
        columns = opened.sql(query.read_text(encoding="utf-8")).columns
        assert all(aggregate(query.stem, study).columns == columns for study in STUDIES)
    for study in STUDIES:
        assert {path.stem for path in (STUDY / study).glob("*.csv")} == {query.stem for query in queries}


@every_study
def test_shapes_follow_from_accuracies(study: str) -> None:
    accuracies = of_models(aggregate("accuracy", study), "accuracy")
    severities = of_models(aggregate("accuracy", study), "severity")
    for row in aggregate("shapes", study).iter_rows(named=True):
        curve = row["model_label"], row["corruption"]
        accuracy, severity = accuracies[curve], severities[curve]
        drop = accuracy[0] - accuracy[-1]
        assert row["total_drop"] == pytest.approx(drop, abs=2e-4)
        if row["curvature"] is not None:
            above_chord = accuracy - (accuracy[0] - drop * severity / severity[-1])
            assert row["curvature"] == pytest.approx(above_chord[1:-1].mean() / drop, abs=2e-3)


def pages() -> list[tuple[str, str]]:
    """Each page that speaks of the study, and of it the part that does."""
    texts = [
        (page.name, page.read_text(encoding="utf-8")) for page in (PAGE, ROOT / "README.md", ROOT / "docs/index.md")
    ]
    for path in sorted(TUTORIALS.glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if "".join(cell["source"]).startswith("## On CIFAR-10"):
                texts.append((path.name, "".join(cell["source"])))
    return texts


@pytest.mark.parametrize(("name", "text"), pages(), ids=[name for name, _ in pages()])
def test_its_tables_are_those_of_the_aggregates(name: str, text: str) -> None:
    if os.environ.get("FAILMODES_WRITE_DOCS") and name == PAGE.name:
        PAGE.write_text(with_tables(text), encoding="utf-8")
    else:
        assert text == with_tables(text)
    if name == PAGE.name:
        assert set(re.findall(r"<!-- study: (\w+) -->", text)) == set(TABLES)


def known_figures() -> set[tuple[str, str, str]]:
    """Every value with its interval, as it is written: one decimal of points and per cent, two of a curvature."""
    known = set()
    for study in STUDIES:
        breaks = aggregate("change_points", study).select("break_at", "break_from", "break_to").drop_nulls()
        known |= {tuple(f"{each:.2f}" for each in row) for row in breaks.rows()}
        for name in ("accuracy", "claims", "findings", "shapes", "shapes_over_distortion", "ranks", "change_points"):
            table = aggregate(name, study)
            for low in (column for column in table.columns if column.endswith("low") and not column.startswith("rank")):
                value = low.removesuffix("_low") if low != "low" else "value"
                high = f"{low.removesuffix('low')}high"
                for found, least, most in table.select(value, low, high).drop_nulls().rows():
                    for row in (
                        (found, least, most),
                        (-found, -most, -least),
                    ):  # "costs less by" as well as "costs more by"
                        known |= {tuple(f"{100 * each:.1f}" for each in row), tuple(f"{each:.2f}" for each in row)}
    return known


@pytest.mark.parametrize(("name", "text"), pages(), ids=[name for name, _ in pages()])
def test_every_figure_with_an_interval_is_one_of_the_study(name: str, text: str) -> None:
    known = known_figures()
    found = [tuple(part.replace("−", "-").lstrip("+") for part in figure) for figure in FIGURE.findall(text)]
    assert found or name not in (PAGE.name, "index.md")
    absent = [figure for figure in found if figure not in known]
    assert not absent


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.corpus
def test_a_cell_of_it_comes_out_again(real_data: Path, tmp_path: Path) -> None:
    """One model on the 2,000 images, clean and under contrast at 5, in the precision of the study."""
    pytest.importorskip("torch")
    study = (STUDY / "dense.toml").read_text(encoding="utf-8").replace('"data/', f'"{real_data}/')
    one_model, others, rest = study.split("[[models]]", 2)
    evaluation = rest[rest.index("[evaluation]") :].replace('executor = "processes"\nprocesses = 2\n', "")
    evaluation = evaluation.replace("attention = true", "attention = false")  # no part of an answer
    text = f"{one_model}[[models]]{others}{evaluation}"
    text = re.sub(r"names = .*", 'names = ["contrast"]', re.sub(r"severities = .*", "severities = [5]", text))
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    opened = failmodes.run(tmp_path / "study.toml", progress=False)
    expected = aggregate("accuracy", "dense").filter(
        pl.col("corruption") == "contrast", pl.col("severity").is_in([0.0, 5.0]),
        pl.col("model_label") == opened.table("evaluation_labels")["model_label"].item(),
    )  # fmt: skip
    found = opened.sql("select severity, correct_count from accuracy_by_severity order by severity")
    # Sums in another order, of another machine, change a few answers of 2,000 in bfloat16
    assert found["correct_count"].to_list() == pytest.approx(
        expected.sort("severity")["correct_count"].to_list(), abs=10
    )


@every_study
def test_the_study_file_is_a_study(study: str, tmp_path: Path) -> None:
    """Where its checkpoints lie beside it."""
    pytest.importorskip("torch")
    from failmodes.evaluate.study.study_file import read_study

    text = (STUDY / f"{study}.toml").read_text(encoding="utf-8")
    for name in re.findall(r'checkpoint = "(.*)"', text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    labels = {model.label for model in read_study(tmp_path / "study.toml").models}
    assert labels == set(aggregate("accuracy", study)["model_label"])
