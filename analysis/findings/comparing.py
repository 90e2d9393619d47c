"""Networks side by side: what two checkpoints differ in, and why that is no verdict on their architectures."""

import duckdb

from analysis.findings.comparing_many import many_pairs
from analysis.findings.finding import Finding
from analysis.findings.training import why_undecided
from analysis.mcnemar import ALPHA, PairTest, compare_pairs
from analysis.selection import Selection
from analysis.words import MOST_LISTED, counted, listing, number


def comparison_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """A finding for each pair of up to four networks, or one for all pairs of more.

    An architecture claim is undecided wherever training could explain it.
    """
    clean = dict(con.execute(
        "select evaluation_id, clean_accuracy from robustness_by_model").fetchall())  # fmt: skip
    pairs = compare_pairs(con, selection)
    if pairs and len(selection.evaluations) > MOST_LISTED:
        return [many_pairs(pairs, clean)]
    return [_pair(pair, clean) for pair in pairs]


def _pair(pair: PairTest, clean: dict[str, float]) -> Finding:
    a, b = pair.a.label, pair.b.label
    wins = pair.won_by("a"), pair.won_by("b")
    told = [
        f"{label} is right more often in {counted(count, 'cell')}"
        for label, count in zip((a, b), wins, strict=True)
        if count
    ]
    cells = counted(len(pair.cells), "cell")
    checkpoints = (
        f"As checkpoints on these images, {listing(told)} of {cells}; {pair.won_by('')} cannot be told apart"
        if told
        else f"As checkpoints on these images they cannot be told apart in any of {cells}"
    )
    kind = "architecture" if pair.a.facts["architecture"] != pair.b.facts["architecture"] else "training"
    return Finding(
        "Comparison",
        f"Whether {a} or {b} has the more robust {kind} is undecided.",
        f"{checkpoints} (exact McNemar tests, Holm's correction over cells, level {number(ALPHA, 2)}). "
        f"Not a verdict on the {kind}, because {listing(why_undecided(pair.a, pair.b, clean))}.",
        "undecided",
        {"evaluation_id_a": pair.a.evaluation_id, "evaluation_id_b": pair.b.evaluation_id, "cells": len(pair.cells),
         "cells_a": wins[0], "cells_b": wins[1], "cells_undecided": pair.won_by("")},
    )  # fmt: skip
