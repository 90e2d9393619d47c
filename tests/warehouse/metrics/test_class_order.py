"""Whether outputs look permuted: at the thresholds by hand, and not of ordinary models."""

import numpy as np
import pytest

from failmodes.warehouse.metrics.cell_rows import OTHER
from failmodes.warehouse.metrics.class_order import MAX_CLASSES, far_better_order


@pytest.mark.parametrize(
    ("correct", "swapped", "far"),
    [
        (0, 95, True),  # 0 to 95%
        (45, 50, False),  # 45 to 50%: no large rise
        (30, 60, True),  # it doubles
        (35, 60, False),  # it does not, and 40 of 65 errors are left
        (75, 94, True),  # 6 of 25 errors are left, less than a quarter
    ],
)
def test_the_threshold_of_permuted_outputs(correct: int, swapped: int, far: bool) -> None:
    """Of 2,000 images: the share that is correct as given, and that with two classes the other way round.

    No class is predicted of images that are wrong both ways; those correct both ways are of a third class.
    """
    both = max(0, correct + swapped - 100)
    kinds = np.repeat(
        [0, 1, 2, 3], 10 * np.array([correct - both, swapped - both, both, 100 - correct - swapped + both])
    )
    label = np.where(kinds == 2, 2, np.arange(1000) % 2)
    predicted = np.choose(kinds, [label, 1 - label, label, np.full(1000, OTHER)])
    found = far_better_order(np.repeat(label, 2), np.repeat(predicted, 2), 3)  # both halves alike
    assert (found is not None) == far
    if found:
        assert (found.actual, found.matched) == pytest.approx((correct / 100, swapped / 100))


@pytest.mark.test_all
@pytest.mark.parametrize("accuracy", [0.1, 0.3, 0.95])
@pytest.mark.parametrize("concentration", [0.1, 100.0])
def test_ordinary_models_do_not_look_permuted(accuracy: float, concentration: float) -> None:
    """Ten classes, 500 images; errors go to classes by a Dirichlet's shares, from nearly one each to all alike."""
    rng, labels = np.random.default_rng(0), np.arange(500) % 10
    for _ in range(100):
        confused = np.array([np.insert(rng.dirichlet(np.full(9, concentration)), own, 0) for own in range(10)])
        if accuracy < 0.3:  # errors that are nearly all of one other class are a permutation
            confused = (confused + np.ones((10, 10)) - np.eye(10)) / 10
        predicted = np.array([own if rng.random() < accuracy else rng.choice(10, p=confused[own]) for own in labels])
        assert far_better_order(labels, predicted, 10) is None


def test_chance_among_many_classes_and_too_many_or_too_few_do_not_look_permuted() -> None:
    labels = np.repeat(np.arange(200), 4)
    assert far_better_order(labels, np.random.default_rng(1).integers(0, 200, 800), 200) is None
    assert far_better_order(labels % 2, 1 - labels % 2, MAX_CLASSES + 1) is None
    assert far_better_order(np.array([0, 1]), np.array([1, 0]), 2) is None


def test_the_assignment_is_the_output_of_each_class_and_judged_by_the_other_half() -> None:
    labels = np.arange(90) % 3
    found = far_better_order(labels, np.array([2, 0, 1])[labels], 3)
    assert found is not None
    assert found.outputs.tolist() == [2, 0, 1]
    assert (found.actual, found.matched, found.images) == (0, 1, 45)
    turned = np.where(np.arange(90) // 3 % 2, labels, np.array([2, 0, 1])[labels])  # of every other image alone
    assert far_better_order(labels, turned, 3) is None
