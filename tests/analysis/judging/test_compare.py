"""A comparison of two models of a warehouse, against its rows computed by hand."""

from pathlib import Path

import numpy as np
import pytest
from rewritten_shards import cell_of, reply_with
from scipy import stats
from synthetic_results import Synthetic, write_synthetic

from failmodes.analysis.judging.compare import Comparison, compare_models
from failmodes.analysis.statistics.opened_models import find_model, open_models
from failmodes.analysis.statistics.shares import holm
from failmodes.runtime.errors import StudyError
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load

IMAGES, SEVERITIES = 200, (1, 2, 3, 4, 5)
CORRUPTIONS = ("fog", "contrast")


@pytest.fixture(scope="module")
def crossing(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    """Under contrast Beta is right on 190, 170, 143, 90, 40 of 200 images, Alpha on 160, 150, 140, 130, 120."""
    folder = tmp_path_factory.mktemp("crossing")
    made = write_synthetic(folder, images=IMAGES, corruptions=CORRUPTIONS, shared_difficulty=0.8)
    labels = np.arange(IMAGES) % 4
    for model, counts in (("Alpha", (160, 150, 140, 130, 120)), ("Beta", (190, 170, 143, 90, 40))):
        for severity, count in zip(SEVERITIES, counts, strict=True):
            predictions = np.where(np.arange(IMAGES) < count, labels, (labels + 1) % 4)
            reply_with(made, cell_of(made, model, "contrast", severity), predictions.tolist())
            made.correct[model, "contrast"][severity] = np.arange(IMAGES) < count
    load([made.output], folder / "warehouse.duckdb")
    return made


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Alpha on the same images under other noise, and Gamma on other images."""
    folder = tmp_path_factory.mktemp("others")
    write_synthetic(folder, images=IMAGES, models=("Alpha",), corruptions=("contrast",), seed=1)
    write_synthetic(folder, images=90, models=("Gamma",), corruptions=CORRUPTIONS)
    load([folder], folder / "b.duckdb")
    return folder / "b.duckdb"


@pytest.fixture(scope="module")
def compared(crossing: Synthetic) -> Comparison:
    with open_models(["Alpha", "Beta"], crossing.output) as (a, b):
        return compare_models(a, b, margin=0.02)


def correct(crossing: Synthetic, model: str) -> np.ndarray:
    """(cells, images): the corrupted cells, fog first."""
    return np.concatenate([crossing.correct[model, corruption][1:] for corruption in CORRUPTIONS])


def test_a_winner_under_a_corruption_is_one_under_all_of_them(crossing: Synthetic, compared: Comparison) -> None:
    for row in compared.corruptions:
        one, other = (crossing.correct[model, row.corruption][1:].mean(axis=0) for model in ("Beta", "Alpha"))
        images = np.append(one - other, [1, -1])
        half = stats.norm.ppf(1 - 0.05 / 2 / len(CORRUPTIONS)) * stats.sem(images, ddof=0)
        assert row.estimate[1:3] == pytest.approx((images.mean() - half, images.mean() + half))
        assert bool(row.winner) == (abs(images.mean()) > half)


def test_every_difference_is_the_second_minus_the_first(crossing: Synthetic, compared: Comparison) -> None:
    a, b = correct(crossing, "Alpha"), correct(crossing, "Beta")
    assert (compared.a.label, compared.b.label) == ("Alpha", "Beta")
    assert compared.overall.a == pytest.approx(a.mean())
    assert compared.overall.b == pytest.approx(b.mean())
    each = np.append((b.astype(float) - a).mean(axis=0), [1, -1])
    half = stats.norm.ppf(0.975) * stats.sem(each, ddof=0)
    assert compared.overall.estimate[:3] == pytest.approx(
        (float(b.mean() - a.mean()), each.mean() - half, each.mean() + half)
    )
    one_sided = stats.norm.ppf(0.95) * stats.sem(each, ddof=0)
    assert compared.bounds == pytest.approx((each.mean() - one_sided, each.mean() + one_sided))
    clean = [crossing.correct[model, "fog"][0].mean() for model in ("Alpha", "Beta")]
    assert (compared.clean.a, compared.clean.b) == pytest.approx(clean)


def test_cells_are_tested_exactly_with_one_correction(crossing: Synthetic, compared: Comparison) -> None:
    assert len(compared.cells) == 1 + len(CORRUPTIONS) * len(SEVERITIES)
    assert (compared.cells[0].corruption, compared.cells[0].severity) == ("none", 0)
    p_values = []
    for cell in compared.cells:
        corruption = "fog" if cell.corruption == "none" else cell.corruption
        a, b = (crossing.correct[model, corruption][int(cell.severity)] for model in ("Alpha", "Beta"))
        assert (cell.only_a, cell.only_b) == (int((a & ~b).sum()), int((b & ~a).sum()))
        assert (cell.a, cell.b) == pytest.approx((a.mean(), b.mean()))
        total = int((a ^ b).sum())
        p_values.append(stats.binomtest(int((a & ~b).sum()), total).pvalue if total else 1.0)
    assert [cell.estimate.p_value for cell in compared.cells] == pytest.approx(holm(p_values))
    decided = {(cell.corruption, cell.severity): cell.winner for cell in compared.cells}
    assert decided["contrast", 1.0] == "b"
    assert decided["contrast", 5.0] == "a"
    assert decided["contrast", 3.0] == ""


def test_curves_cross_between_severities_where_each_is_shown_ahead(compared: Comparison) -> None:
    rows = {row.corruption: row.crossover for row in compared.corruptions}
    assert (rows["contrast"].ahead_first, rows["contrast"].low, rows["contrast"].high) == ("b", 2.0, 4.0)
    assert rows["contrast"].at == pytest.approx(3 + 3 / (3 + 40))
    assert rows["fog"] is None


def test_onset_is_the_mean_first_incorrect_severity(crossing: Synthetic, compared: Comparison) -> None:
    means = []
    for model in ("Alpha", "Beta"):
        incorrect = ~np.stack([crossing.correct[model, corruption] for corruption in CORRUPTIONS])
        means.append(np.where(incorrect.any(axis=1), incorrect.argmax(axis=1), 5).mean())
    (onset,) = (row for row in compared.metrics if row.metric.name == "onset_severity")
    assert (onset.a, onset.b, onset.difference.value) == pytest.approx((*means, means[1] - means[0]))


def test_classes_and_images_that_change(crossing: Synthetic, compared: Comparison) -> None:
    a, b = correct(crossing, "Alpha"), correct(crossing, "Beta")
    labels = np.arange(IMAGES) % 4
    for row in compared.classes:
        of_class = labels == row.class_index
        assert row.estimate.n == 50
        assert (row.a, row.b) == pytest.approx((a[:, of_class].mean(), b[:, of_class].mean()))
        each = np.append((b[:, of_class].astype(float) - a[:, of_class]).mean(axis=0), [1, -1])
        half = stats.norm.ppf(1 - 0.025 / 4) * stats.sem(each, ddof=0)
        assert row.estimate[1:3] == pytest.approx((each.mean() - half, each.mean() + half))
    lost = compared.newly_incorrect
    assert lost.share == pytest.approx((a & ~b).mean())
    clean_a, clean_b = (crossing.correct[model, "fog"][:1] for model in ("Alpha", "Beta"))
    assert lost.clean_count == (clean_a & ~clean_b).sum()
    every = np.concatenate([clean_a & ~clean_b, a & ~b])
    counts = every.sum(axis=0)
    assert [image.cell_count for image in lost.images] == sorted(counts, reverse=True)[: len(lost.images)]
    for image in lost.images:
        assert (image.cell_count, image.label) == (counts[image.image_id], labels[image.image_id])
        row = 0 if image.corruption == "none" else 1 + CORRUPTIONS.index(image.corruption) * 5 + int(image.severity) - 1
        assert every[row, image.image_id]
        assert image.predicted_a == image.label_name
        assert image.predicted_b != image.label_name


def test_decisions_follow_the_bounds(crossing: Synthetic, compared: Comparison) -> None:
    low, high = compared.bounds
    assert high < 0
    for margin, not_worse, equivalent in (
        (-high / 2, "contradicted", "contradicted"), (-(low + high) / 2, "inconclusive", "inconclusive"),
        (-2 * low, "supported", "supported"),
    ):  # fmt: skip
        with open_models(["Alpha", "Beta"], crossing.output) as (a, b):
            found = compare_models(a, b, margin=margin)
        assert (found.not_worse, found.equivalent) == (not_worse, equivalent)
    with open_models(["Beta", "Alpha"], crossing.output) as (a, b):
        turned = compare_models(a, b, margin=0.001)
    assert (turned.not_worse, turned.equivalent) == ("supported", "contradicted")
    assert turned.bounds == pytest.approx((-high, -low))


@pytest.mark.test_all
def test_two_files_and_cells_that_one_lacks(crossing: Synthetic, others: Path) -> None:
    with open_models([f"{crossing.output / 'warehouse.duckdb'}::Alpha", f"{others}::Alpha"]) as (a, b):
        found = compare_models(a, b)
    assert (found.a.label, found.b.label) == ("Alpha (warehouse.duckdb)", "Alpha (b.duckdb)")
    assert found.pair.pairing.kind == "same"
    assert "another source of corruptions" in found.pair.pairing.note
    assert found.pair.missing_cells == tuple(("fog", float(severity)) for severity in SEVERITIES)
    assert {cell.corruption for cell in found.cells} == {"none", "contrast"}


@pytest.mark.test_all
def test_unpaired_images_have_no_image_that_changes(crossing: Synthetic, others: Path) -> None:
    with open_models(["Alpha", f"{others}::Gamma"], crossing.output) as (a, b):
        found = compare_models(a, b, mixed=True)
    assert found.pair.pairing.kind == "different"
    assert [text.partition(":")[0] for text in found.pair.mixed] == ["images"]
    assert (found.newly_incorrect, found.newly_correct, found.classes) == (None, None, [])  # another data set
    cell = next(cell for cell in found.cells if (cell.corruption, cell.severity) == ("contrast", 5.0))
    assert cell.only_a is None
    pooled = (90 * cell.b + IMAGES * cell.a) / (90 + IMAGES)
    z = (cell.b - cell.a) / np.sqrt(pooled * (1 - pooled) * (1 / 90 + 1 / IMAGES))
    p_value = 2 * stats.norm.sf(abs(z))
    assert 0.2 * p_value < cell.estimate.p_value < 40 * p_value or cell.estimate.p_value == 1


@pytest.mark.test_all
def test_models_are_found_by_label_and_identity(crossing: Synthetic) -> None:
    path = crossing.output / "warehouse.duckdb"
    identity = crossing.evaluations["Beta"]
    with open_warehouse(path) as con:
        for name in ("Beta", identity, identity[:6]):
            assert find_model(con, path, name).label == "Beta"
        for name, message in (
            ("Betta", "did you mean 'Beta'"),
            ("Zebra", "'Alpha', 'Beta'"),
            (None, "contains 2 models"),
        ):
            with pytest.raises(StudyError, match=message):
                find_model(con, path, name)
