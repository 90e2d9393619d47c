"""Whether outputs look permuted: at the thresholds by hand, and not of ordinary models."""

import numpy as np
import pytest

from failmodes.warehouse.metrics.cell_rows import OTHER
from failmodes.warehouse.metrics.class_order import MOST_CLASSES, far_better_order


@pytest.mark.parametrize(
    ("correct", "swapped", "far"),
    [
        (0, 95, True),  # 0 to 95 %
        (45, 50, False),  # 45 to 50 %: no large rise
        (30, 60, True),  # it doubles
        (35, 60, False),  # it does not, and 40 of 65 errors are left
        (75, 94, True),  # 6 of 25 errors are left, less than a quarter
    ],
)
def test_the_threshold_of_permuted_outputs(correct: int, swapped: int, far: bool) -> None:
    """Of two classes in 2,000 images: the share that is correct as given, and that with classes the other way round.

    A third class, OTHER, takes the images that are wrong both ways; those correct both ways are not reassigned.
    """
    count = 1000
    both = max(0, correct + swapped - 100)
    one, other = 10 * (correct - both), 10 * (swapped - both)
    label = np.tile([0, 1], count // 2)
    predicted = np.full(count, OTHER)
    predicted[:one] = label[:one]
    predicted[one : one + other] = 1 - label[one : one + other]
    fixed = 10 * both  # of a class of its own
    label[one + other : one + other + fixed] = predicted[one + other : one + other + fixed] = 2
    found = far_better_order(np.repeat(label, 2), np.repeat(predicted, 2), 3)  # both halves alike
    assert (found is not None) == far
    if found:
        assert (found.actual, found.matched) == pytest.approx((correct / 100, swapped / 100))


@pytest.mark.parametrize("accuracy", [0.1, 0.15, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("concentration", [0.1, 1.0, 100.0])
def test_ordinary_models_do_not_look_permuted(accuracy: float, concentration: float) -> None:
    """Ten classes, 500 images; errors go to classes by a Dirichlet's shares, from nearly one each to all alike."""
    rng, found = np.random.default_rng(0), 0
    for _ in range(200):
        labels = np.arange(500) % 10
        confused = np.array([np.insert(rng.dirichlet(np.full(9, concentration)), own, 0) for own in range(10)])
        if accuracy < 0.3:  # errors that are nearly all of one other class are a permutation
            confused = (confused + np.ones((10, 10)) - np.eye(10)) / 10
        predicted = np.array([own if rng.random() < accuracy else rng.choice(10, p=confused[own]) for own in labels])
        found += far_better_order(labels, predicted, 10) is not None
    assert found == 0


def test_of_many_classes_chance_does_not_look_permuted() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(200), 4)
    assert far_better_order(labels, rng.integers(0, 200, 800), 200) is None


def test_too_many_classes_or_too_few_images_are_left_out() -> None:
    labels = np.arange(4000) % 2
    assert far_better_order(labels, 1 - labels, 2) is not None
    assert far_better_order(labels, 1 - labels, MOST_CLASSES + 1) is None
    assert far_better_order(np.array([0, 1]), np.array([1, 0]), 2) is None


def test_the_assignment_is_the_output_of_each_class() -> None:
    labels = np.arange(90) % 3
    outputs = np.array([2, 0, 1])
    found = far_better_order(labels, outputs[labels], 3)
    assert found is not None
    assert found.outputs.tolist() == outputs.tolist()
    assert (found.actual, found.matched, found.images) == (0, 1, 45)
