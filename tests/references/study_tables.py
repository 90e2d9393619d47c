"""The aggregates of the founding study, and the tables that its page shows."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import polars as pl

from failmodes.warehouse.curve_shapes import SHAPE_LABELS

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "docs" / "study"
QUERIES = STUDY / "queries"
TABLE = re.compile(r"(<!-- study: (\w+) -->\n\n)((?:\|.*\n)+)")
TEXTS = {"correctness_pattern": pl.String}  # of digits
UNITS = {"accuracy": "{} points {}", "share of images": "{}% {} of images", "curvature": "curvature {} {}"}
ENDS = ("", "_low", "_high")


def aggregate(name: str, study: str = "published") -> pl.DataFrame:
    """Read a table of the study: `published` has whole severities, `dense` steps of a quarter."""
    path = STUDY / study / f"{name}.csv"
    return pl.read_csv(path, infer_schema_length=None, schema_overrides=TEXTS if name == "onset" else None)


def number(value: float | None, digits: int = 1) -> str:
    if value is None:
        return ""
    text = f"{value:.{digits}f}"
    return (text if float(text) else text.lstrip("-")).replace("-", "−")


def with_interval(value: float | None, low: float | None, high: float | None, digits: int = 1) -> str:
    if value is None:
        return ""
    return f"{number(value, digits)} [{number(low, digits)},\u00a0{number(high, digits)}]"


def markdown(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [" | ".join(header), " | ".join("---" for _ in header), *(" | ".join(row) for row in rows)]
    return "".join(f"| {line} |\n" for line in lines)


def accuracy() -> str:
    """Accuracy in percent, one row per model and corruption."""
    table = aggregate("accuracy").with_columns(pl.col("accuracy") * 100)
    wide = table.pivot("severity", index=["corruption", "model_label"], values="accuracy", maintain_order=True)
    rows = wide.sort("corruption", "model_label").rows()
    header = ("corruption", "model", "clean", "1", "2", "3", "4", "5")
    return markdown(header, ([name, label, *(number(value) for value in values)] for name, label, *values in rows))


def claims() -> str:
    """One row per claim: verdict and number for each model; comparisons of two models fill one cell."""
    table = aggregate("claims")
    models = aggregate("accuracy")["model_label"].unique().sort().to_list()
    rows = []
    for (claim,), judged in table.group_by("claim", maintain_order=True):
        said = {row["model_label"]: _judged(row) for row in judged.iter_rows(named=True)}
        of_both = [text for label, text in said.items() if label not in models]
        rows.append([str(claim), *(of_both + [""] * 2 if of_both else [said[model] for model in models])])
    return markdown(("claim", *models), rows)


def _judged(row: dict[str, Any]) -> str:
    scale, digits = (1, 2) if row["unit"] == "curvature" else (100, 1)
    verdict = row["verdict"].replace("_", " ")
    if row["value"] is None:
        return f"{verdict}: {row['reason']}"
    found = with_interval(*(scale * row[key] for key in ("value", "low", "high")), digits=digits)
    return f"{verdict}: {UNITS[row['unit']].format(*found.split(' ', 1))}"


def shapes() -> str:
    """Shapes over severity and over distortion, one row per curve."""
    axes = aggregate("shapes_over_distortion")
    rows = []
    for row in aggregate("shapes").sort("corruption", "model_label").iter_rows(named=True):
        cells = [row["corruption"], row["model_label"], with_interval(*(100 * row[f"total_drop{end}"] for end in ENDS))]
        of_curve = (pl.col("corruption") == row["corruption"]) & (pl.col("model_label") == row["model_label"])
        for axis in ("severity", "rmse", "1-ssim"):
            (found,) = axes.filter(of_curve, axis=axis).rows(named=True)
            curvature = with_interval(*(found[f"curvature{end}"] for end in ENDS), digits=2)
            cells.append(f"{SHAPE_LABELS[found['shape']]} {curvature}".strip())
        rows.append(cells)
    header = ("corruption", "model", "drop at severity 5, points",
              "over severity (curvature)", "over RMSE", "over 1 − SSIM")  # fmt: skip
    return markdown(header, rows)


def ranks() -> str:
    """Corruptions by mean accuracy drop, with intervals of the rank."""
    table = aggregate("ranks").filter(measure="on_average").sort("model_label", "rank")
    rows = (
        [
            row["model_label"],
            f"{row['rank']} [{row['rank_low']}, {row['rank_high']}]",
            row["corruption"],
            with_interval(*(100 * row[f"accuracy_drop{end}"] for end in ENDS)),
        ]
        for row in table.iter_rows(named=True)
    )
    return markdown(("model", "rank [95%]", "corruption", "mean drop, points [95%]"), rows)


def attention() -> str:
    """How far maps of the clean prediction move at the last severity, and the null: another image of the class."""
    rows = (
        [
            row["corruption"],
            row["model_label"],
            number(row["mean_centroid_shift"], 3),
            number(row["null_class_mean_centroid_shift"], 3),
            number(row["mean_cosine"], 2),
            number(row["null_class_mean_cosine"], 2),
        ]
        for row in aggregate("attention").filter(severity=5).sort("corruption", "model_label").iter_rows(named=True)
    )
    header = ("corruption", "model", "shift, image widths", "null", "cosine", "null")
    return markdown(header, rows)


def dense() -> str:
    """The dense grid beside the published one: shape and threshold."""
    whole = aggregate("shapes")
    points = aggregate("change_points", "dense")
    rows = []
    for row in aggregate("shapes", "dense").sort("corruption", "model_label").iter_rows(named=True):
        key = {"corruption": row["corruption"], "model_label": row["model_label"]}
        (coarse,) = whole.filter(**key).rows(named=True)
        (point,) = points.filter(**key).rows(named=True)
        at = f", at {point['break_at']:.2f} [{point['break_from']:.2f}, {point['break_to']:.2f}]"
        curvatures = (with_interval(*(curve[f"curvature{end}"] for end in ENDS), digits=2) for curve in (coarse, row))
        found = [
            f"{SHAPE_LABELS[curve['shape']]} {curvature}"
            for curve, curvature in zip((coarse, row), curvatures, strict=True)
        ]
        threshold = point["threshold"] + (at if point["break_at"] is not None else "")
        rows.append([row["corruption"], row["model_label"], *found, threshold])
    header = ("corruption", "model", "whole severities, 10,000 images", "quarters, 2,000 images", "threshold")
    return markdown(header, rows)


def models() -> str:
    """Accuracy in percent: clean, mean over corrupted cells, and the lowest cell."""
    corrupted = pl.col("severity") > 0
    table = (
        aggregate("accuracy")
        .group_by("model_label", maintain_order=True)
        .agg(
            clean=pl.col("accuracy").filter(pl.col("severity") == 0).first(),
            mean=pl.col("accuracy").filter(corrupted).mean(),
            lowest=pl.col("accuracy").min(),
            at=(pl.col("corruption") + " " + pl.col("severity").cast(pl.Int64).cast(pl.String)).get(
                pl.col("accuracy").arg_min()
            ),
        )
    )
    rows = (
        [label, number(100 * clean), number(100 * mean), f"{number(100 * lowest)} ({at})"]
        for label, clean, mean, lowest, at in table.rows()
    )
    return markdown(("model", "clean, %", "mean of 30 corrupted cells, %", "lowest cell, %"), rows)


def onset() -> str:
    """The most common patterns of correct and incorrect predictions under fog."""
    table = aggregate("onset").filter(corruption="fog")
    rows = ([label, f"`{pattern}`", f"{count:,}"] for label, _, pattern, count in table.rows())
    return markdown(("model", "clean to severity 5", "of 10,000 images"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "accuracy": accuracy, "attention": attention, "claims": claims, "dense": dense, "models": models,
    "onset": onset, "ranks": ranks, "shapes": shapes,
}  # fmt: skip


def with_tables(text: str) -> str:
    """Return the page with current tables."""
    return TABLE.sub(lambda found: found[1] + TABLES[found[2]](), text)
