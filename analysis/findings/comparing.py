"""Networks side by side: what two checkpoints differ in, and why that is no verdict on their architectures."""

import duckdb

from analysis.findings.finding import Finding
from analysis.mcnemar import ALPHA, PairTest, compare_pairs
from analysis.selection import Evaluation, Selection
from analysis.words import counted, listing, number, percent

ACCURACY_SLACK = 0.005  # clean accuracies further apart than this are not "equally trained"


def comparison_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """A finding for each pair of networks; an architecture claim is undecided wherever training could explain it."""
    clean = dict(con.execute(
        "select evaluation_id, clean_accuracy from robustness_by_model").fetchall())  # fmt: skip
    return [_pair(pair, clean) for pair in compare_pairs(con, selection)]


def why_undecided(a: Evaluation, b: Evaluation, clean: dict[str, float]) -> list[str]:
    """What other than the architecture could explain a difference; one training run each always could."""
    reasons = []
    if a.facts["training_recipe"] != b.facts["training_recipe"]:
        reasons.append("their training recipes differ")
    if None in (a.facts["training_recipe"], b.facts["training_recipe"]):
        reasons.append("a training recipe is not on record")
    first, second = clean[a.evaluation_id], clean[b.evaluation_id]
    if abs(first - second) > ACCURACY_SLACK:
        reasons.append(f"they are not equally accurate when clean ({percent(first)} and {percent(second)})")
    reasons.append("each stands for one training run, so the spread between training seeds is unknown")
    return reasons


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
