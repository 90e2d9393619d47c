"""What is counted, what it is held against, and when a limit counts as broken."""

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any, NamedTuple

import numpy as np
from curves import Floats
from scipy.special import betaincinv

FALSE, COVERAGE, POWER, AT_SMALLEST = "false claim", "coverage", "power", "power at the smallest difference"
Answers = Iterator[Sequence[float]]  # of each draw, one after the other
CONFIDENCE = 0.99  # of the interval that says how well the samples know a share


class Limit(NamedTuple):
    """Where a true share must lie; None is no limit."""

    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.low is not None and self.high is not None:
            return f"{100 * self.low:g} to {100 * self.high:g}%"
        if self.low is not None:
            return f"at least {100 * self.low:g}%"
        return f"at most {100 * self.high:g}%" if self.high is not None else "none"


class Claim(NamedTuple):
    """One row before it is measured.

    Attributes:
        kind: of statement or interval.
        measured: FALSE, COVERAGE, POWER or AT_SMALLEST.
        truth: what is simulated, in words.
        images: of each draw.
        severities: of the grid; 0 where there is none.
        limit: of the share.
        note: why the limit is another than that of its kind, or what is unlike the report.
    """

    kind: str
    measured: str
    truth: str
    images: int
    severities: int
    limit: Limit
    note: str = ""


class Job(NamedTuple):
    """Claims that the same samples answer.

    Attributes:
        claims: what is counted.
        measure: `measure(rng, samples)` gives (samples, answers) of 0, 1 and NaN for none.
        samples: where they are not as many as the run's.
        columns: of the answers, those of the claims; the first ones if not given.
        is_exact: whether `measure` gives probabilities, one row of them, instead of samples.
    """

    claims: tuple[Claim, ...]
    measure: Callable[[np.random.Generator, int], Floats]
    samples: int | None = None
    columns: tuple[int, ...] = ()
    is_exact: bool = False

    def answers(self, rng: np.random.Generator, samples: int) -> Floats:
        """What so many samples answer to each claim, (samples, claims)."""
        return self.measure(rng, samples)[:, self.columns or range(len(self.claims))]


class Row(NamedTuple):
    """A claim with the share that was measured, its interval of 99 %, and whether its limit holds."""

    kind: str
    measured: str
    truth: str
    images: int
    severities: int
    samples: int
    share: float
    low: float
    high: float
    limit: str
    ok: bool
    note: str


NEVER_FALSE = Limit(high=0.05)
COVERS = Limit(0.935, 0.97)
COVERS_AT_LEAST = Limit(0.935)
NO_LIMIT = Limit()


def answered(draws: Callable[..., Answers]) -> Callable[..., Floats]:
    """Make of a function that yields the answers of each draw one that gives them all, (samples, answers)."""

    @wraps(draws)
    def measured(*arguments: Any, **options: Any) -> Floats:
        return np.array(list(draws(*arguments, **options)), dtype=np.float64)

    return measured


def judge(claim: Claim, outcomes: Sequence[float] | Floats, *, is_exact: bool = False) -> Row:
    """The row of a claim: a limit is broken where the whole interval of the share lies beyond it.

    A probability is its own interval.
    """
    known = np.asarray(outcomes, dtype=np.float64)
    known = known[np.isfinite(known)]
    hits, count = known.sum(), len(known)
    low, high = (hits, hits) if is_exact else share_interval(int(hits), count)
    below = claim.limit.low is not None and high < claim.limit.low
    above = claim.limit.high is not None and low > claim.limit.high
    share = float(hits / count) if count else float("nan")
    kind, measured, truth, images, severities, limit, note = claim
    holds = not (below or above)
    return Row(kind, measured, truth, images, severities, count, share, low, high, str(limit), holds, note)


def share_interval(hits: int, count: int) -> tuple[float, float]:
    """Clopper and Pearson's interval of a share, of SURE."""
    tail = (1 - CONFIDENCE) / 2
    low = float(betaincinv(hits, count - hits + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, count - hits, 1 - tail)) if hits < count else 1.0
    return low, high
