"""Files of published accuracies, as RobustBench lays them out, made up for tests."""

from pathlib import Path

CURVES = {  # accuracy at severities 1-5 by model and corruption
    "Upper": {"fog": (0.94, 0.93, 0.92, 0.90, 0.70), "contrast": (0.90, 0.85, 0.80, 0.75, 0.70)},
    "Alpha": {"fog": (0.80, 0.60, 0.50, 0.45, 0.42), "contrast": (0.62, 0.50, 0.45, 0.42, 0.40)},
    "Lower": {"fog": (0.30, 0.29, 0.28, 0.27, 0.26), "contrast": (0.30, 0.25, 0.20, 0.15, 0.10)},
}
CLEAN = {"Upper": 0.95, "Alpha": 0.9, "Lower": 0.31}
SEVERITIES = (1, 2, 3, 4, 5)


def write_published_files(folder: Path, name: str = "mine", *, clean: bool = True) -> Path:
    """Write CURVES as `<name>_unaggregated.csv`, and CLEAN beside it; returns the path of the table."""
    corruptions = list(CURVES["Upper"])
    heads = [
        ["", *(c for c in corruptions for _ in SEVERITIES)],
        ["", *(str(s) for _ in corruptions for s in SEVERITIES)],
    ]
    rows = [[model, *(str(v) for c in corruptions for v in curves[c])] for model, curves in CURVES.items()]
    path = folder / f"{name}_unaggregated.csv"
    path.write_text("".join(",".join(row) + "\n" for row in (*heads, *rows)))
    if clean:
        lines = [f"{model},{100 * value:g},net-{model.lower()},A paper\n" for model, value in CLEAN.items()]
        (folder / f"{name}_clean.csv").write_text("model,clean_accuracy_percent,architecture,paper\n" + "".join(lines))
    return path
