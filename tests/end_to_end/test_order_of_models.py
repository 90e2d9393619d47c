"""Order and color of models, through the installed command: as in the study, the same when a model is added."""

import json
import re
from pathlib import Path
from time import sleep

import pytest
from installed_script import failmodes
from synthetic_results import write_synthetic

FALLS = {"Zebra": 1.0, "Aspen": 0.4, "Maple": 1.5, "Birch": 0.8, "Cedar": 0.1, "Fir": 1.2}
GRAY = "#4a4f57"  # of the baseline


def write(folder: Path, *evaluated: str, study: tuple[str, ...] = (), baseline: str | None = None) -> None:
    """Write results of models, one evaluated after the other, and a study that names some of them; load both."""
    for label in evaluated:
        options = {"corruptions": ("fog", "contrast"), "severities": (1, 5), "falls": FALLS}
        write_synthetic(folder / "out", images=60, models=(label,), **options)
    stated = "" if baseline is None else f'baseline = "{baseline}"\n'
    models = "".join(
        f'[[models]]\nlabel = "{label}"\narchitecture = "resnet18"\ncheckpoint = "x.pt"\n' for label in study
    )
    text = f'name = "ours"\noutput = "out"\n{stated}[dataset]\nkind = "digits"\n{models}'
    (folder / "study.toml").write_text(text)


def colors(folder: Path, *arguments: str) -> dict[str, str]:
    """Color by series of the chart of curves, in the order of its legend."""
    failmodes("chart", "curves", "out/warehouse.duckdb", *arguments, "-o", "curves.json", folder=folder)
    text = re.sub(r"\s+", " ", (folder / "curves.json").read_text())
    found = json.loads(re.search(r'"scale": (\{ ?"domain": \[[^]]*\], "range": \[[^]]*\] ?\})', text)[1])
    return dict(zip(found["domain"], found["range"], strict=True))


def test_models_are_in_the_order_of_the_study_and_keep_their_color(tmp_path: Path) -> None:
    write(tmp_path, "Aspen", "Zebra", study=("Zebra", "Aspen"))
    failmodes("load", folder=tmp_path)
    before = colors(tmp_path)
    assert list(before) == ["Zebra", "Aspen"]
    write(tmp_path, "Birch", study=("Zebra", "Aspen", "Birch"))
    failmodes("load", folder=tmp_path)
    after = colors(tmp_path)
    assert list(after) == ["Zebra", "Aspen", "Birch"]
    assert before.items() <= after.items()
    assert colors(tmp_path, "--model", "Aspen") == {"Aspen": before["Aspen"]}


def test_models_of_no_study_are_in_the_order_of_their_evaluation(tmp_path: Path) -> None:
    write(tmp_path, "Zebra")
    sleep(1.1)  # results have their time to the second
    write(tmp_path, "Aspen")
    failmodes("load", "out", folder=tmp_path)
    assert list(colors(tmp_path)) == ["Zebra", "Aspen"]


def test_the_baseline_is_first_and_gray_and_the_report_compares_the_others_with_it(tmp_path: Path) -> None:
    write(tmp_path, "Zebra", "Maple", "Aspen", study=("Zebra", "Maple", "Aspen"))
    failmodes("load", folder=tmp_path)
    own = colors(tmp_path)
    write(tmp_path, study=("Zebra", "Maple", "Aspen"), baseline="Maple")
    failmodes("load", folder=tmp_path)
    with_baseline = colors(tmp_path)
    assert list(with_baseline) == ["Maple (baseline)", "Zebra", "Aspen"]
    assert with_baseline["Maple (baseline)"] == GRAY
    assert with_baseline["Zebra"] == own["Zebra"]
    failmodes("report", "out/warehouse.duckdb", "-o", "report.html", folder=tmp_path)
    report = (tmp_path / "report.html").read_text()
    assert "Comparison: Zebra with Maple" in report
    assert "Comparison: Aspen with Maple" in report
    assert "than the baseline Maple" in report


def test_of_many_models_the_baseline_has_its_color_too(tmp_path: Path) -> None:
    write(tmp_path, *FALLS, study=tuple(FALLS), baseline="Birch")
    failmodes("load", folder=tmp_path)
    of_many = colors(tmp_path)
    assert next(iter(of_many)) == "Birch (baseline)"
    assert of_many["Birch (baseline)"] == GRAY
    assert len(set(of_many.values())) == len(of_many) == 4  # with the best, the worst and the others


@pytest.mark.parametrize("command", ["load", "status"])
def test_a_baseline_that_is_none_of_the_models_is_an_error(tmp_path: Path, command: str) -> None:
    write(tmp_path, "Zebra", study=("Zebra", "Aspen"), baseline="Zebre")
    done = failmodes(command, folder=tmp_path, expect=2)
    assert "baseline: no model 'Zebre'" in done.stderr
    assert "did you mean 'Zebra'" in done.stderr
    assert "study.toml" in done.stderr


def test_a_baseline_that_was_not_evaluated_is_noted(tmp_path: Path) -> None:
    """A study without models takes any label, since its predictions are imported."""
    write(tmp_path, "Zebra", "Aspen", baseline="Zebre")
    done = failmodes("load", folder=tmp_path)
    assert "the baseline 'Zebre' was not evaluated: did you mean 'Zebra'" in " ".join(done.stderr.split())
    write(tmp_path, baseline="Aspen")
    failmodes("load", folder=tmp_path)
    assert list(colors(tmp_path)) == ["Aspen (baseline)", "Zebra"]
