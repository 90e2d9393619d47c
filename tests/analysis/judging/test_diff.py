"""Why two numbers differ: shares add up and are those of a hand count, planted causes are named, nothing else is."""

import json
import shutil
import sys
from collections.abc import Collection
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from planted_causes import CAUSES, FEW, NAMES, Evaluated, planted, write_row, write_warehouse
from run_commands import run

import failmodes
from failmodes.analysis.judging.diff import Diff, diff_named
from failmodes.analysis.statistics.decomposition import Averaging, CellPredictions, Decomposition, Side
from failmodes.runtime.errors import StudyError

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(Path(__file__).parents[2] / "soundness")]

FOG, SNOW = ("fog", 1.0), ("snow", 1.0)
IDS = tuple(range(50))
NET = Evaluated(IDS)


def side(
    rng: np.random.Generator, images: range, cells: tuple[tuple[str, float], ...], form: Averaging, shift: int = 0
) -> Side:
    """A side of random predictions of three classes; labels are image % 3, moved by `shift`."""
    codes = np.array(images)
    rows = {c: CellPredictions(codes, (codes + shift) % 3, rng.integers(0, 3, len(codes))) for c in cells}
    return Side({cell: float(one.correct.mean()) for cell, one in rows.items()}, cells, form, rows)


def test_shares_are_those_of_a_hand_count() -> None:
    rng = np.random.default_rng(0)
    mean, mce = Averaging(is_error=True), Averaging("mCE", {"fog": 0.5, "snow": 0.8}, is_error=True)
    a, b = side(rng, range(60), (FOG, SNOW), mean), side(rng, range(20, 90), (FOG,), mce)
    parts = Decomposition(a, b)
    found = {share.respect: share.value for share in parts.shares}
    assert a.rows is not None
    assert b.rows is not None

    def errors(one: Side, cell: tuple[str, float]) -> pl.Series:
        assert one.rows is not None
        rows = one.rows[cell]
        frame = pl.DataFrame({"image": rows.images, "error": rows.label != rows.predicted})
        return frame.filter(pl.col("image").is_between(20, 59))["error"]

    common_a, common_b = errors(a, FOG).mean(), errors(b, FOG).mean()
    both = (common_a + errors(a, SNOW).mean()) / 2
    start, end = a.number, b.number
    assert found["severities and names"] == pytest.approx(common_a - both)
    assert found["averaging"] == pytest.approx(common_a / 0.5 - common_a)
    assert found["predictions"] == pytest.approx((common_b - common_a) / 0.5)
    assert found["images"] == pytest.approx(both - start + end - common_b / 0.5)
    assert sum(found.values()) == pytest.approx(end - start)


def test_labels_and_reordered_classes_have_shares_of_their_own() -> None:
    rng = np.random.default_rng(1)
    a = side(rng, range(300), (FOG,), Averaging())
    assert a.rows is not None
    rows = a.rows[FOG]
    swapped = rows._replace(predicted=np.array([1, 2, 0])[rows.predicted])
    permuted = Decomposition(a, a._replace(rows={FOG: swapped}, accuracies={FOG: float(swapped.correct.mean())}))
    relabeled = rows._replace(label=rng.permutation(rows.label))
    shuffled = Decomposition(a, a._replace(rows={FOG: relabeled}, accuracies={FOG: float(relabeled.correct.mean())}))
    for parts, respect in ((permuted, "classes"), (shuffled, "labels")):
        shares = {share.respect: share.value for share in parts.shares}
        assert shares.pop(respect) == pytest.approx(parts.difference)
        assert all(abs(value) < 1e-12 for value in shares.values())


def test_intervals_are_those_of_paired_and_of_independent_images() -> None:
    rng = np.random.default_rng(2)
    a = side(rng, range(3000), (FOG,), Averaging())
    same, other = side(rng, range(3000), (FOG,), Averaging()), side(rng, range(3000, 5000), (FOG,), Averaging())
    assert a.rows is not None
    assert same.rows is not None
    difference = same.rows[FOG].correct.astype(float) - a.rows[FOG].correct
    errors = (
        difference.std() / 3000**0.5,
        sum(one.accuracies[FOG] * (1 - one.accuracies[FOG]) / count for one, count in ((a, 3000), (other, 2000)))
        ** 0.5,
    )
    for b, error in zip((same, other), errors, strict=True):
        found = Decomposition(a, b).interval()
        assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.02)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse of a model with several planted causes, and a copy."""
    folder = tmp_path_factory.mktemp("planted")
    causes = {
        "Subset": NET._replace(ids=IDS[:40]),
        "Rolled": NET._replace(labels=tuple(np.roll(failmodes_labels(), 3).tolist())),
        "Sharp": NET._replace(interpolation="nearest"),
        "Half": NET._replace(corruptions=FEW[:2]),
        "Rest": NET._replace(corruptions=FEW[2:]),
        "Clean": NET._replace(corruptions=()),
        "Two": NET._replace(interpolation="nearest", fitted=1),
    }
    write_warehouse(folder / "w.duckdb", NET, *(one._replace(label=label) for label, one in causes.items()))
    shutil.copy(folder / "w.duckdb", folder / "other.duckdb")
    return folder


def failmodes_labels() -> np.ndarray:
    from sklearn.datasets import load_digits

    return load_digits().target[:240]


def causes_of(found: Diff) -> list[list[str]]:
    return [[factor.name for factor in cause.factors] for cause in found.causes]


@pytest.mark.parametrize(
    ("label", "named"),
    [
        ("Subset", [["images"]]),
        ("Rolled", [["labels"]]),
        ("Sharp", [["interpolation"]]),
        ("Half", [["severities and names"]]),
        ("Two", [["weights", "interpolation"]]),
    ],
)
def test_a_planted_cause_is_named(evaluated: Path, label: str, named: list[list[str]]) -> None:
    both_ways = ((("Net", label), 1), ((label, "Net"), -1))
    for names, sign in both_ways if label == "Two" else both_ways[:1]:
        found = diff_named(*names, evaluated / "w.duckdb")
        assert (found.outcome, causes_of(found)) == ("differs", named)
        assert found.difference is not None
        assert sum(share.value for share in found.shares) == pytest.approx(found.difference.value)
        assert sign * found.difference.value == pytest.approx((found.b.value or 0) * sign - (found.a.value or 0) * sign)


def test_a_rerun_is_equal_and_names_nothing(evaluated: Path) -> None:
    said = run("diff", "w.duckdb::Net", "other.duckdb::Net", folder=evaluated).stdout
    assert ("are equal" in said, "Cause" in said) == (True, False)
    result = failmodes.open(evaluated / "w.duckdb").diff("Net", f"{evaluated / 'other.duckdb'}::Net")
    assert (result.diff.outcome, result.diff.causes, result.diff.images) == ("equal", (), ())


def test_classes_whose_names_differ_in_case_alone_are_not_mixed_up(tmp_path: Path) -> None:
    """As ImageNet's Cardigan, a dog, and cardigan."""
    names = ("Cardigan", "cardigan", *NAMES[2:])
    shouted = NET._replace(class_names=("Cardigan", "cardigan", *(name.upper() for name in NAMES[2:])), label="Shouted")
    write_warehouse(tmp_path / "w.duckdb", NET._replace(class_names=names), shouted)
    shutil.copy(tmp_path / "w.duckdb", tmp_path / "other.duckdb")
    for other in ("other.duckdb::Net", "other.duckdb::Shouted"):
        found = diff_named(f"{tmp_path / 'w.duckdb'}::Net", str(tmp_path / other))
        assert (found.outcome, found.causes) == ("equal", ())


@pytest.mark.test_all
def test_preprocessing_of_one_name_that_differs_is_not_the_same(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from torchvision.transforms import v2

    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 2))
    images = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    for label, antialias in (("Net", True), ("Other", False)):
        steps = [v2.Resize(16, antialias=antialias), v2.ToDtype(torch.float32, scale=True)]
        failmodes.benchmark(
            module, images, [0, 1] * 20, label=label, to=tmp_path, preprocess=v2.Compose(steps), progress=False,
            corruptions=["contrast"], severities=[1],
        )  # fmt: skip
    found = diff_named("Net", "Other", tmp_path)
    assert next(factor for factor in found.factors if factor.name == "preprocessing").status == "unknown"


@pytest.mark.test_all
def test_every_format_names_the_cause(evaluated: Path) -> None:
    result = failmodes.open(evaluated / "w.duckdb").diff("Net", "Sharp")
    for suffix in ("md", "html", "xml", "txt"):
        assert "interpolation" in result.save(evaluated / f"diff.{suffix}").read_text()
    (case,) = ElementTree.parse(evaluated / "diff.xml").iter("testcase")
    assert case.find("failure") is not None


def test_a_difference_is_exit_code_1_with_the_keys_of_the_page(evaluated: Path) -> None:
    run("diff", "Net", "Sharp", "w.duckdb", "--output", "diff.json", folder=evaluated, expect=1)
    data = json.loads((evaluated / "diff.json").read_text())
    assert {factor["status"] for factor in data["factors"]} == {"same", "differs"}
    assert sum(cell["differing"] for cell in data["cells"]) == data["changed"]["differing"]
    assert sum(image["cell_count"] for image in data["images"]) == data["changed"]["differing"]
    page = (ROOT / "docs" / "differing.md").read_text()
    assert [key for key in data if f"`{key}`" not in page] == []


def test_what_cannot_be_compared_has_exit_code_3_and_a_wrong_name_2(evaluated: Path) -> None:
    said = run("diff", "Half", "Rest", "w.duckdb", folder=evaluated, expect=3).stdout
    assert "no corruption and severity in common" in " ".join(said.split())
    for wrong in (("Nett", "Net"), ("robustbench:A", "timm:B"), ("gone.csv::Net", "Net")):
        with pytest.raises(StudyError) as refused:
            diff_named(*wrong, evaluated / "w.duckdb")
        assert refused.value.exit_code == 2


def test_clean_numbers_are_compared_if_one_side_has_no_others(evaluated: Path) -> None:
    found = diff_named("Net", "Clean", evaluated / "w.duckdb")
    assert found.outcome == "equal"
    assert next(factor.evidence for factor in found.factors if factor.name == "severities and names") == "clean images"


def test_what_is_not_recorded_is_unknown(evaluated: Path) -> None:
    rows = write_row(evaluated / "table.csv", Net=NET._replace(fitted=2))
    found = diff_named("Net", f"{rows}::Net", evaluated / "w.duckdb")
    assert (found.outcome, found.causes) == ("differs", ())
    assert {"weights", "images", "resize"} <= {*found.unknown}
    same = write_row(evaluated / "same.csv", Net=NET)
    assert diff_named("Net", f"{same}::Net", evaluated / "w.duckdb").outcome == "equal"


@pytest.mark.test_all
def test_a_row_without_cells_is_an_average(evaluated: Path) -> None:
    own = NET._replace(dataset="cifar10", protocol="robustbench-cifar10-c", averaging="mean accuracy")
    path = write_warehouse(evaluated / "cifar.duckdb", own)
    row = {"dataset": "cifar10", "clean_acc": "90", "corruptions_acc": "50", "corruptions_mce": "80"}
    (evaluated / "Net.json").write_text(json.dumps(row))
    published = f"{evaluated / 'Net.json'}::Net"
    there, back = diff_named("Net", published, path), diff_named(published, "Net", path)
    assert there.b.value == back.a.value == 0.5
    assert [share.value for share in there.shares] == pytest.approx([-share.value for share in back.shares])
    assert causes_of(there)[0][:2] == ["images", "severities and names"]


def causes(slow: Collection[str], every: Collection[str]) -> list:
    """The causes as parameters: those that are slow, the others nightly."""
    return [pytest.param(one, marks=pytest.mark.test_all if one in slow else pytest.mark.nightly) for one in every]


@pytest.mark.parametrize("cause", causes(["resize", "permuted classes"], CAUSES))
def test_each_of_twelve_causes_is_named_first(cause: str, tmp_path: Path) -> None:
    from causes import between_warehouses

    (found,) = between_warehouses(tmp_path, cause, "linear", [11])
    assert found is None or found.is_named


@pytest.mark.parametrize(
    "cause", causes(["permuted classes", "names"], ["subset", "order of labels", "permuted classes", "names"])
)
def test_causes_are_named_against_an_imported_table(cause: str, tmp_path: Path) -> None:
    from causes import against_table

    found = against_table(tmp_path, cause, "linear", 12)
    assert found is not None
    assert found.is_named


@pytest.mark.parametrize("cause", causes(["form of mCE"], ["subset", "names", "form of mCE"]))
def test_causes_are_named_against_a_published_row(cause: str, tmp_path: Path) -> None:
    from causes import against_row

    found = against_row(tmp_path, cause, "linear", 13)
    assert found is not None
    assert found.is_named


def test_plants_differ_in_their_cause_alone() -> None:
    for cause in ("resize", "crop", "weights"):
        found = planted(cause, 3, "linear")
        differing = [name for name, a, b in zip(Evaluated._fields, found.a, found.b, strict=True) if a != b]
        assert differing == ["fitted" if cause == "weights" else cause]
