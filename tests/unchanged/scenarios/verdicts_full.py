"""Ninety simulated reports and two hundred gates: as `verdicts` and `verdicts_gates`, with more images and seeds."""

import json
from dataclasses import replace
from pathlib import Path

import judged
import simulated
import verdicts
import verdicts_gates
from side import Side

COUNTED = {"exits": 445}

SIZES = (1, 0.6, 1.6, 1, 2.5)  # images of each variant, as a share of those in `verdicts`
SEEDS = range(2)
CANDIDATES = ("Birch", "Cedar", "Dill")
LARGE = (  # those with a fifth variant
    "abrupt", "chance", "collapse", "falling", "few", "incomplete", "overconfident", "rising", "training-runs",
    "unpaired",
)  # fmt: skip
REPORTS = {
    f"{name}-{variant}": replace(report, images=round(report.images * size))
    for variant, size in enumerate(SIZES)
    for name, report in simulated.REPORTS.items()
    if variant < 4 or name in LARGE
}
GATES = {name: gate for name, gate in verdicts_gates.GATES.items() if gate.candidate in CANDIDATES and not gate.words}
ASKED = judged.Asked(
    written=[name for name in REPORTS if name.startswith(LARGE) and name.endswith("-2")],
    claimed=[name for name in REPORTS if name.endswith(("-1", "-3"))],
    shaped=[name for name in REPORTS if name.startswith(verdicts.ASKED.shaped)],
    thresholds=dict.fromkeys((name for name in REPORTS if name.endswith("-2")), 0.15),
)


def inputs(folder: Path) -> None:
    for seed, (name, report) in enumerate(REPORTS.items(), 100):
        simulated.table(report, seed).write_parquet(folder / f"{name}.parquet")
    for seed in SEEDS:
        simulated.table(verdicts_gates.SINGLE, 300 + seed).write_parquet(folder / f"gates-{seed}.parquet")


def run(side: Side) -> None:
    judged.judge(side, REPORTS, ASKED)
    for seed in SEEDS:
        gates(side, f"gates-{seed}")


def gates(side: Side, name: str) -> None:
    """Every gate about each candidate, against each other model."""
    import failmodes

    w = failmodes.import_predictions(side.inputs / f"{name}.parquet", to=name, progress=False)
    for candidate in CANDIDATES:
        for case, gate in GATES.items():
            baseline = "Alder" if gate.baseline.endswith(".duckdb") else gate.baseline
            models = {"candidate": candidate, "baseline": baseline, "level": gate.level}
            rules = {key: value for key, value in models.items() if value} | {"rules": list(gate.rules)}
            side.python(
                f"{name}.{candidate}.{case}",
                lambda r=rules: json.loads(failmodes.gate({"gate": r}, w).to_json()),
            )
