"""All pairs of many networks in one finding: how many are decided, and which network leads."""

from collections.abc import Sequence

from analysis.findings.finding import Finding
from analysis.findings.training import why_all_undecided
from analysis.mcnemar import ALPHA, PairTest, correct_jointly
from analysis.standings import leading_words, standings
from analysis.words import counted, listing, number


def many_pairs(pairs: Sequence[PairTest], clean: dict[str, float]) -> Finding:
    """One finding for all pairs, with Holm's correction over the cells of all of them.

    Args:
        pairs: at least one, as `compare_pairs` gives them.
        clean: clean accuracy, 0-1, by evaluation id.
    """
    tested = correct_jointly(pairs)
    ranked = standings(tested)
    decided, split = sum(bool(pair.winner) for pair in tested), sum(pair.is_split for pair in tested)
    told = len(tested) - decided - split
    tests = sum(len(pair.cells) for pair in tested)
    which = (
        f"{decided} {'is' if decided == 1 else 'are'} decided; {leading_words(ranked)}"
        if decided
        else "none is decided"
    )
    kind = "architectures" if len({s.evaluation.facts["architecture"] for s in ranked}) > 1 else "training"
    turned = f"in {split} each of the two is ahead in some cells, " if split else ""
    return Finding(
        "Comparison",
        f"As checkpoints on these images, of {counted(len(tested), 'pair')} of networks {which}.",
        "A pair is decided where one of the two is right more often in at least one cell and less often in none; "
        f"{turned}{told} cannot be told apart in any (exact McNemar tests, Holm's correction over all "
        f"{tests:,} cells of all pairs, level {number(ALPHA, 2)}). "
        f"Not a verdict on the {kind}, because {listing(why_all_undecided(tested, clean))}.",
        "found" if decided else "undecided",
        {"networks": len(ranked), "pairs": len(tested), "pairs_decided": decided, "pairs_split": split,
         "pairs_undecided": told, "tests": tests, "most_won": ranked[0].won,
         "first_evaluation_id": ranked[0].evaluation.evaluation_id if decided else None},
    )  # fmt: skip
