"""Observers and a network on an axis of contrast, with missing responses; and other images in each condition."""

import csv
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from everything import DRAWN, NO_PIXELS, OF_IMAGES, Subject, everything, lacking
from side import Side

COUNTED = {"rows": 26098, "values": 54112, "sentences": 2290, "files": 338, "exits": 114}

CLASSES = ("boat", "car", "clock", "dog", "knife")
IMAGES = 100
PERCENT = (100, 50, 30, 15, 10, 5)
# bias towards correct responses, and loss with each level
PEOPLE = {"subject-01": (2.2, 0.35), "subject-02": (1.8, 0.4), "subject-03": (2.0, 0.3)}
NETWORKS = {"Net": (3.0, 1.1), "Net, augmented": (2.6, 0.6)}
AXIS = ("--axis", "contrast=%,100..5,log", "--level-pattern", r"c(\d+)")
ABOUT = Subject(
    "axis", "Net", "Net, augmented", "contrast", dataset="Stimuli", by="scene", condition="scene = 'street'", near=0.69,
    refused={
        **lacking("WarehouseError", *NO_PIXELS, "chart.early-warning"),
        **lacking("StudyError", "images.in-memory", "chart.differences"),
    },
    exits=dict.fromkeys(OF_IMAGES, 2),
    skipped=(
        *DRAWN, *(f"chart.{name}" for name in ("calibration", "confusion", "failure-prediction", "predictions")),
        "appendix", "publish.timm", "publish.croissant", "publish.model-card", "publish.every-eval-ever",
    ),
)  # fmt: skip


def inputs(folder: Path) -> None:
    _write(folder / "people.csv", (row for name, ability in PEOPLE.items() for row in _responses(name, *ability)))
    networks = (row for name, ability in NETWORKS.items() for row in _responses(name, *ability, "model"))
    _write(folder / "networks.csv", networks)
    others = (row for row in _responses("subject-09", 2.0, 0.4) if row["condition"] == f"c{PERCENT[row['number'] % 6]}")
    _write(folder / "others.csv", others)
    scenes = np.random.default_rng(3).choice(["street", "room", "field"], IMAGES)
    rows = [{"file_name": _image(i), "scene": scene, "width_cm": 5 + i % 12} for i, scene in enumerate(scenes)]
    _write(folder / "images.csv", rows)


def run(side: Side) -> None:
    metadata = ("--metadata", side.inputs / "images.csv", "--dataset", "Stimuli")
    people = (side.inputs / "people.csv", "--to", "axis", "--label", "People", *AXIS, *metadata)
    side.command("import.missing", "import", *people, exits=1)
    side.command("import.dry", "import", *people, "--missing", "na,slow", "--dry-run")
    side.command("import", "import", *people, "--missing", "na,slow")
    time.sleep(1.1)  # BASE orders models by the second of their first shard
    side.command("import.networks", "import", side.inputs / "networks.csv", "--to", "axis", *AXIS, *metadata)
    side.command("load.first", "load", "axis", "--json")
    everything(side, ABOUT)
    side.command("compare.people", "compare", "People", "Net, augmented", "axis", "--format", "json")
    side.command("others.import", "import", side.inputs / "others.csv", "--to", "others", "--missing", "na,slow", *AXIS)
    side.command("others.load", "load", "others", "--json")
    side.tables("others", "others/warehouse.duckdb")
    side.command("others.shapes", "shapes", "others")
    side.command("others.report", "report", "others", "--output", "others.html", out="others.html")


def _responses(name: str, ability: float, loss: float, who: str = "subj") -> Iterator[dict[str, object]]:
    rng = np.random.default_rng(sum(map(ord, name)))
    easy = np.random.default_rng(8).normal(0, 1, IMAGES)
    for rank, percent in enumerate(PERCENT):
        for number in range(IMAGES):
            evidence = ability + easy[number] - loss * rank + rng.normal(0, 0.7)
            label = number % len(CLASSES)
            response = CLASSES[label if evidence > 0 else (label + 1 + int(rng.integers(4))) % 5]
            is_missing = who == "subj" and rng.random() < 0.02
            yield {
                "number": number, "file_name": _image(number), "category": CLASSES[label],
                "object_response": ("na", "slow")[number % 2] if is_missing else response,
                "confidence": 0 if is_missing else round(float(1 / (1 + np.exp(-abs(evidence) - 0.2))), 2),
                "condition": f"c{percent}", "distortion": "contrast", who: name,
            }  # fmt: skip


def _image(number: int) -> str:
    return f"stimulus_{number:03}.png"


def _write(path: Path, rows: Iterable[dict[str, object]]) -> None:
    rows = list(rows)
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
