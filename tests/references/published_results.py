"""Results to publish: three models with awkward names, one of them sturdier, on corruptions and a natural shift."""

from pathlib import Path

from synthetic_results import Synthetic, write_synthetic
from synthetic_shifts import write_shift
from warehouse_files import derivation

from failmodes.warehouse.database.load import load

MODELS = ("Sturdy_1 & Co", "[2cm] 50% #", "Frail {x}")
CORRUPTIONS = ("fog", "contrast")


def write_published_results(folder: Path) -> Synthetic:
    """The first model falls much less under fog and contrast; clean, they are alike."""
    made = write_synthetic(
        folder, images=200, models=MODELS, corruptions=CORRUPTIONS, falls={MODELS[0]: 0.3}, shared_difficulty=0.7
    )
    write_shift(folder, "Digits_2", dict(zip(MODELS, (150, 140, 20), strict=True)), clean=made.evaluations)
    load([folder], folder / "warehouse.duckdb", derivation=derivation(resamples=50))
    return made
