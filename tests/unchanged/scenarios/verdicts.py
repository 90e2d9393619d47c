"""Verdicts of twenty simulated reports: findings, claims, comparisons and sentences, whose truth is known."""

from pathlib import Path

import judged
import simulated
from side import Side

COUNTED = {"rows": 70366, "values": 181195, "sentences": 3846, "files": 65, "exits": 44}

ASKED = judged.Asked(
    written=("chance", "training-runs", "incomplete"),
    claimed=("better", "overconfident-flat", "cameras"),
    shaped=("abrupt", "rising"),
    thresholds={"overconfident": 0.15},
)


def inputs(folder: Path) -> None:
    for seed, (name, report) in enumerate(simulated.REPORTS.items()):
        simulated.table(report, seed).write_parquet(folder / f"{name}.parquet")


def run(side: Side) -> None:
    judged.judge(side, simulated.REPORTS, ASKED)
