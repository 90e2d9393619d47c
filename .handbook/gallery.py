"""Draw the pictures of the gallery, docs/images/gallery-*.webp: all charts of 1, 2 and 12 synthetic models.

    python .handbook/gallery.py

takes about ten minutes; a folder as argument keeps the warehouses there and uses those it holds.
"""

import io
import sys
import tempfile
from pathlib import Path

import duckdb
import vl_convert
from PIL import Image

from failmodes.analysis.charts.registry import draw_selection, warehouse_charts
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, PAPER
from failmodes.analysis.evaluations.selection import select_one
from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.runtime.errors import FailmodesError
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "references"))
from synthetic_results import write_synthetic  # noqa: E402  # of the tests

MODELS = (
    "ResNet-18", "DenseNet-121", "ViT-B/16", "ConvNeXt-T", "EfficientNet-B0", "Swin-T", "MobileNet-V3", "RegNet-Y",
    "WRN-28-10", "AlexNet", "VGG-16", "DeiT-S",
)  # fmt: skip
COUNTS = (1, 2, 12)
SIX = ("gaussian_noise", "motion_blur", "fog", "brightness", "contrast", "jpeg_compression")
LOOKS = {"light": (PAGE, "light", 2), "dark": (PAGE, "dark", 2), "paper": (PAPER, "light", 3)}  # frame, theme, columns
WIDTH_PX, GAP_PX, QUALITY, PAPER_SCALE = 1240, 16, 50, 1.4
GROUND = {"light": "#e8e8ea", "dark": "#2c3038"}


def warehouse_of(models: int, folder: Path) -> Path:
    """The warehouse of the first `models`, each less robust than the next; 15 corruptions of one model, else six."""
    path = folder / f"{models}.duckdb"
    if not path.exists():
        corruptions = tuple(n for n, c in CORRUPTIONS.items() if c.headline) if models == 1 else SIX
        names = MODELS[:models]
        falls = {name: 1 - 0.07 * place for place, name in enumerate(names)}
        results = folder / f"results-{models}"
        write_synthetic(results, images=400 if models < 12 else 200, models=names, corruptions=corruptions, falls=falls)
        load([results], path, derivation=DERIVATION)
    return path


def draw_all(con: duckdb.DuckDBPyConnection, look: str) -> list[Image.Image]:
    """Every chart that the warehouse has data for, in a look."""
    frame, theme, _ = LOOKS[look]
    scale = PAPER_SCALE if look == "paper" else 1.0
    drawn = []
    for name in warehouse_charts():
        try:
            figure = draw_selection(name, con, select_one(con), frame=frame).with_theme(theme)
        except FailmodesError:
            continue  # shifts, and the difference of two models
        drawn.append(_picture(figure, scale))
    return drawn


def _picture(figure: Figure, scale: float) -> Image.Image:
    with Image.open(io.BytesIO(vl_convert.svg_to_png(figure.to_svg(), scale=scale))) as image:
        return image.convert("RGB")


def sheet(pictures: list[Image.Image], columns: int, ground: str) -> Image.Image:
    """Pictures in columns, each below the shortest one so far."""
    width = (WIDTH_PX - GAP_PX * (columns + 1)) // columns
    ends = [GAP_PX] * columns
    places = []
    for picture in pictures:
        picture.thumbnail((width, 4000), Image.Resampling.LANCZOS)
        column = ends.index(min(ends))
        places.append((GAP_PX + column * (width + GAP_PX), ends[column]))
        ends[column] += picture.height + GAP_PX
    made = Image.new("RGB", (WIDTH_PX, max(ends)), ground)
    for picture, place in zip(pictures, places, strict=True):
        made.paste(picture, place)
    return made


def main(folder: Path) -> None:
    """Write all pictures."""
    for count in COUNTS:
        with open_warehouse(warehouse_of(count, folder)) as con:
            for look, (_, theme, columns) in LOOKS.items():
                made = sheet(draw_all(con, look), columns, GROUND[theme])
                made.save(ROOT / "docs" / "images" / f"gallery-{count}-{look}.webp", quality=QUALITY, method=6)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else temporary))
