"""What a checkpoint's metadata says of its training: the seed, and whether the recipe is part of the identity."""

import json
from typing import Any

STANDARD = "standard"


def identifying_recipe(metadata: dict[str, str]) -> dict[str, Any] | None:
    """The training recipe, where it names an augmentation other than the standard one.

    Weights alone identify a network trained as ever; a recipe is told apart even where weights should coincide.
    """
    try:
        recipe = json.loads(metadata.get("recipe", ""))
    except ValueError:  # a recipe in words
        return None
    if not isinstance(recipe, dict) or recipe.get("augmentation", STANDARD) == STANDARD:
        return None
    return recipe


def seed_of(metadata: dict[str, str]) -> int | None:
    """The training seed: under `seed`, or the last words of a recipe in words."""
    seed = metadata.get("seed") or _trailing_seed(metadata.get("recipe", ""))
    return int(seed) if seed is not None and seed.isdecimal() else None


def _trailing_seed(recipe: str) -> str | None:
    words = recipe.replace(",", " ").split()
    return words[-1] if len(words) > 1 and words[-2] == "seed" and words[-1].isdecimal() else None
