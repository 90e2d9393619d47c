"""A synthetic record of models that were trained several times: runs that differ by their seed."""

from pathlib import Path
from typing import Any

from synthetic_results import Synthetic, write_synthetic

RECIPE = "SGD, 20 epochs, seed {}"  # in plain text, as some checkpoints state it
SPREAD = 0.04  # between the falls of two seeds that follow each other


def write_seeded(output: Path, **options: Any) -> Synthetic:
    """Write a record of Fir and Oak with three training runs each ("Fir, seed 0" …), and of Loner, a single checkpoint.

    Each seed falls SPREAD more than the one before; see `falls` of `write_synthetic`.
    """
    falls, training = {}, {}
    for model, fall in (("Fir", 0.5), ("Oak", 1.0)):
        for seed in range(3):
            falls[f"{model}, seed {seed}"] = fall + SPREAD * seed
            facts = {"training_seed": seed, "training_recipe": RECIPE.format(seed), "architecture": model.lower()}
            training[f"{model}, seed {seed}"] = facts
    falls["Loner"] = 0.8
    training["Loner"] = {"training_seed": None, "training_recipe": None, "architecture": "loner"}
    return write_synthetic(output, models=tuple(falls), falls=falls, training=training, **options)
