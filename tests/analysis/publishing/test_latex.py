"""Tables for papers: the warehouse's figures, bold only where the data shows the best, and LaTeX compiles them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from published_results import CORRUPTIONS, MODELS
from synthetic_results import Synthetic

from failmodes.analysis.publishing.formats import publish_results
from failmodes.analysis.render.row_formats import latex_text
from failmodes.runtime.errors import QueryError, StudyError


def rows_of(text: str) -> list[list[str]]:
    """The cells of each row of a tabular."""
    return [line.removesuffix(r" \\").removeprefix("{}").split(" & ") for line in text.splitlines() if r" \\" in line]


def test_values_are_those_of_the_rows_and_bold_is_what_compare_shows(published: Synthetic, tmp_path: Path) -> None:
    warehouse = published.output / "warehouse.duckdb"
    (path,) = publish_results(warehouse, "latex", tmp_path / "t.tex").paths
    first, second = re.findall(r"\\begin\{tabular\}.*?\\end\{tabular\}", path.read_text(), re.DOTALL)
    head, *rows = rows_of(first.replace(r"1 \& Co", "1 Co"))
    assert (head[:2], head[-1], set(head[2:-1])) == (["Model", "Clean"], "Mean", {"Contrast", "Fog"})
    names = {"Fog": "fog", "Contrast": "contrast"}
    labels = {latex_text(label).replace(r"1 \& Co", "1 Co"): label for label in MODELS}
    assert labels.keys() == {name for name, *_ in rows}
    for name, *cells in rows:
        label = labels[name]
        bare = [float(re.sub(r"\\textbf\{(.*)\}", r"\1", cell)) for cell in cells]
        means = {c: published.correct[label, c][1:].mean() for c in CORRUPTIONS}
        expected = [means[names[column]] for column in head[2:-1]]
        expected = [published.correct[label, "fog"][0].mean(), *expected, sum(means.values()) / 2]
        assert bare == pytest.approx([100 * value for value in expected], abs=0.051)
    bold = {column for row in rows for column, cell in zip(head, row, strict=True) if "textbf" in cell}
    assert bold == {"Fog", "Contrast", "Mean"}
    assert {row[0] for row in rows if "textbf" in "".join(row)} == {r"Sturdy\_1 Co"}
    head, *rows = rows_of(second.replace(r"1 \& Co", "1 Co"))
    assert head == ["Model", r"Digits\_2"]
    assert {labels[name]: value for name, value in rows} == dict(zip(MODELS, ("75.0", "70.0", "10.0"), strict=True))


@pytest.mark.test_all
def test_intervals_stand_below_their_values(published: Synthetic, tmp_path: Path) -> None:
    publish_results(published.output / "warehouse.duckdb", "latex", tmp_path / "t.tex", intervals=True)
    text = (tmp_path / "t.tex").read_text()
    assert text.count(r"{\scriptsize [") == 3 * 4 + 3


@pytest.mark.test_all
def test_a_query_gives_its_rows_or_one_line(published: Synthetic, tmp_path: Path) -> None:
    warehouse = published.output / "warehouse.duckdb"
    publish_results(warehouse, "latex", tmp_path / "t.tex", query="select model_label, 0.5 as half from models")
    assert len(rows_of((tmp_path / "t.tex").read_text())) >= 4
    with pytest.raises(QueryError, match="no row"):
        publish_results(warehouse, "latex", tmp_path / "none.tex", query="select 1 where false")
    with pytest.raises(StudyError, match="--query is an option of latex"):
        publish_results(warehouse, "model-card", tmp_path / "card.md", query="select 1")
    assert [path.name for path in tmp_path.iterdir()] == ["t.tex"]


@pytest.mark.test_all
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex")
def test_latex_compiles_them(published: Synthetic, tmp_path: Path) -> None:
    publish_results(published.output / "warehouse.duckdb", "latex", tmp_path / "tables.tex", intervals=True)
    publish_results(published.output / "warehouse.duckdb", "latex", tmp_path / "query.tex", query="@worst_cells")
    body = "\\begin{document}\n\\input{tables}\n\\input{query}\n\\end{document}\n"
    (tmp_path / "paper.tex").write_text(f"\\documentclass{{article}}\n\\usepackage{{booktabs,graphicx}}\n{body}")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"],
        cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 5000
