"""Conformal sets: LAC is MAPIE's, APS an independent implementation of its definition, image by image."""

from typing import Any

import numpy as np
import pytest
from given_cells import columns_of_logits, paired, reason_of
from scipy.special import softmax

from failmodes.warehouse.metrics.abstention import choosing_half
from failmodes.warehouse.metrics.cell_rows import CellRows
from failmodes.warehouse.metrics.conformal import prediction_sets

METRICS = ("lac_coverage", "lac_set_size", "aps_coverage", "aps_set_size")


def drawn(count: int, classes: int, seed: int, sharpness: float = 2.0, severity: float = 0.0) -> CellRows:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    logits = sharpness * rng.standard_normal((count, classes)) + 3 * np.eye(classes)[labels]
    return CellRows.of(columns_of_logits(logits, labels), severity)


def halves(rows: CellRows) -> tuple[Any, Any, Any]:
    """Float64 probabilities, labels and which images calibrate."""
    return softmax(rows["logits"].astype(np.float64), axis=1), rows["label"].astype(int), choosing_half(rows)


CASES = [(1_000, 10, 2.0), (997, 3, 1.0), (400, 10, 8.0), (39, 10, 2.0), (1_500, 30, 0.5)]


@pytest.mark.test_all
@pytest.mark.parametrize(("count", "classes", "sharpness"), CASES)
def test_lac_sets_are_those_of_mapie(count: int, classes: int, sharpness: float) -> None:
    mapie = pytest.importorskip("mapie.classification", reason="needs mapie>=1.6")
    rows = drawn(count, classes, count, sharpness)
    shares, labels, calibrating = halves(rows)

    class Known:
        """A classifier whose inputs are its probabilities."""

        classes_, fitted_ = np.arange(classes), True

        def fit(self, x: Any, y: Any) -> "Known":
            return self

        def predict_proba(self, x: Any) -> Any:
            return x

        def predict(self, x: Any) -> Any:
            return x.argmax(axis=1)

        def __sklearn_is_fitted__(self) -> bool:
            return True

    theirs = mapie.SplitConformalClassifier(Known(), 0.9, "lac", prefit=True)
    theirs.conformalize(shares[calibrating], labels[calibrating])
    _, sets = theirs.predict_set(shares[~calibrating])
    mine = prediction_sets(rows, rows, "lac")
    assert mine.size[~calibrating].tolist() == sets[..., 0].sum(axis=1).tolist()
    covered = sets[np.arange((~calibrating).sum()), labels[~calibrating], 0]
    assert mine.covered[~calibrating].tolist() == covered.astype(float).tolist()
    assert np.isnan(mine.size[calibrating]).all()


def sets_by_definition(shares: Any, labels: Any, calibrating: Any) -> list[set[int]]:
    """APS of Romano et al. without randomization, class by class."""

    def score(p: Any, label: int) -> float:
        order = sorted(range(len(p)), key=lambda one: (-p[one], one))
        return float(sum(p[one] for one in order[: order.index(label) + 1]))

    known = sorted(score(p, label) for p, label in zip(shares[calibrating], labels[calibrating], strict=True))
    rank = int(np.ceil((len(known) + 1) * 0.9))
    bound = known[rank - 1] if rank <= len(known) else np.inf
    return [{k for k in range(len(p)) if score(p, k) <= bound + 1e-8} for p in shares[~calibrating]]


@pytest.mark.parametrize(("count", "classes", "sharpness"), [(300, 10, 2.0), (201, 3, 1.0), (12, 4, 1.0)])
def test_aps_sets_are_those_of_the_definition(count: int, classes: int, sharpness: float) -> None:
    rows = drawn(count, classes, count, sharpness)
    shares, labels, calibrating = halves(rows)
    expected = sets_by_definition(shares, labels, calibrating)
    mine = prediction_sets(rows, rows, "aps")
    assert mine.size[~calibrating].tolist() == [len(one) for one in expected]
    hits = [float(label in one) for label, one in zip(labels[~calibrating], expected, strict=True)]
    assert mine.covered[~calibrating].tolist() == hits


def test_sets_of_corrupted_images_keep_the_clean_bound() -> None:
    clean, corrupted = drawn(500, 5, 0), drawn(500, 5, 1, severity=3.0)
    shares, _, calibrating = halves(clean)
    of_labels = 1 - shares[np.arange(500), clean["label"].astype(int)]
    bound = np.sort(of_labels[calibrating])[int(np.ceil((calibrating.sum() + 1) * 0.9)) - 1]
    others, _, same = halves(corrupted)
    expected = (1 - others[~same] <= bound + 1e-8).sum(axis=1)
    assert prediction_sets(corrupted, clean, "lac").size[~same].tolist() == expected.tolist()


@pytest.mark.parametrize("name", METRICS)
def test_without_all_logits_there_are_no_sets(name: str) -> None:
    rows = drawn(50, 5, 0)
    columns = {one: rows[one] for one in ("image_id", "label", "predicted", "finite")}
    rows = CellRows.of(columns, 0)
    assert "logits" in reason_of(name, paired(rows))
    largest = columns | {"logits": np.ones((50, 5)), "logit_classes": np.ones(50, bool)}
    assert "logits" in reason_of(name, paired(CellRows.of(largest, 0)))
    assert "clean" in reason_of(name, rows)
