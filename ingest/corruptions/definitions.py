"""All that the engine needs to make a corruption, published or registered."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ingest.corruptions.catalogue import CORRUPTIONS, Corruption, canonical_name, unknown_corruption
from ingest.corruptions.custom import CustomCorruption, facts_of, register_from, registered
from ingest.corruptions.draws import Drawn, Variable
from ingest.corruptions.operations import OPERATIONS
from ingest.corruptions.pixels import Images
from ingest.corruptions.recipes import Levels, Parameters, Recipe
from warehouse.errors import DataError, FailmodesError, StudyError


class Definition(NamedTuple):
    """A corruption to be made: its facts, its parameters, what it draws, and how it is applied."""

    corruption: Corruption
    levels: Levels
    draws: Mapping[str, Variable]
    apply: Callable[[Images, Parameters, Drawn], Images]


def known_name(name: str) -> str | None:
    """The name that `name` stands for, published or registered; None if it stands for none."""
    return canonical_name(name) or (name if name in registered() else None)


def named(names: Sequence[str]) -> list[str]:
    """The corruptions that a user's list names, in its order.

    Args:
        names: published names or aliases, registered names, "headline" (the 15), "all" (the 19), or import paths
            (`module:name`) of users' own corruptions, which are registered.

    Raises:
        StudyError: a name stands for none, or a path cannot be imported.
    """
    found: list[str] = []
    for name in names:
        if name in ("headline", "all"):
            found += [c.name for c in CORRUPTIONS.values() if c.headline or name == "all"]
        elif ":" in name:
            found.append(register_from(name).name)
        else:
            found.append(facts(name).name)
    return found


def facts(name: str) -> Corruption:
    """What is known of a corruption, published or registered.

    Raises:
        StudyError: there is none of this name.
    """
    known = known_name(name)
    if known is None:
        raise StudyError(unknown_corruption(name))
    return CORRUPTIONS[known] if known in CORRUPTIONS else facts_of(registered()[known])


def define(name: str, recipe: Recipe) -> Definition:
    """How a corruption is made by a recipe.

    Raises:
        StudyError: there is none of this name.
    """
    corruption = facts(name)
    if corruption.name in OPERATIONS:
        operation = OPERATIONS[corruption.name]

        def apply(images: Images, parameters: Parameters, drawn: Drawn) -> Images:
            return operation.apply(images, parameters, **drawn)

        return Definition(corruption, recipe.levels[corruption.name], operation.draws, apply)
    custom = registered()[corruption.name]

    def apply_checked(images: Images, parameters: Parameters, drawn: Drawn) -> Images:
        return _checked(custom, images, parameters, drawn)

    return Definition(corruption, custom.parameters, custom.draws, apply_checked)


def _checked(custom: CustomCorruption, images: Images, parameters: Parameters, drawn: Drawn) -> Images:
    """Run a user's function on a read-only view, and check what it returns."""
    view = images[:]
    view.flags.writeable = False
    try:
        made = custom.apply(view, parameters, **drawn)
    except FailmodesError:
        raise
    except Exception as error:  # whatever a user's function raises
        raise StudyError(f"corruption {custom.name!r} failed: {type(error).__name__}: {error}") from error
    if not isinstance(made, np.ndarray) or made.dtype != np.uint8 or made.shape != images.shape:
        got = f"{made.dtype} {made.shape}" if isinstance(made, np.ndarray) else type(made).__name__
        raise DataError(f"corruption {custom.name!r} returned {got}: expected uint8 {images.shape}, as it was given")
    return made
