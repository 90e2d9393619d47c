"""Networks side by side: what two checkpoints differ in, and why that is no verdict on their architectures.

What other than the architecture could explain a difference between two checkpoints.

All pairs of many networks in one finding: how many are decided, and which network leads.
"""

from collections.abc import Sequence

import duckdb

from failmodes.analysis.findings.finding import Finding
from failmodes.analysis.formatting import (
    MAX_LISTED,
    format_count,
    format_number,
    format_percent,
    format_points,
    join_names,
)
from failmodes.analysis.selection import EvaluationInfo, Selection
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
    clean = dict(con.execute(
        "select evaluation_id, clean_accuracy from robustness_by_model").fetchall())  # fmt: skip
    pairs = compare_pairs(con, selection)
    if pairs and len(selection.evaluations) > MAX_LISTED:
        return [many_pairs(pairs, clean)]
    return [_pair(pair, clean) for pair in pairs]


def _pair(pair: PairTest, clean: dict[str, float]) -> Finding:
    a, b = pair.a.label, pair.b.label
    wins = pair.won_by("a"), pair.won_by("b")
    told = [
        f"{label} is right more often in {format_count(count, 'cell')}"
        for label, count in zip((a, b), wins, strict=True)
        if count
    ]
    cells = format_count(len(pair.cells), "cell")
    checkpoints = (
        f"As checkpoints on these images, {join_names(told)} of {cells}; {pair.won_by('')} cannot be told apart"
        if told
        else f"As checkpoints on these images they cannot be told apart in any of {cells}"
    )
    kind = "architecture" if pair.a.facts["architecture"] != pair.b.facts["architecture"] else "training"
    return Finding(
        "Comparison",
        f"Whether {a} or {b} has the more robust {kind} is undecided.",
        f"{checkpoints} (exact McNemar tests, Holm's correction over cells, level {format_number(ALPHA, 2)}). "
        f"Not a verdict on the {kind}, because {join_names(why_undecided(pair.a, pair.b, clean))}.",
        "undecided",
        {"evaluation_id_a": pair.a.evaluation_id, "evaluation_id_b": pair.b.evaluation_id, "cells": len(pair.cells),
         "cells_a": wins[0], "cells_b": wins[1], "cells_undecided": pair.won_by("")},
    )  # fmt: skip


def why_undecided(a: EvaluationInfo, b: EvaluationInfo, clean: dict[str, float]) -> list[str]:
    """What other than the architecture could explain a difference; one training run each always could."""
    reasons = []
    if _recipes_differ(a, b):
        reasons.append("their training recipes differ")
    if _recipe_is_unknown(a, b):
        reasons.append("a training recipe is not on record")
    if _accuracies_differ(a, b, clean):
        first, second = clean[a.evaluation_id], clean[b.evaluation_id]
        reasons.append(
            f"they are not equally accurate when clean ({format_percent(first)} and {format_percent(second)})"
        )
    return [*reasons, f"each {ONE_RUN}"]


def why_all_undecided(pairs: Sequence[PairTest], clean: dict[str, float]) -> list[str]:
    """The same over many pairs, with the number of pairs that each reason holds for."""
    slack = format_points(ACCURACY_SLACK)
    counts = {
        "training recipes differ": sum(_recipes_differ(p.a, p.b) and not _recipe_is_unknown(p.a, p.b) for p in pairs),
        "a training recipe is not on record": sum(_recipe_is_unknown(p.a, p.b) for p in pairs),
        f"clean accuracies lie more than {slack} apart": sum(_accuracies_differ(p.a, p.b, clean) for p in pairs),
    }
    return [
        *(f"{reason} in {format_count(count, 'pair')}" for reason, count in counts.items() if count),
        f"each network {ONE_RUN}",
    ]


def _recipes_differ(a: EvaluationInfo, b: EvaluationInfo) -> bool:
    return bool(a.facts["training_recipe"] != b.facts["training_recipe"])


def _recipe_is_unknown(a: EvaluationInfo, b: EvaluationInfo) -> bool:
    return None in (a.facts["training_recipe"], b.facts["training_recipe"])


def _accuracies_differ(a: EvaluationInfo, b: EvaluationInfo, clean: dict[str, float]) -> bool:
    return abs(clean[a.evaluation_id] - clean[b.evaluation_id]) > ACCURACY_SLACK


def many_pairs(pairs: Sequence[PairTest], clean: dict[str, float]) -> Finding:
    """One finding for all pairs, with Holm's correction over the cells of all of them.

    Args:
        pairs: at least one, as `compare_pairs` gives them.
        clean: clean accuracy, 0-1, by evaluation id.
    """
    tested = correct_jointly(pairs)
    ranked = rank_by_wins(tested)
    decided, split = sum(bool(pair.winner) for pair in tested), sum(pair.is_split for pair in tested)
    told = len(tested) - decided - split
    tests = sum(len(pair.cells) for pair in tested)
    which = (
        f"{decided} {'is' if decided == 1 else 'are'} decided; {leader_sentence(ranked)}"
        if decided
        else "none is decided"
    )
    kind = "architectures" if len({s.evaluation.facts["architecture"] for s in ranked}) > 1 else "training"
    turned = f"in {split} each of the two is ahead in some cells, " if split else ""
    return Finding(
        "Comparison",
        f"As checkpoints on these images, of {format_count(len(tested), 'pair')} of networks {which}.",
        "A pair is decided where one of the two is right more often in at least one cell and less often in none; "
        f"{turned}{told} cannot be told apart in any (exact McNemar tests, Holm's correction over all "
        f"{tests:,} cells of all pairs, level {format_number(ALPHA, 2)}). "
        f"Not a verdict on the {kind}, because {join_names(why_all_undecided(tested, clean))}.",
        "found" if decided else "undecided",
        {"networks": len(ranked), "pairs": len(tested), "pairs_decided": decided, "pairs_split": split,
         "pairs_undecided": told, "tests": tests, "most_won": ranked[0].won,
         "first_evaluation_id": ranked[0].evaluation.evaluation_id if decided else None},
    )  # fmt: skip


def leader_sentence(ranked: Sequence[WinCount]) -> str:
    """Which networks are more often right than most of the others, and than how many."""
    first = ranked[0]
    leaders = [s.evaluation.label for s in ranked if s.won == first.won]
    if 2 * first.won <= first.others:
        return "no network is right more often than most of the others"
    who = join_names(leaders) if len(leaders) <= MAX_LISTED else format_count(len(leaders), "network")
    verb = "is" if len(leaders) == 1 else "are each"
    return f"{who} {verb} right more often than {first.won} of the {first.others} others"
