"""How often a search calls a slice supported that has no true difference, and whether it finds one that has.

Attributes are independent of each other and of the difficulty of images, but for the planted slice: two groups of two
attributes, together an eighth of the images. The accuracy of a slice is then below that of all other images where the
planted one is a larger part of it. Difficulty is correlated over severities and corruptions.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from claims import COVERAGE, COVERS_AT_LEAST, FALSE, NEVER_FALSE, POWER, Answers, Claim, Job, Limit, answered
from numpy.typing import NDArray
from scipy.special import ndtri

from failmodes.analysis.evaluations.selection import EvaluationInfo
from failmodes.analysis.judging.judge import judge
from failmodes.analysis.judging.slices import on_clean, question_of
from failmodes.analysis.statistics.distinct_slices import distinct_slices
from failmodes.analysis.statistics.slice_search import group_images, search_slices
from failmodes.analysis.statistics.slices import Slice, measured_slice

SUPPORTED, FIRST, INTERVAL, ONLY = (
    "a slice is supported", "the first slice", "interval of a slice's difference", "a slice is worse on clean images",
)  # fmt: skip
CLEAN_ACCURACY, STEP = 0.95, 0.08  # at each severity
CORRUPTIONS, SEVERITIES = 3, 5  # the first corruption is that of the planted slice
EVALUATION = EvaluationInfo("simulated", "Net", {})
SHARES = (0.3, 0.4)  # of the planted groups
JACCARD = 0.8
FOUND = Limit(low=0.95)


class Scenario(NamedTuple):
    """A model on images.

    Attributes:
        images: how many.
        attributes: of images.
        worse: by how much accuracy is lower in the planted slice under the first corruption, 0-1.
        clean: by how much on clean images.
    """

    images: int
    attributes: int
    worse: float = 0.0
    clean: float = 0.0

    @property
    def text(self) -> str:
        """What is true of it, in words."""
        if not self.worse:
            return f"no slice differs, {self.attributes} attributes"
        size = f"{100 * self.worse:g} points worse under one corruption"
        size += f", {100 * self.clean:g} on clean images" if self.clean else " only"
        return f"a slice of {100 * np.prod(SHARES):g}% {size}, {self.attributes} attributes"


def drawn(scenario: Scenario, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Codes (N, A) of the groups of images, and (N, C) whether each is correct; the last cell is clean."""
    count = scenario.images
    codes = np.stack([rng.integers(0, 2 + place % 4, count) for place in range(scenario.attributes)], axis=1)
    for place, share in enumerate(SHARES):
        codes[:, place] = np.where(rng.random(count) < share, 0, rng.integers(1, 3, count))
    inside = (codes[:, : len(SHARES)] == 0).all(axis=1)
    image = rng.normal(size=(count, 1))
    cells, limits = [], []
    for corruption in range(CORRUPTIONS):
        own = rng.normal(size=(count, 1))
        noise = rng.normal(size=(count, SEVERITIES))
        cells.append(np.sqrt(0.4) * image + np.sqrt(0.35) * own + 0.5 * noise)
        accuracies = CLEAN_ACCURACY - STEP * np.arange(1, SEVERITIES + 1)
        limits.append(ndtri(accuracies - np.outer(inside, np.full(SEVERITIES, scenario.worse * (corruption == 0)))))
    cells.append(np.sqrt(0.75) * image + 0.5 * rng.normal(size=(count, 1)))
    limits.append(ndtri(CLEAN_ACCURACY - scenario.clean * inside)[:, None])
    return codes, np.hstack(cells) < np.hstack(limits)


def found_slices(
    codes: NDArray[np.int64], correct: NDArray[np.bool_]
) -> list[tuple[Slice, NDArray[np.bool_], Sequence[tuple[int, int]]]]:
    """The listed slices with their images, and their attributes with the codes."""
    names = np.repeat(np.arange(CORRUPTIONS + 1), [*[SEVERITIES] * CORRUPTIONS, 1])
    images = group_images(codes, correct, names)
    found = []
    for one in distinct_slices(search_slices(images), rows=10):
        inside = images.images_of(one.groups)
        corruption = int(names[one.cell])
        cell = ("none", 0.0) if corruption == CORRUPTIONS else (f"corruption {corruption}", 1.0 + one.cell % SEVERITIES)
        measured = measured_slice(EVALUATION, cell, correct[:, one.cell], inside, correct[:, -1], one)
        conditions = [(int(images.attributes[group]), int(images.codes[group])) for group in one.groups]
        found.append((measured, inside, conditions))
    return found


def true_difference(scenario: Scenario, conditions: Sequence[tuple[int, int]], cell: tuple[str, float]) -> float:
    """The accuracy of a slice minus that of all other images, by the share of the planted slice in both."""
    known = dict(conditions)
    effect = scenario.clean if cell == ("none", 0.0) else scenario.worse * (cell[0] == "corruption 0")
    of_groups = [share if known.get(place) == 0 else (1 - share) / 2 for place, share in enumerate(SHARES)]
    size = np.prod([share for place, share in enumerate(of_groups) if place in known])
    size *= np.prod([1 / (2 + place % 4) for place in known if place >= len(SHARES)])
    planted = np.prod(SHARES)
    inside = np.prod([
        (1.0 if known[place] == 0 else 0.0) if place in known else share for place, share in enumerate(SHARES)
    ])  # fmt: skip
    outside = (planted - size * inside) / (1 - size)
    return float(-effect * (inside - outside))


@answered
def outcomes(scenario: Scenario, rng: np.random.Generator, samples: int) -> Answers:
    """Whether a supported slice has no true difference; whether the first is the planted one; coverage; false words."""
    for _ in range(samples):
        codes, correct = drawn(scenario, rng)
        found = found_slices(codes, correct)
        verdicts = judge([question_of(one) for one, *_ in found], correction="search")
        supported = [one for one, verdict in zip(found, verdicts, strict=True) if verdict.verdict == "supported"]
        truths = [true_difference(scenario, conditions, one.cell) for one, _, conditions in supported]
        planted = (codes[:, : len(SHARES)] == 0).all(axis=1)
        first = found[0][1] if found else np.zeros(len(codes), np.bool_)
        jaccard = (first & planted).sum() / (first | planted).sum()
        intervals = [verdict.decisions[0].estimate for verdict in verdicts if verdict.verdict == "supported"]
        covered = [
            estimate.low <= truth <= estimate.high
            for estimate, truth in zip(intervals, truths, strict=True)
            if estimate
        ]
        words = [
            (on_clean(one), true_difference(scenario, conditions, ("none", 0.0))) for one, _, conditions in supported
        ]
        false_words = [(word == "worse" and truth >= 0) for word, truth in words] + [
            word == "not worse" and truth <= measured_half(scenario, one, conditions)
            for (word, truth), (one, _, conditions) in zip(words, supported, strict=True)
        ]
        yield (
            any(truth >= 0 for truth in truths),
            jaccard >= JACCARD,
            all(covered) if covered else np.nan,
            any(false_words) if supported else np.nan,
        )


def measured_half(scenario: Scenario, one: Slice, conditions: Sequence[tuple[int, int]]) -> float:
    """Half of the true difference under the corruption: with more of it on clean images, it does not arise there."""
    return true_difference(scenario, conditions, one.cell) / 2


def jobs() -> list[Job]:
    """Searches without a difference, and with a planted slice."""
    found = []
    for scenario, samples in (
        (Scenario(500, 10), 2_500),
        (Scenario(2_000, 10), 1_000),
        (Scenario(10_000, 40), 200),
    ):
        claim = Claim(SUPPORTED, FALSE, scenario.text, scenario.images, SEVERITIES, NEVER_FALSE)
        found.append(Job((claim,), partial(outcomes, scenario), samples))
    for scenario, samples in (
        (Scenario(2_000, 10, 0.3), 400),
        (Scenario(2_000, 10, 0.3, 0.15), 400),
        (Scenario(10_000, 40, 0.15), 100),
    ):
        facts = (scenario.text, scenario.images, SEVERITIES)
        claims = (
            Claim(SUPPORTED, FALSE, *facts, NEVER_FALSE),
            Claim(FIRST, POWER, *facts, FOUND, f"a Jaccard index of at least {JACCARD} with the planted one"),
            Claim(INTERVAL, COVERAGE, *facts, COVERS_AT_LEAST, "all supported ones of a search"),
            Claim(ONLY, FALSE, *facts, NEVER_FALSE),
        )
        found.append(Job(claims, partial(outcomes, scenario), samples))
    return found
