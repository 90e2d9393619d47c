"""A synthetic record of models that were trained several times: runs that differ by their seed."""

from pathlib import Path
from typing import Any

from synthetic_results import Synthetic, write_synthetic

RECIPE = "SGD, 20 epochs, seed {}"  # in plain text, as some checkpoints state it
SPREAD = 0.04  # between the falls of two seeds that follow each other


def write_seeded(
    output: Path,
    *,
    falls: dict[str, float] | None = None,
    seeds: int = 3,
    single: str | None = "Loner",
    images: int = 400,
    spread: float = SPREAD,
    **options: Any,
) -> Synthetic:
    """Write a record of models with `seeds` training runs each ("Fir, seed 0" …), and of a `single` checkpoint.

    `falls` says how far each model falls (see `write_synthetic`); each seed falls `spread` more than the one before.
    """
    runs = {
        f"{label}, seed {seed}": (fall + spread * seed, seed, label)
        for label, fall in (falls or {"Fir": 0.5, "Oak": 1.0}).items()
        for seed in range(seeds)
    }
    facts = {
        name: {"training_seed": seed, "training_recipe": RECIPE.format(seed), "architecture": label.lower()}
        for name, (_, seed, label) in runs.items()
    }
    if single is not None:
        facts[single] = {"training_seed": None, "training_recipe": None, "architecture": single.lower()}
    of_runs = {name: fall for name, (fall, *_) in runs.items()} | ({} if single is None else {single: 0.8})
    return write_synthetic(output, models=tuple(facts), falls=of_runs, images=images, training=facts, **options)
