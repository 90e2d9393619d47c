"""What a finding is."""

from typing import Literal, NamedTuple

Verdict = Literal["found", "undecided", "limit"]

Evidence = dict[str, float | int | str | None]


class Finding(NamedTuple):
    """One thing that the data say.

    Attributes:
        topic: what it is about, in a word or two.
        headline: the sentence that a reader takes away.
        detail: what stands behind it, with intervals.
        verdict: 'found', 'undecided' (the data cannot tell) or 'limit' (what must not be claimed).
        figures: the evidence, by name; shares and accuracies 0-1.
    """

    topic: str
    headline: str
    detail: str
    verdict: Verdict
    figures: Evidence
