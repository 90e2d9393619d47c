"""A finding: one sentence that the data support, with its detail, its verdict and the figures behind it."""

from typing import Literal, NamedTuple

Verdict = Literal["found", "undecided", "limitation"]
Evidence = dict[str, float | int | str | None]


class Finding(NamedTuple):
    """One thing that the data say.

    Attributes:
        topic: what it is about, in a word or two.
        headline: the sentence that a reader takes away.
        detail: what stands behind it, with intervals.
        verdict: 'found', 'undecided' (the data cannot tell) or 'limitation' (what must not be claimed).
        figures: the evidence, by name; shares and accuracies 0-1.
    """

    topic: str
    headline: str
    detail: str
    verdict: Verdict
    figures: Evidence
