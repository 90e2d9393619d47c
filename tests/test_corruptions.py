"""What was published of the corruptions, and the draws they are made from."""

import hashlib
import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from failmodes.ingest.corruptions.catalogue import CORRUPTIONS, KERNELS, STUDY_CORRUPTIONS
from failmodes.ingest.corruptions.recipes import RECIPES
from failmodes.ingest.corruptions.sampling import STREAM_FAMILY, Stream, normal, sample, uint32, uniform

SIZE = (6, 5)

VARIABLES = {
    "normals": normal(lambda size: (*size, 3)),
    "uniforms": uniform(lambda size: size),
    "words": uint32(lambda size: (7,)),
    "turn": uniform(lambda size: ()),
}


def test_catalogue_has_the_published_order() -> None:
    names = list(CORRUPTIONS)
    assert [c.order for c in CORRUPTIONS.values()] == list(range(1, 20))
    assert names[0] == "gaussian_noise"
    assert names[14] == "jpeg_compression"
    assert sum(c.headline for c in CORRUPTIONS.values()) == 15
    assert {c.group for c in CORRUPTIONS.values()} == {"noise", "blur", "weather", "digital"}
    assert set(STUDY_CORRUPTIONS) < set(names)
    assert set(names) == set(KERNELS)
    assert all(set(recipe.levels) == set(names) for recipe in RECIPES.values())


def test_recipes_count_as_published() -> None:
    cifar_c, imagenet_c = (RECIPES[name].levels for name in ("cifar-c", "imagenet-c"))
    # Floating point includes the end of the first two ranges, 1.06 and 1.11, and of no other
    assert [len(np.arange(1, *zoom)) for zoom in cifar_c["zoom_blur"].published] == [7, 12, 16, 21, 26]
    assert [int(32 * share) for (share,) in cifar_c["pixelate"].published] == [30, 28, 27, 24, 20]
    assert [int(224 * share) for (share,) in imagenet_c["pixelate"].published] == [134, 112, 89, 67, 56]
    elastic = np.array(imagenet_c["elastic_transform"].published) * 224
    np.testing.assert_allclose(elastic[0], [244 * 2, 244 * 0.7, 244 * 0.1], err_msg="in the published units of 244")


DISTRIBUTIONS: dict[str, Callable[[np.ndarray], float]] = {
    "normal": lambda values: stats.kstest(values, "norm").pvalue,
    "uniform": lambda values: stats.kstest(values, "uniform").pvalue,
    "word": lambda values: stats.kstest(values / 2**32, "uniform").pvalue,
}


@pytest.mark.parametrize("name", [name for name, operation in KERNELS.items() if operation.draws])
def test_what_each_corruption_draws_is_distributed_as_it_says(name: str) -> None:
    variables = KERNELS[name].draws
    drawn = sample(Stream(5, name, None), np.arange(150), SIZE, variables)
    for which, variable in variables.items():
        values = drawn[which]
        assert values.shape == (150, *variable.shape(SIZE))
        assert values.dtype == (np.uint32 if variable.kind == "word" else np.float32)
        assert DISTRIBUTIONS[variable.kind](values.ravel().astype(float)) > 0.001, which
        assert len(np.unique(values)) > 0.9 * values.size, "no value is drawn twice but by chance"


def test_every_bit_of_a_word_is_fair_and_independent_of_the_next() -> None:
    words = sample(Stream(1, "any", None), np.arange(500), SIZE, {"words": uint32(lambda size: (11,))})["words"].ravel()
    bits = (words[:, None] >> np.arange(32, dtype=np.uint32)) & 1
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 4.5 * 0.5 / np.sqrt(len(words))
    together = np.corrcoef(np.concatenate([bits[:-1], bits[1:]], axis=1).T) - np.eye(64)
    assert np.abs(together).max() < 5 / np.sqrt(len(words))


def test_draws_of_neighbouring_images_are_uncorrelated() -> None:
    normals = sample(Stream(0, "any", None), np.arange(40), (16, 16), {"n": normal(lambda size: size)})["n"]
    correlation = np.corrcoef(normals.reshape(40, -1)) - np.eye(40)
    assert np.abs(correlation).max() < 5 / 16


@settings(max_examples=20, deadline=None)
@given(ids=st.lists(st.integers(0, 2**40), min_size=1, max_size=6), seed=st.integers(-(2**63), 2**70))
def test_an_images_draws_depend_on_its_number_alone(ids: list[int], seed: int) -> None:
    stream = Stream(seed, "fog", None)
    together = sample(stream, np.array(ids), SIZE, VARIABLES)
    backwards = sample(stream, np.array(ids[::-1]), SIZE, VARIABLES)
    for row, image_id in enumerate(ids):
        alone = sample(stream, np.array([image_id]), SIZE, VARIABLES)
        for name in VARIABLES:
            np.testing.assert_array_equal(together[name][row], alone[name][0])
            np.testing.assert_array_equal(backwards[name][len(ids) - 1 - row], alone[name][0])


def test_draws_are_philoxs_under_a_hashed_key() -> None:
    text = f"{STREAM_FAMILY}|7|frost|2.500"
    key = np.frombuffer(hashlib.blake2b(text.encode(), digest_size=16).digest(), "<u8")
    for image_id in (0, 1, 123456):
        bits = np.random.Philox(key=key, counter=[0, 0, 0, image_id])
        expected = np.random.Generator(bits).random((2, 3), np.float32)
        found = sample(Stream(7, "frost", "2.500"), np.array([image_id]), SIZE, {"u": uniform(lambda size: (2, 3))})
        np.testing.assert_array_equal(found["u"][0], expected)


def test_seed_corruption_severity_and_image_decide_the_draws() -> None:
    named = [(Stream(seed, "snow", None), 0) for seed in (0, 1, -1, 2**64)]
    named += [(Stream(0, "frost", None), 0), (Stream(0, "snow", "1.000"), 0), (Stream(0, "snow", "2.000"), 0)]
    named += [(Stream(0, "snow", None), image_id) for image_id in (1, 2, 2**32)]
    drawn = [sample(stream, np.array([image_id]), SIZE, VARIABLES) for stream, image_id in named]
    for first, second in itertools.combinations(range(len(named)), 2):
        for name in VARIABLES:
            assert (drawn[first][name] != drawn[second][name]).all(), (named[first], named[second], name)


def test_nothing_is_drawn_where_nothing_is_needed() -> None:
    assert sample(Stream(0, "contrast", None), np.arange(3), SIZE, {}) == {}
    assert sample(Stream(0, "fog", None), np.arange(0), SIZE, VARIABLES)["normals"].shape == (0, 6, 5, 3)
