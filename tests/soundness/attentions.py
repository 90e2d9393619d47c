"""Whether attention stays near its own clean centroid, and whether it leaves the object, where neither is true."""

from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np
from attention_maps import TRUTHS, compare, draw_distances, share_outcomes
from claims import COVERAGE, COVERS_AT_LEAST, FALSE, NEVER_FALSE, NO_LIMIT, POWER, Answers, Claim, Job, answered
from curves import Floats
from numpy.typing import NDArray

from failmodes.analysis.judging.findings.attention_drift import LOST_WITHIN, keeps_place
from failmodes.analysis.statistics.attention import (
    CHANCE,
    OwnMapTest,
    interval_on_cycle,
    mean_on_cycle,
    mean_share_change,
    variance_inflation,
)
from failmodes.warehouse.null_pairs import sample_null_pairs

Images = NDArray[np.int64]
KIND = "attention_drift"
FEW = "two pseudo-images weigh where images are few"


@answered
def measure_own_map(truth: str, images: int, corruptions: int, rng: np.random.Generator, samples: int) -> Answers:
    """Whether, of several corruptions, some is said to end nearer to its own clean centroid."""
    for _ in range(samples):
        drawn = (draw_distances(TRUTHS[truth], images, rng) for _ in range(corruptions))
        yield [any(compare(one, corruptions).share.low > CHANCE for one in drawn)]


def own_map_jobs() -> list[Job]:
    found = []
    for images in (50, 500, 2_000):
        for truth, of in TRUTHS.items():
            claims = (
                Claim("interval of a share kept", COVERAGE, truth, images, 0, COVERS_AT_LEAST, "shares are discrete"),
            )
            found.append(Job(claims, partial(share_outcomes, TRUTHS[truth], images)))
            if not of.is_null or (images == 2_000 and "all end" in truth):
                continue
            for corruptions in (1, 6):
                note = f"any of {corruptions} corruptions"
                claims = (Claim(KIND, FALSE, truth, images, 0, NEVER_FALSE, f"closer, {note}"),)
                measured = partial(measure_own_map, truth, images, corruptions)
                found.append(Job(claims, measured))
    claims = (Claim(KIND, POWER, "slightly informative", 500, 0, NO_LIMIT, "closer"),)
    return [*found, Job(claims, partial(measure_own_map, "slightly informative", 500, 1))]


@answered
def measure_places(share: float, images: int, rng: np.random.Generator, samples: int) -> Answers:
    """Whether a place is said to be lost, and to be kept, where so many images are nearer to their own clean map."""
    following = sample_null_pairs(np.zeros(images, np.int64)).any_image
    for _ in range(samples):
        nearer = interval_on_cycle(*mean_on_cycle((rng.random(images) < share).astype(np.float64), following))
        verdict = keeps_place(OwnMapTest("any", 0, 0.0, 0.0, nearer, nearer, 1.0, 1.0))
        yield (verdict == "contradicted", verdict == "supported")


def place_jobs() -> list[Job]:
    found = []
    for images in (50, 500, 2_000):
        cases = ((CHANCE, 1, "half stay near", "kept"), (CHANCE + LOST_WITHIN, 0, "5 points above half", "lost"))
        for share, column, truth, note in cases:
            claims = (Claim(KIND, FALSE, truth, images, 0, NEVER_FALSE, note),)
            found.append(Job(claims, partial(measure_places, share, images), columns=(column,)))
    claims = (Claim(KIND, POWER, "half stay near", 2_000, 0, NO_LIMIT, "lost"),)
    return [*found, Job(claims, partial(measure_places, CHANCE, 2_000))]


def _normal(rng: np.random.Generator, images: int, _following: Images) -> Floats:
    return rng.normal(0, 0.1, images)


def _skewed(rng: np.random.Generator, images: int, _following: Images) -> Floats:
    """Of one image in five attention leaves the object, and of the others a little more lies on it."""
    left = rng.random(images) < 0.2
    return np.where(left, -rng.uniform(0.1, 0.5, images), rng.uniform(0, 0.15, images))


def _rare(rng: np.random.Generator, images: int, _following: Images) -> Floats:
    """The same of one image in fifty."""
    left = rng.random(images) < 0.02
    return np.where(left, -rng.uniform(0.2, 0.8, images), 0.01 * 0.5 / 0.49 * np.ones(images) * 2 * rng.random(images))


def _alike(rng: np.random.Generator, images: int, following: Images) -> Floats:
    """Large objects have peaked maps, so that what two images of a cycle lose to their nulls rises together."""
    size = rng.uniform(0.1, 0.5, images)
    return np.asarray(size * size[following] - 0.3**2)


def _cancelling(rng: np.random.Generator, images: int, following: Images) -> Floats:
    """Maps become more or less central, whose images' own share and the share in the image before gain alike."""
    centrality, size = rng.normal(0, 0.2, images), rng.uniform(0.2, 1, images)
    return np.asarray(size * (centrality - centrality[following])).clip(-1, 1)


CHANGES: dict[str, Callable[[np.random.Generator, int, Images], Floats]] = {
    "changes are normal": _normal,
    "one image in five changes strongly, mean 0": _skewed,
    "one image in fifty changes strongly, mean 0": _rare,
    "no change beyond the null, images of a cycle similar": _alike,
    "no change beyond the null, images of a cycle dissimilar": _cancelling,
}
ON_A_CYCLE = (
    "no change beyond the null, images of a cycle similar",
    "no change beyond the null, images of a cycle dissimilar",
)


@answered
def measure_background(change: str, images: int, corruptions: int, rng: np.random.Generator, samples: int) -> Answers:
    """Whether attention is said to leave the object, or to come to it, under some corruption; and coverage of one.

    Of a change beyond another image's map, images share maps along a cycle.
    """
    following = np.arange(images)
    for _ in range(samples):
        if change in ON_A_CYCLE:
            following = sample_null_pairs(np.zeros(images, np.int64), seed=int(rng.integers(2**32))).any_image
        changes = [CHANGES[change](rng, images, following) for _ in range(corruptions)]
        widened = [variance_inflation(v, following) if change in ON_A_CYCLE else 1.0 for v in changes]
        outcomes = [mean_share_change(v, corruptions, wider) for v, wider in zip(changes, widened, strict=True)]
        _, low, high = mean_share_change(changes[0], 1, widened[0])[:3]
        yield any(one.below_zero for one in outcomes), any(one.above_zero for one in outcomes), low <= 0 <= high


def background_jobs() -> list[Job]:
    found, kind = [], "attention_off_object"
    for change, images, corruptions in product(CHANGES, (50, 500, 2_000), (1, 6)):
        note = f"any of {corruptions} corruptions"
        claims = (
            Claim(kind, FALSE, change, images, 0, NEVER_FALSE, f"leaves, {note}"),
            Claim(kind, FALSE, change, images, 0, NEVER_FALSE, f"comes, {note}"),
            *(Claim("interval of a mean change", COVERAGE, change, images, 0, COVERS_AT_LEAST, FEW),)
            * (corruptions == 1 or change in ON_A_CYCLE),
        )
        measured = partial(measure_background, change, images, corruptions)
        found.append(Job(claims, measured))
    return found


def jobs() -> list[Job]:
    return own_map_jobs() + place_jobs() + background_jobs()
