"""Every identity of imported predictions that differ in one part alone, or only in how their table is written."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from identity_rows import IdentityRows
from image_files import scenes
from side import Side

COUNTED = {"rows": 67, "values": 126, "sentences": 30, "files": 26, "exits": 23}

CLASSES = ("ant", "bee", "cat", "dog")
COUNT = 8
IMAGES = [f"image{number}" for number in range(COUNT)]
LABELS = [CLASSES[number // 2] for number in range(COUNT)]
STUDY = """name = "{name}"
output = "{name}"
[dataset]
kind = "arrays"
path = "{inputs}/{images}"
[corruptions]
names = ["contrast"]
severities = [1]
seeds = [0, 1]
"""


def inputs(folder: Path) -> None:
    images = scenes(COUNT, 32, 32)
    for name, names in (("images", CLASSES), ("other_classes", ("ape", "bat", "cow", "eel"))):
        (folder / name).mkdir()
        np.save(folder / name / "images.npy", images)
        np.save(folder / name / "labels.npy", np.arange(COUNT) // 2)
        (folder / name / "classes.json").write_text(json.dumps(names))
    rows = pl.DataFrame(
        {
            "image_id": [*range(COUNT)] * 2,
            "corruption": ["none"] * COUNT + ["contrast"] * COUNT,
            "severity": [0] * COUNT + [1] * COUNT,
        }
    )
    # powers of two, whose logarithms are the same in single precision and rounded to it
    shares = np.stack([np.roll([0.5, 0.25, 0.125, 0.125], number % 4) for number in range(2 * COUNT)]).astype(
        np.float32
    )
    logits = np.log(shares)
    other = logits.copy()
    other[0, 0] -= 1
    for name, kind, values in (
        ("logits", "logit", logits),
        ("other", "logit", other),
        ("shares", "probability", shares),
    ):
        outputs = [pl.Series(f"{kind}_{column}", values[:, column]) for column in range(4)]
        rows.with_columns(outputs).write_parquet(folder / f"{name}.parquet")
    rows.with_columns(pl.Series(f"logit_{column}", logits[:, column]) for column in range(4)).reverse().write_ndjson(
        folder / "reversed.jsonl"
    )


def run(side: Side) -> None:
    found = IdentityRows(side)
    _predictions(found)
    _runs(found)
    _levels(found)
    _outputs(found)
    _of_studies(found)
    found.close()


def predictions(
    model: str, corruption: str = "contrast", severity: int = 1, **changed: Mapping[int, Any]
) -> pl.DataFrame:
    """Clean and corrupted predictions of a model, with other values of some columns in some rows."""
    rows = {
        "image": IMAGES * 2,
        "label": LABELS * 2,
        "prediction": [*LABELS[1:], LABELS[0], *LABELS[2:], *LABELS[:2]],
        "confidence": [0.5] * COUNT + [0.25] * COUNT,
        "corruption": ["none"] * COUNT + [corruption] * COUNT,
        "severity": [0] * COUNT + [severity] * COUNT,
        "model": [model] * 2 * COUNT,
    }
    for column, values in changed.items():
        for row, value in values.items():
            rows[column][row] = value
    return pl.DataFrame(rows)


def imported(found: IdentityRows, call: str, table: pl.DataFrame | Path, **options: Any) -> None:
    import failmodes

    found.evaluate(call, lambda: failmodes.import_predictions(table, to=call, progress=False, **options))


def _predictions(found: IdentityRows) -> None:
    """Two tables with a model for each part in which its predictions differ."""
    names = ("prediction", "confidence", "corruption", "severity", "same.rows")
    alike = {7: "dog", 15: "dog"}  # as image6
    image = [predictions("image", prediction=alike).filter(pl.col("image") == name) for name in ("image6", "image7")]
    imported(found, "table", pl.concat([*(predictions(name) for name in names), image[0]]))
    others = [
        predictions("prediction", prediction={0: "dog"}),
        predictions("confidence", confidence={0: 0.75}),
        predictions("corruption", corruption="fog"),
        predictions("severity", severity=2),
        predictions("same.rows"),
        image[1],
    ]
    columns = {"image": "photo", "label": "truth", "prediction": "answer", "model": "network"}
    file = found.side.work / "rows.csv"
    pl.concat(others).reverse().rename(columns).write_csv(file)
    imported(found, "other_table", file, columns=columns)


def _runs(found: IdentityRows) -> None:
    """Runs of equal predictions, and a run beside another one with fewer images."""
    runs = [predictions("model").with_columns(pl.lit(run).alias("run")) for run in (1, 2)]
    imported(found, "runs", pl.concat(runs))
    fewer = pl.col("image") != "image7"
    imported(found, "runs_of_fewer_images", pl.concat([runs[0].filter(fewer), runs[1].filter(fewer)]))
    imported(found, "runs_of_other_images", pl.concat([runs[0].filter(fewer), runs[1]]))


def _levels(found: IdentityRows) -> None:
    """Axes of levels; and images, labels and classes."""
    for call, axis, value, changed in (
        ("levels", "contrast,%,100..1", 50, {}),
        ("axis_name+image", "visibility,%,100..1", 50, {"image": {7: "image9", 15: "image9"}}),
        ("axis_unit+label", "contrast,percent,100..1", 50, {"label": {1: "bee", 9: "bee"}}),
        ("axis_scale+class", "contrast,%,100..1,log", 50,
         {"label": {row: "elk" for row in (6, 7, 14, 15)}, "prediction": {row: "elk" for row in (5, 6, 12, 13)}}),
        ("level", "contrast,%,100..1", 40, {}),
    ):  # fmt: skip
        table = predictions("model", **changed).with_columns(
            pl.lit("contrast").alias("corruption"), value=pl.when(pl.col("severity") == 0).then(100).otherwise(value)
        )
        imported(found, call, table.drop("severity"), axes={"contrast": axis})


def _outputs(found: IdentityRows) -> None:
    """Logits of all classes, whose columns order them."""
    values = np.arange(COUNT * 4).reshape(COUNT, 4) % 7 / 4 - 0.5
    for call, value, zero, classes in (
        ("outputs", 1.0, 0.0, CLASSES),
        ("other_outputs", 1.5, -0.0, CLASSES),
        ("class_order", 1.0, 0.0, CLASSES[::-1]),
    ):
        tables = []
        for model, first in (("output", value), ("same.zero", zero)):
            columns = {f"logit_{name}": values[:, CLASSES.index(name)].copy() for name in classes}
            columns["logit_cat"][0] = first
            tables.append(pl.DataFrame({"image": IMAGES, "label": LABELS, "model": [model] * COUNT, **columns}))
        imported(found, call, pl.concat(tables))


def _of_studies(found: IdentityRows) -> None:
    """Predictions for the images of a study, which give them their pixels."""
    side = found.side
    import failmodes

    for study, images, tables in (
        ("of_study", "images", {"logits": "logits.parquet", "value": "other.parquet"}),
        ("of_study.kind", "images", {"shares": "shares.parquet"}),
        ("of_study.classes", "other_classes", {"logits": "logits.parquet"}),
        ("of_study.same", "images", {"same.rows": "reversed.jsonl"}),
    ):
        file = f"{study}.toml"
        (side.work / file).write_text(STUDY.format(name=study, inputs=side.inputs, images=images))
        for label, table in tables.items():
            side.command(f"{study}.import.{label}", "import", side.inputs / table, file, "--label", label)
        if study == "of_study":
            words = ("import", side.inputs / "logits.parquet", file, "--label", "logits", "--seed", "1")
            side.command(f"{study}.import.seed", *words)
        found.evaluate(study, lambda file=file: failmodes.run(file, progress=False))
