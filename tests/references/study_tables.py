"""The aggregates of the studies in docs/study, and the tables that their pages show."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import polars as pl

from failmodes.warehouse.curve_shapes import SHAPE_LABELS

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "docs" / "study"
QUERIES = STUDY / "queries"
FOUNDING, PHOTOGRAPHS = ROOT / "docs" / "founding-study.md", ROOT / "docs" / "photographs.md"
PAGES = {"published": FOUNDING, "dense": FOUNDING, "photographs": PHOTOGRAPHS}  # by study
# <!-- study: photographs claims 1-7 -->: a study, one of its tables, and of claims the numbers
TABLE = re.compile(r"(<!-- study: (\w+) (\w+)(?: (\d+)-(\d+))? -->\n\n)((?:\|.*\n)+)")
TEXTS = {"correctness_pattern": pl.String}  # of digits
UNITS = {  # of a claim: how a value is written, with its interval
    "accuracy": "{} points {}", "difference of shares": "{} points {}", "share": "{}% {}",
    "share of images": "{}% {} of images", "share of log-loss": "{}% {} of log-loss", "curvature": "curvature {} {}",
    "score": "{} {}",
}  # fmt: skip
ENDS = ("", "_low", "_high")
GROUPS = ("noise", "blur", "weather", "digital")
SCORES = {
    "confidence": "confidence", "drift": "attention drift", "drift_beyond_margin": "attention drift, beyond the margin",
    "entropy": "entropy", "margin": "margin",
}  # fmt: skip


def aggregate(name: str, study: str) -> pl.DataFrame:
    """Read a table of a study: `published`, `dense` (the founding study in quarters of severities) or `photographs`."""
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


def accuracy(study: str) -> str:
    """Accuracy in percent, one row per model and corruption."""
    table = aggregate("accuracy", study).with_columns(pl.col("accuracy") * 100)
    wide = table.pivot("severity", index=["corruption", "model_label"], values="accuracy", maintain_order=True)
    rows = wide.sort("corruption", "model_label").rows()
    header = ("corruption", "model", "clean", "1", "2", "3", "4", "5")
    return markdown(header, ([name, label, *(number(value) for value in values)] for name, label, *values in rows))


def claims(study: str, first: int = 1, last: int | None = None) -> str:
    """One row per claim: verdict and number for each model; comparisons of two models fill one cell.

    first, last: of these only, by their number in the study file.
    """
    judged = aggregate("claims", study)
    models = aggregate("accuracy", study)["model_label"].unique().sort().to_list()
    chosen = [rows for _, rows in judged.group_by("claim", maintain_order=True)][first - 1 : last]
    said = [{row["model_label"]: _judged(row) for row in rows.iter_rows(named=True)} for rows in chosen]
    names = [rows["claim"][0] for rows in chosen]
    if all(len(verdicts) == 1 for verdicts in said):  # of two models each
        return markdown(("claim", "verdict"), ([name, *of.values()] for name, of in zip(names, said, strict=True)))
    rows = ([name, *(of.get(model, "") for model in models)] if len(of) > 1 else
            [name, *of.values(), *[""] * (len(models) - 1)] for name, of in zip(names, said, strict=True))  # fmt: skip
    return markdown(("claim", *models), rows)


def _judged(row: dict[str, Any]) -> str:
    scale, digits = (1, 2) if row["unit"] in ("curvature", "score") else (100, 1)
    verdict = row["verdict"].replace("_", " ")
    if row["value"] is None:
        return f"{verdict}: {row['reason']}"
    found = with_interval(*(scale * row[key] for key in ("value", "low", "high")), digits=digits)
    return f"{verdict}: {UNITS[row['unit']].format(*found.split(' ', 1))}"


def shapes(study: str) -> str:
    """Shapes over severity and over distortion, one row per curve."""
    axes = aggregate("shapes_over_distortion", study)
    rows = []
    for row in aggregate("shapes", study).sort("corruption", "model_label").iter_rows(named=True):
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


def stability(study: str) -> str:
    """The shape of each curve over severity, with the share of resamples that have it: one row per corruption."""
    table = aggregate("shapes", study)
    models = table["model_label"].unique().sort().to_list()
    rows = []
    for (corruption,), curves in table.sort("model_label").group_by("corruption", maintain_order=True):
        of_models = {row["model_label"]: row for row in curves.iter_rows(named=True)}
        rows.append([str(corruption), *(_shape(of_models[model]) for model in models)])
    return markdown(("corruption", *models), sorted(rows))


def _shape(row: dict[str, Any]) -> str:
    if row["curvature"] is None:
        return SHAPE_LABELS[row["shape"]]
    share = 100 * row["stability"]
    least = ">\u00a099" if 99 < share < 100 else number(share, 0)
    return f"{SHAPE_LABELS[row['shape']]} {number(row['curvature'], 2)}, {least}%"


def ranks(study: str) -> str:
    """Corruptions by mean accuracy drop, with intervals of the rank."""
    table = aggregate("ranks", study).filter(measure="on_average").sort("model_label", "rank")
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


def drops(study: str) -> str:
    """Mean drop of each corruption and its rank, models side by side, in the order of their mean drop."""
    table = aggregate("ranks", study).filter(pl.col("rank").is_not_null(), measure="on_average")
    models = table["model_label"].unique().sort().to_list()
    by_mean = table.group_by("corruption").agg(pl.col("accuracy_drop").mean()).sort("accuracy_drop", descending=True)
    rows = []
    for corruption in by_mean["corruption"]:
        cells = []
        for model in models:
            (row,) = table.filter(corruption=corruption, model_label=model).rows(named=True)
            drop = with_interval(*(100 * row[f"accuracy_drop{end}"] for end in ENDS))
            cells.append(f"{drop}; {row['rank']} [{row['rank_low']}, {row['rank_high']}]")
        rows.append([corruption, *cells])
    return markdown(("corruption", *(f"{model}: points; rank" for model in models)), rows)


def attention(study: str) -> str:
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
        for row in aggregate("attention", study)
        .filter(severity=5)
        .sort("corruption", "model_label")
        .iter_rows(named=True)
    )
    header = ("corruption", "model", "shift, image widths", "null", "cosine", "null")
    return markdown(header, rows)


def outcomes(study: str) -> str:
    """Median drift at the last severity of images classified correctly, of those that are not, and of another image."""
    table = aggregate("attention_by_outcome", study).filter(severity=5)
    models = table["model_label"].unique().sort().to_list()
    names = ("correct_median_centroid_shift", "incorrect_median_centroid_shift", "null_median_centroid_shift")
    rows = []
    for (corruption,), found in table.sort("corruption").group_by("corruption", maintain_order=True):
        of_models = {row["model_label"]: row for row in found.iter_rows(named=True)}
        cells = (" / ".join(number(of_models[model][name], 2) for name in names) for model in models)
        rows.append([str(corruption), *cells])
    return markdown(("corruption", *models), rows)


def shapes_of_grids(study: str) -> str:
    """A dense grid beside the whole severities: shape and threshold."""
    whole = aggregate("shapes", "published")
    points = aggregate("change_points", study)
    rows = []
    for row in aggregate("shapes", study).sort("corruption", "model_label").iter_rows(named=True):
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


def models(study: str) -> str:
    """Accuracy in percent: clean, mean over corrupted cells, and the lowest cell."""
    corrupted = pl.col("severity") > 0
    table = (
        aggregate("accuracy", study)
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


def groups(study: str) -> str:
    """Accuracy in percent: clean, mean over the 15 headline corruptions and their groups, over the extra ones."""
    found = aggregate("groups", study)
    clean = aggregate("accuracy", study).filter(severity=0).unique("model_label")
    rows = []
    for model in found["model_label"].unique().sort().to_list():
        of_model = found.filter(model_label=model)
        by_group = {row["corruption_group"]: row for row in of_model.iter_rows(named=True)}
        headline = [by_group[name] for name in GROUPS]
        mean = sum(row["accuracy"] * row["cell_count"] for row in headline) / sum(row["cell_count"] for row in headline)
        values = [clean.filter(model_label=model)["accuracy"].item(), mean]
        values += [by_group[name]["accuracy"] for name in (*GROUPS, "extra")]
        rows.append([model, *(number(100 * value) for value in values)])
    return markdown(("model", "clean", "15 headline corruptions", *GROUPS, "4 extra"), rows)


def warnings(study: str) -> str:
    """How much of the log-loss of the next failure each score removes, models side by side."""
    table = aggregate("early_warning", study)
    models = table["model_label"].unique().sort().to_list()
    rows = []
    for (score,), found in table.group_by("score", maintain_order=True):
        of_models = {row["model_label"]: row for row in found.iter_rows(named=True)}
        shares = ([100 * of_models[model][f"share{end}"] for end in ENDS] for model in models)
        rows.append([SCORES[str(score)], *(with_interval(*share) for share in shares)])
    return markdown(("score", *(f"{model}, %" for model in models)), rows)


def quartiles(study: str) -> str:
    """Accuracy in percent on clean images and under fog, by quartile of what is measured of the clean image."""
    table = aggregate("quartiles", study)
    models = table["model_label"].unique().sort().to_list()
    rows = []
    for (name, quartile), found in table.group_by("property", "quartile", maintain_order=True):
        of_models = {row["model_label"]: row for row in found.iter_rows(named=True)}
        first = of_models[models[0]]
        digits = 0 if first["highest"] > 100 else 1 if first["highest"] > 2 else 2
        limits = f"{number(first['lowest'], digits)} to {number(first['highest'], digits)}"
        cells = (
            f"{number(100 * of_models[model]['clean_accuracy'])} / {number(100 * of_models[model]['fog_accuracy'])}"
            for model in models
        )
        rows.append([f"`{name}`", f"{quartile}: {limits}", *cells])
    return markdown(("property", "quartile", *models), rows)


def onset(study: str) -> str:
    """The most common patterns of correct and incorrect predictions under fog."""
    table = aggregate("onset", study).filter(corruption="fog")
    rows = ([label, f"`{pattern}`", f"{count:,}"] for label, _, pattern, count in table.rows())
    return markdown(("model", "clean to severity 5", "of 10,000 images"), rows)


TABLES: dict[str, Callable[..., str]] = {
    each.__name__: each
    for each in (
        accuracy, attention, claims, drops, groups, models, onset, outcomes, quartiles, ranks, shapes,
        shapes_of_grids, stability, warnings,
    )
}  # fmt: skip


def with_tables(text: str) -> str:
    """Return the page with current tables."""

    def current(found: re.Match[str]) -> str:
        between = (int(found[4]), int(found[5])) if found[4] else ()
        return found[1] + TABLES[found[3]](found[2], *between)

    return TABLE.sub(current, text)
