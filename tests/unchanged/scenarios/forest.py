"""Twelve imported models with unequal corruptions, severities and training seeds; images with metadata."""

import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from everything import DRAWN, NO_PIXELS, OF_IMAGES, OF_TEXT, Subject, everything, lacking
from side import Side

COUNTED = {"rows": 157457, "values": 178821, "sentences": 5733, "files": 257, "exits": 97}

CLASSES = ("ant", "bat", "bee", "cat", "cow", "dog", "elk", "fox", "owl", "pig")
LOOK_ALIKE = {"cat": "dog", "dog": "fox", "cow": "elk", "ant": "bee"}
IMAGES = 130
ALL, ODD, ENDS = (1, 2, 3, 4, 5), (1, 3, 5), (2.5, 5)
GRIDS = (
    {"fog": ALL, "contrast": ODD, "gaussian_noise": ENDS, "jpeg_compression": (5,)},
    {"fog": ALL, "contrast": ALL},
    {"fog": ODD, "jpeg_compression": (5,)},
)
SLOPES = {"fog": 0.9, "contrast": 0.5, "gaussian_noise": 1.2, "jpeg_compression": 0.1, "saturate": 0.3}
LEAST_MARGIN = 0.7
# ability, steepness, grid and training seeds of each model; Beech is a copy of Aspen under another name
MODELS = {
    "Alder": (4.0, 1.0, 0, ()), "Ash": (3.5, 0.8, 0, (1, 2)), "Aspen": (3.0, 1.2, 1, ()), "Beech": (3.0, 1.2, 1, ()),
    "Birch": (3.2, 1.3, 0, (1, 2)), "Cedar": (2.5, 0.6, 2, ()), "Elm": (4.5, 0.2, 0, ()), "Fir": (1.0, 0.5, 2, ()),
    "Hazel": (3.5, 1.5, 1, ()), "Larch": (2.0, 1.1, 0, ()), "Maple": (5.0, 0.9, 1, ()), "Oak": (3.8, 1.0, 2, (1, 2)),
}  # fmt: skip

ABOUT = Subject(
    "forest", "Maple", "Alder", "fog", dataset="Animals", by="camera", condition="camera = 'B'", near=0.47,
    refused={
        **lacking("WarehouseError", *NO_PIXELS, "chart.abstention", "chart.curves.value", "chart.onset.value"),
        **lacking("StudyError", "chart.differences"),
    },
    skipped=(*OF_TEXT, *DRAWN, *OF_IMAGES, "threshold", "seal", "claims.sealed", "gate.open.pass"),
)  # fmt: skip


def inputs(folder: Path) -> None:
    images = _images()
    rows = pl.concat([_predictions(images, name) for name in MODELS]).join(images, on="image")
    single = pl.col("run").is_null()
    rows.filter(single).drop("run").write_parquet(folder / "trees.parquet")
    rows.filter(~single).write_parquet(folder / "seeds.parquet")


def run(side: Side) -> None:
    side.command("import.dry", "import", side.inputs / "trees.parquet", "--to", "forest", "--dry-run")
    side.command("import", "import", side.inputs / "trees.parquet", "--to", "forest", "--dataset", "Animals")
    time.sleep(1.1)  # BASE orders models by the second of their first shard
    side.command("import.seeds", "import", side.inputs / "seeds.parquet", "--to", "forest")
    side.command("import.again", "import", side.inputs / "seeds.parquet", "--to", "forest")
    side.command("load.first", "load", "forest", "--json")
    everything(side, ABOUT)
    side.command("compare.seeds", "compare", "Ash", "Birch", "forest", "--format", "json")
    side.command("compare.copies", "compare", "Aspen", "Beech", "forest")
    side.command("diff.copies", "diff", "Aspen", "Beech", "forest")


def _images() -> pl.DataFrame:
    rng = np.random.default_rng(11)
    cameras = rng.choice(["A", "B", None], IMAGES, p=[0.5, 0.4, 0.1]).tolist()
    return pl.DataFrame(
        {
            "image": [f"animal-{number:03}.jpg" for number in range(IMAGES)],
            "label": [CLASSES[number % 10] for number in range(IMAGES)],
            "camera": cameras,
            "distance_m": rng.gamma(2, 8, IMAGES).round(1),
            "at_night": rng.random(IMAGES) < 0.3,
            "day": [date(2024, 2, 1) + timedelta(days=int(n)) for n in rng.integers(0, 5, IMAGES)],
        }
    )


def _predictions(images: pl.DataFrame, name: str) -> pl.DataFrame:
    """Logits in steps of a quarter, so that some are tied; camera B fails under fog."""
    ability, steepness, grid, seeds = MODELS[name]
    rng = np.random.default_rng(sum(map(ord, "Aspen" if name == "Beech" else name)))
    labels = np.arange(IMAGES) % 10
    hard = (images["camera"].fill_null("") == "B").to_numpy()
    difficulty = np.random.default_rng(5).normal(0, 1.2, IMAGES) + rng.normal(0, 0.6, IMAGES)
    parts = []
    for seed in seeds or (None,):
        for corruption, severities in {"none": (0,), **GRIDS[grid]}.items():
            for severity in severities:
                logits = rng.normal(0, 1, (IMAGES, 10))
                drop = steepness * SLOPES.get(corruption, 0) * severity ** (2 if corruption == "contrast" else 1) / 1.5
                margin = ability - difficulty - drop - 3 * hard * (corruption == "fog")
                # far below chance, rounding decides among the curves that BASE fits equally well
                logits[range(IMAGES), labels] += np.maximum(margin, LEAST_MARGIN)
                for one, other in LOOK_ALIKE.items():
                    logits[labels == CLASSES.index(one), CLASSES.index(other)] += 1.5
                logits[:, 9] += severity / 4
                columns = zip(CLASSES, (logits * 6).round().T / 4, strict=True)
                parts.append(
                    images.select("image").with_columns(
                        model=pl.lit(name), run=pl.lit(seed, pl.Int64), corruption=pl.lit(corruption),
                        severity=pl.lit(float(severity)), **{f"logit_{c}": pl.Series(values) for c, values in columns},
                    )
                )  # fmt: skip
    return pl.concat(parts)
