"""docs/importing.md runs as it stands, from tables made here; its first rows are those of the table that it shows.

After a change of what is printed, FAILMODES_WRITE_DOCS=1 writes the page anew: read what changed before you commit it.
"""

import os
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from worked_example import ROOT, environment_of, run, run_page, settled

import failmodes
from failmodes.evaluate.tables.columns import COMMON_NAMES
from failmodes.ingest.axes import parse_axis

PAGE = ROOT / "docs" / "importing.md"
COUNT = 40  # images
CLASSES = ("cat", "dog")


def predictions(seed: int) -> pl.DataFrame:
    """Predictions of 40 images, clean and under fog, whose confidence falls with severity."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(COUNT):
        label = number % 2
        for severity in range(4):
            confidence = round(float(rng.uniform(0.95 - 0.12 * severity, 0.99 - 0.1 * severity)), 2)
            predicted = label if rng.uniform() < confidence else 1 - label
            rows.append((f"{number + 1:04d}.jpg", CLASSES[label], CLASSES[predicted], confidence,
                         "fog" if severity else "none", severity))  # fmt: skip
    columns = ["file_name", "label", "predicted_class", "confidence", "corruption", "severity"]
    return pl.DataFrame(rows, columns, orient="row")


def under_contrast() -> pl.DataFrame:
    """Other images in each condition, c100 to c10, and two observers."""
    conditions = {"c100": 0.95, "c50": 0.8, "c10": 0.55}
    rng = np.random.default_rng(0)
    rows = [
        (f"{condition}-{number}.png", CLASSES[number % 2],
         CLASSES[(number + (rng.uniform() > share)) % 2], condition, run)
        for condition, share in conditions.items() for number in range(COUNT) for run in ("subject-01", "subject-02")
    ]  # fmt: skip
    return pl.DataFrame(rows, ["image", "label", "prediction", "condition", "observer"], orient="row")


def write_tables(folder: Path) -> None:
    """Write every table and image that the page's commands read."""
    table = predictions(0)
    clean = table.filter(severity=0)
    table.write_csv(folder / "predictions.csv")
    clean.select(stimulus="file_name", label="label", choice="predicted_class", value=pl.int_range(COUNT)).write_csv(
        folder / "stimuli.csv"
    )
    under_contrast().write_csv(folder / "contrast.csv")
    is_refused = pl.int_range(pl.len()) % 10
    reply = pl.when(is_refused == 3).then(pl.lit("refused")).when(is_refused != 7).then("predicted_class")
    table.drop("confidence").with_columns(predicted_class=reply).write_csv(folder / "phone.csv")
    table.write_csv(folder / "resnet.csv")
    predictions(1).write_csv(folder / "vit.csv")
    rng = np.random.default_rng(0)
    (folder / "photographs").mkdir()
    for name in clean["file_name"]:
        Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8)).save(folder / "photographs" / name)


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which the page was worked through, and the page as it is then."""
    folder = tmp_path_factory.mktemp("importing")
    write_tables(folder)
    return folder, run_page(PAGE.read_text(encoding="utf-8"), folder)


@pytest.mark.nightly
def test_every_output_is_what_its_command_prints(worked: tuple[Path, str]) -> None:
    folder, page = worked
    (shown,) = re.findall(r"^```\n(file_name.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    assert (folder / "predictions.csv").read_text().startswith(shown)
    if os.environ.get("FAILMODES_WRITE_DOCS"):
        PAGE.write_text(page, encoding="utf-8")
    assert settled(page) == settled(PAGE.read_text(encoding="utf-8"))


@pytest.mark.nightly
def test_the_lines_of_python_give_the_same(worked: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, page = worked
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(folder)
    (folder / "runs" / "mine").rename(folder / "runs" / "command")
    known: dict[str, object] = {}
    exec(compile(code, PAGE.name, "exec"), known)
    query = "from cell_predictions order by all"
    ours, theirs = (failmodes.open(f"runs/{name}").sql(query) for name in ("mine", "command"))
    assert ours.equals(theirs)
    assert "Not measured" in (folder / "report.html").read_text()


@pytest.mark.nightly
def test_the_commands_do_what_the_page_says(worked: tuple[Path, str]) -> None:
    folder, _ = worked
    table = pl.read_csv(folder / "resnet.csv").filter(pl.col("severity") == 2)
    (correct,) = failmodes.open(folder / "runs/both").table(
        "accuracy_by_severity", model_label="ResNet-50", severity=2
    )["correct_count"]
    assert correct == (table["label"] == table["predicted_class"]).sum()
    levels = failmodes.open(folder / "runs/contrast").sql("select level_value, severity::int from levels order by 2")
    assert levels.rows() == [(100.0, 0), (50.0, 1), (10.0, 2)]


@pytest.mark.nightly
def test_the_commands_with_a_study_run(worked: tuple[Path, str], tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from import_files import SMALL_STUDY, small_frame

    _, page = worked
    (commands,) = re.findall(r"^```\n(failmodes.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "study.toml").write_text(SMALL_STUDY)
    small_frame().write_parquet(tmp_path / "predictions.parquet")
    assert "5 cells imported" in run(commands, tmp_path, environment_of(tmp_path), expect=0)
    assert pl.read_csv(tmp_path / "images.csv").columns == ["image_id", "label", "class_name", "file"]


def test_the_axes_of_the_page_are_axes() -> None:
    """Those within the text; commands run as they stand."""
    found = re.findall(r"`(\w+)=\"([^\"]+)\"`", PAGE.read_text(encoding="utf-8"))
    axes = {name: parse_axis(name, text) for name, text in found}
    assert axes.keys() == {"rotation", "noise", "high_pass", "attack"}
    assert (axes["rotation"].name, axes["rotation"].unit) == ("angle", "°")
    assert (axes["noise"].unit, axes["high_pass"].reference) == ("", float("inf"))
    assert axes["attack"].states_every_level


def test_the_names_of_the_page_are_recognized() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.+) \|$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    names = {role: re.findall(r"`(\w+)`", cell) for role, cell in rows}
    assert names.keys() == COMMON_NAMES.keys()
    assert all(set(shown) <= set(COMMON_NAMES[role]) for role, shown in names.items())
