"""Many networks held against each other: how many of the others each is more often right than."""

from collections.abc import Sequence
from typing import NamedTuple

from analysis.mcnemar import PairTest
from analysis.selection import Evaluation
from analysis.words import MOST_LISTED, counted, listing


class Standing(NamedTuple):
    """One network: the numbers of others it is more often right than, less often right than, and tested against."""

    evaluation: Evaluation
    won: int
    lost: int
    others: int


def standings(pairs: Sequence[PairTest]) -> list[Standing]:
    """Networks by the pairs that they win (see `PairTest.winner`), then by the fewest that they lose."""
    evaluations = dict.fromkeys(evaluation for pair in pairs for evaluation in (pair.a, pair.b))
    found = []
    for evaluation in evaluations:
        sides = [
            (pair.winner, "a" if pair.a == evaluation else "b") for pair in pairs if evaluation in (pair.a, pair.b)
        ]
        won = sum(winner == side for winner, side in sides)
        lost = sum(winner not in ("", side) for winner, side in sides)
        found.append(Standing(evaluation, won, lost, len(sides)))
    return sorted(found, key=lambda s: (-s.won, s.lost))


def leading_words(ranked: Sequence[Standing]) -> str:
    """Which networks are more often right than most of the others, and than how many."""
    first = ranked[0]
    leaders = [s.evaluation.label for s in ranked if s.won == first.won]
    if 2 * first.won <= first.others:
        return "no network is right more often than most of the others"
    who = listing(leaders) if len(leaders) <= MOST_LISTED else counted(len(leaders), "network")
    verb = "is" if len(leaders) == 1 else "are each"
    return f"{who} {verb} right more often than {first.won} of the {first.others} others"
