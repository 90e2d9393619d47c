"""What `corrupt` promises whatever the corruption: independence of batches, common random numbers, clear errors."""

import subprocess
import sys
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.corruptions import STUDY_CORRUPTIONS, corrupt, engine
from warehouse.errors import DataError, FailmodesError, StudyError

IMAGES = np.random.default_rng(3).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)
RANDOM = ("gaussian_noise", "motion_blur", "fog")


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(STUDY_CORRUPTIONS),
    severity=st.integers(1, 5),
    order=st.permutations(range(12)),
    cut=st.integers(1, 11),
)
def test_result_depends_on_neither_order_nor_split(name: str, severity: int, order: list[int], cut: int) -> None:
    whole = corrupt(IMAGES, name, severity, seed=2)
    ids = np.array(order)
    parts = [corrupt(IMAGES[i], name, severity, seed=2, image_ids=i) for i in (ids[:cut], ids[cut:])]
    np.testing.assert_array_equal(np.concatenate(parts), whole[ids])


@pytest.mark.parametrize("name", STUDY_CORRUPTIONS)
def test_result_does_not_depend_on_blocks_layout_or_process(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = corrupt(IMAGES, name, 4, seed=1)
    flipped = np.ascontiguousarray(IMAGES.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(corrupt(flipped, name, 4, seed=1), whole)
    monkeypatch.setattr(engine, "BLOCK_VALUES", 16 * 16 * 3 * 5)
    np.testing.assert_array_equal(corrupt(IMAGES, name, 4, seed=1), whole)


def test_another_process_draws_the_same() -> None:
    code = (
        "import numpy as np, sys; from ingest.corruptions import corrupt;"
        "x = np.full((3, 8, 8, 3), 99, np.uint8); sys.stdout.buffer.write(corrupt(x, 'gaussian_noise', 2).tobytes())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert other == corrupt(np.full((3, 8, 8, 3), 99, np.uint8), "gaussian_noise", 2).tobytes()


@pytest.mark.parametrize("name", RANDOM)
def test_seed_image_and_corruption_decide_the_draws(name: str) -> None:
    same = np.repeat(IMAGES[:1], 2, axis=0)
    first = corrupt(same, name, 3, seed=0)
    assert (first[0] != first[1]).any(), "two images, two draws"
    assert (corrupt(same, name, 3, seed=1)[0] != first[0]).any()
    np.testing.assert_array_equal(corrupt(same, name, 3, seed=0, image_ids=[1, 0]), first[::-1])


def test_paired_draws_are_shared_along_severities() -> None:
    grey = np.full((4, 16, 16, 3), 128, np.uint8)
    mild, harsh = (corrupt(grey, "gaussian_noise", s).astype(float) - 128 for s in (1, 5))
    # sigma .04 and .10, less truncation: the same normals, scaled
    assert np.corrcoef(mild.ravel(), harsh.ravel())[0, 1] > 0.99
    apart = [corrupt(grey, "gaussian_noise", s, draws="independent").astype(float) for s in (1, 5)]
    assert abs(np.corrcoef(apart[0].ravel(), apart[1].ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("name", STUDY_CORRUPTIONS)
def test_severity_zero_is_a_copy_and_the_input_never_changes(name: str) -> None:
    before = IMAGES.copy()
    clean = corrupt(IMAGES, name, 0)
    np.testing.assert_array_equal(clean, IMAGES)
    assert not np.shares_memory(clean, IMAGES)
    assert (corrupt(IMAGES, name, Decimal("5.000")) != IMAGES).any()
    np.testing.assert_array_equal(IMAGES, before)


def test_an_empty_batch_and_odd_sizes_are_fine() -> None:
    for name in STUDY_CORRUPTIONS:
        assert corrupt(IMAGES[:0], name, 3).shape == (0, 16, 16, 3)
        odd = np.random.default_rng(0).integers(0, 256, (2, 37, 50, 3), dtype=np.uint8)
        assert corrupt(odd, name, 3).shape == odd.shape


BAD: dict[str, tuple[type[FailmodesError], str, dict[str, Any]]] = {
    "misspelt": (StudyError, "did you mean 'motion_blur'", {"name": "motion_blurr"}),
    "not generated": (StudyError, "cannot be generated", {"name": "glass_blur"}),
    "fraction": (StudyError, "not offered yet", {"severity": 2.5}),
    "too severe": (StudyError, "out of range", {"severity": 6}),
    "not a number": (StudyError, "out of range", {"severity": float("nan")}),
    "recipe": (StudyError, "did you mean 'cifar-c'", {"recipe": "cifar_c"}),
    "draws": (StudyError, "unknown draws", {"draws": "common"}),
    "float images": (DataError, "must be uint8", {"images": IMAGES / 255.0}),
    "grey images": (DataError, r"must have shape \(N, height, width, 3\)", {"images": IMAGES[..., 0]}),
    "too few ids": (DataError, "one an image", {"image_ids": [1, 2]}),
    "negative id": (DataError, "negative", {"image_ids": np.arange(12) - 1}),
}


@pytest.mark.parametrize(("error", "message", "change"), BAD.values(), ids=BAD.keys())
def test_bad_arguments_are_one_clear_line(error: type[FailmodesError], message: str, change: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"images": IMAGES, "name": "fog", "severity": 2, **change}
    with pytest.raises(error, match=message) as caught:
        corrupt(arguments.pop("images"), arguments.pop("name"), arguments.pop("severity"), **arguments)
    assert "\n" not in str(caught.value)
