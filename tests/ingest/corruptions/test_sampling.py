"""Random samples: fair, independent between images, and the same whatever the order."""

import hashlib
import itertools

import numpy as np

from failmodes.ingest.corruptions.sampling import STREAM_FAMILY, Stream, normal, sample, uint32, uniform

SIZE = (6, 5)

VARIABLES = {
    "normals": normal(lambda size: (*size, 3)),
    "uniforms": uniform(lambda size: size),
    "uint32s": uint32(lambda size: (7,)),
    "turn": uniform(lambda size: ()),
}


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
