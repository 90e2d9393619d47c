"""Networks against each other: how two checkpoints differ, and why that is no verdict on their architectures."""

from collections.abc import Sequence

import duckdb

from failmodes.analysis.findings.finding import Evidence, Finding
from failmodes.analysis.formatting import (
    MAX_LISTED,
    format_count,
    format_number,
    format_percent,
    format_points,
    join_names,
)
from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.mcnemar import (
    ALPHA,
    PairTest,
    WinCount,
    compare_pairs,
    correct_jointly,
    rank_by_wins,
)

ACCURACY_SLACK = 0.005  # clean accuracies further apart than this are not "equally trained"
ONE_RUN = "stands for one training run, so the spread between training seeds is unknown"


def comparison_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """A finding for each pair of up to four networks, or one for all pairs of more.

    An architecture claim is undecided wherever training could explain it.
    """
    clean = dict(con.execute("select evaluation_id, clean_accuracy from robustness_by_model").fetchall())
    pairs = compare_pairs(con, selection)
    if pairs and len(selection.evaluations) > MAX_LISTED:
        return [all_pairs_finding(pairs, clean)]
    return [_pair_finding(pair, clean) for pair in pairs]


def _pair_finding(pair: PairTest, clean: dict[str, float]) -> Finding:
    a, b = pair.a, pair.b
    won_a, won_b, undecided = (pair.won_by(side) for side in ("a", "b", ""))
    ahead = [
        f"{label} is right more often in {format_count(count, 'cell')}"
        for label, count in ((a.label, won_a), (b.label, won_b))
        if count
    ]
    cells = format_count(len(pair.cells), "cell")
    checkpoints = (
        f"As checkpoints on these images, {join_names(ahead)} of {cells}; {undecided} cannot be told apart"
        if ahead
        else f"As checkpoints on these images they cannot be told apart in any of {cells}"
    )
    kind = "architecture" if a.facts["architecture"] != b.facts["architecture"] else "training"
    figures: Evidence = {
        "evaluation_id_a": a.evaluation_id, "evaluation_id_b": b.evaluation_id, "cells": len(pair.cells),
        "cells_a": won_a, "cells_b": won_b, "cells_undecided": undecided,
    }  # fmt: skip
    return Finding(
        "Comparison",
        f"Whether {a.label} or {b.label} has the more robust {kind} is undecided.",
        f"{checkpoints} (exact McNemar tests, Holm's correction over cells, level {format_number(ALPHA, 2)}). "
        f"Not a verdict on the {kind}, because {_why_undecided(pair, clean)}.",
        "undecided",
        figures,
    )


def _why_undecided(pair: PairTest, clean: dict[str, float]) -> str:
    """What other than the architecture could explain a difference; one training run each always could."""
    first, second = (format_percent(clean[evaluation.evaluation_id]) for evaluation in (pair.a, pair.b))
    reasons = (
        "their training recipes differ",
        "a training recipe is not on record",
        f"they are not equally accurate when clean ({first} and {second})",
    )
    holds = zip(reasons, _differences(pair, clean), strict=True)
    return join_names([*(reason for reason, is_so in holds if is_so), f"each {ONE_RUN}"])


def _why_all_undecided(pairs: Sequence[PairTest], clean: dict[str, float]) -> str:
    """The same over many pairs, with the number of pairs that each reason holds for."""
    reasons = (
        "training recipes differ",
        "a training recipe is not on record",
        f"clean accuracies lie more than {format_points(ACCURACY_SLACK)} apart",
    )
    found = [_differences(pair, clean) for pair in pairs]
    counts = (
        sum(differs and not unknown for differs, unknown, _ in found),
        sum(unknown for _, unknown, _ in found),
        sum(apart for *_, apart in found),
    )
    counted = (f"{reason} in {format_count(n, 'pair')}" for reason, n in zip(reasons, counts, strict=True) if n)
    return join_names([*counted, f"each network {ONE_RUN}"])


def _differences(pair: PairTest, clean: dict[str, float]) -> tuple[bool, bool, bool]:
    """Whether the training recipes differ, one of them is not on record, and the clean accuracies lie apart."""
    recipes = [evaluation.facts["training_recipe"] for evaluation in (pair.a, pair.b)]
    apart = abs(clean[pair.a.evaluation_id] - clean[pair.b.evaluation_id])
    return recipes[0] != recipes[1], None in recipes, apart > ACCURACY_SLACK


def all_pairs_finding(pairs: Sequence[PairTest], clean: dict[str, float]) -> Finding:
    """One finding for all pairs, with Holm's correction over the cells of all of them.

    Args:
        pairs: at least one, as `compare_pairs` gives them.
        clean: clean accuracy, 0-1, by evaluation id.
    """
    tested = correct_jointly(pairs)
    ranked = rank_by_wins(tested)
    decided, split = sum(bool(pair.winner) for pair in tested), sum(pair.is_split for pair in tested)
    undecided = len(tested) - decided - split
    tests = sum(len(pair.cells) for pair in tested)
    which = "none is decided"
    if decided:
        which = f"{decided} {'is' if decided == 1 else 'are'} decided; {leader_sentence(ranked)}"
    kind = "architectures" if len({count.evaluation.facts["architecture"] for count in ranked}) > 1 else "training"
    both_ahead = f"in {split} each of the two is ahead in some cells, " if split else ""
    figures: Evidence = {
        "networks": len(ranked), "pairs": len(tested), "pairs_decided": decided, "pairs_split": split,
        "pairs_undecided": undecided, "tests": tests, "most_won": ranked[0].won,
        "first_evaluation_id": ranked[0].evaluation.evaluation_id if decided else None,
    }  # fmt: skip
    return Finding(
        "Comparison",
        f"As checkpoints on these images, of {format_count(len(tested), 'pair')} of networks {which}.",
        "A pair is decided where one of the two is right more often in at least one cell and less often in none; "
        f"{both_ahead}{undecided} cannot be told apart in any (exact McNemar tests, Holm's correction over all "
        f"{tests:,} cells of all pairs, level {format_number(ALPHA, 2)}). "
        f"Not a verdict on the {kind}, because {_why_all_undecided(tested, clean)}.",
        "found" if decided else "undecided",
        figures,
    )


def leader_sentence(ranked: Sequence[WinCount]) -> str:
    """Which networks are more often right than most of the others, and than how many."""
    first = ranked[0]
    leaders = [count.evaluation.label for count in ranked if count.won == first.won]
    if 2 * first.won <= first.others:
        return "no network is right more often than most of the others"
    who = join_names(leaders) if len(leaders) <= MAX_LISTED else format_count(len(leaders), "network")
    verb = "is" if len(leaders) == 1 else "are each"
    return f"{who} {verb} right more often than {first.won} of the {first.others} others"
