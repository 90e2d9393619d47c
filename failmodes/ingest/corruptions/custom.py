"""Users' own corruptions: seeded, checked and stored like the published ones.

A user writes a function and names it in a study (`names = ["fog", "my_module:vignette"]`), or registers it in code:

    def vignette(images, parameters):           # (N, H, W, 3) uint8 → the same
        (strength,) = parameters                # by default the severity itself
        ...

    VIGNETTE = register(CustomCorruption("vignette", vignette, levels=((0.2,), (0.4,), (0.6,), (0.8,), (1,))))
"""

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corruptions.catalog import (
    CORRUPTIONS,
    FIRST_CUSTOM_ORDER,
    SEVERITIES,
    add_corruption,
    corruption_info,
    registered,
    unknown_corruption,
)
from failmodes.ingest.corruptions.corruption import GROUPS, RECIPES, Corruption, default_label, source_of
from failmodes.ingest.corruptions.pixels import Images, Parameters
from failmodes.ingest.corruptions.sampling import RandomVariable
from failmodes.runtime.errors import FailmodesError, StudyError
from failmodes.runtime.hashing import identity_of

NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
IDENTITY_LEVELS: tuple[Parameters, ...] = tuple((s,) for s in SEVERITIES)


@dataclass(frozen=True)
class CustomCorruption:
    """A user's own corruption.

    Attributes:
        name: lower-case letters, digits and underscores; results store it, so each function needs its own.
        apply: (images (N, H, W, 3) uint8, parameters, **samples) → the same shape, uint8; it must not change its input,
            and each image's result must depend on that image, its samples and the parameters alone.
        levels: parameters at severities 1 to 5, for every recipe; default: the severity itself.
        clean: their limit at severity 0; None: nothing between levels is defined.
        random_variables: random variables of each image, by argument name: `normal`, `uniform` or `uint32`, all in
            `failmodes.ingest.corruptions.sampling`.
        label: its name on charts; default: made from the name.
        group: noise, blur, weather or digital.
        dose_ordered: whether distortion never falls as severity grows.
    """

    name: str
    apply: Callable[..., Images]
    levels: tuple[Parameters, ...] = IDENTITY_LEVELS
    clean: Parameters | None = (0,)
    random_variables: Mapping[str, RandomVariable] = field(default_factory=dict)
    label: str | None = None
    group: str = "digital"
    dose_ordered: bool = False

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or self.name == "none":
            raise StudyError(f"corruption name {self.name!r}: expected lower-case letters, digits and underscores")
        if self.name in CORRUPTIONS:
            raise StudyError(f"corruption {self.name!r} is a published one: choose another name")
        if self.group not in GROUPS:
            raise StudyError(f"corruption {self.name!r}: group {self.group!r} is not noise, blur, weather or digital")
        lengths = {len(level) for level in (*self.levels, *([self.clean] if self.clean else []))}
        if len(self.levels) != len(SEVERITIES) or len(lengths) != 1:
            raise StudyError(f"corruption {self.name!r}: expected 5 levels and a clean anchor, equally long")


GivenCorruption = str | CustomCorruption | Callable[..., Images]


def register(corruption: CustomCorruption) -> CustomCorruption:
    """Register a corruption in this process, replacing one of the same name."""
    first, second, third, fourth, fifth = corruption.levels
    levels = corruption.clean, first, second, third, fourth, fifth
    names = [*registered(), corruption.name]
    add_corruption(
        Corruption(
            corruption.name,
            corruption.label or default_label(corruption.name),
            corruption.group,
            FIRST_CUSTOM_ORDER + names.index(corruption.name),
            partial(_apply_checked, corruption.name, corruption.apply),
            dict.fromkeys(RECIPES, levels),
            corruption.random_variables,
            corruption.dose_ordered,
            switch="it has no clean anchor" if corruption.clean is None else None,
            definition=_definition(corruption),
        )
    )
    return corruption


def register_from(path: str) -> CustomCorruption:
    """Import and register `module:name`: a CustomCorruption, or a function of (images, parameters).

    Raises:
        StudyError: it cannot be imported, or is neither.
    """
    module_name, _, attribute = path.partition(":")
    try:
        attribute_value = getattr(importlib.import_module(module_name), attribute)
    except Exception as error:  # importing a user's module may raise anything
        raise StudyError(
            f"corruption {path!r} cannot be imported ({type(error).__name__}: {error}): expected module:name, the"
            " module beside the study file or installed"
        ) from error
    if isinstance(attribute_value, CustomCorruption):
        return register(attribute_value)
    if callable(attribute_value):
        return register(CustomCorruption(attribute, cast("Callable[..., Images]", attribute_value)))
    raise StudyError(
        f"corruption {path!r} is a {type(attribute_value).__name__}: expected a CustomCorruption or a function"
    )


def resolve_corruptions(names: Sequence[str]) -> list[str]:
    """The names of the corruptions in a user's list, in its order.

    Args:
        names: published names or aliases, registered names, "headline" (the 15), "all", or import paths
            (`module:name`) of users' own corruptions, which are registered.

    Raises:
        StudyError: a name is unknown, or a path cannot be imported.
    """
    resolved: list[str] = []
    for name in names:
        if name in ("headline", "all"):
            resolved += [c.name for c in CORRUPTIONS.values() if c.headline or name == "all"]
        else:
            resolved.append(resolve_corruption(name).name)
    return resolved


def resolve_corruption(corruption: GivenCorruption) -> Corruption:
    """The corruption for a name, an import path (`module:name`), or a user's own corruption.

    Users' own are registered, replacing one of the same name.

    Raises:
        StudyError: the name is unknown, or the path cannot be imported.
    """
    if isinstance(corruption, str):
        return corruption_info(register_from(corruption).name if ":" in corruption else corruption)
    if isinstance(corruption, CustomCorruption):
        return corruption_info(register(corruption).name)
    if callable(corruption):
        return corruption_info(
            register(CustomCorruption(getattr(corruption, "__name__", str(corruption)), corruption)).name
        )
    raise StudyError(unknown_corruption(corruption))


def _definition(corruption: CustomCorruption) -> str:
    """Hash of a corruption's levels and of the source of its file."""
    levels = [list(p) for p in corruption.levels]
    clean = corruption.clean and list(corruption.clean)
    return identity_of({"source": source_of(corruption.apply), "levels": levels, "clean": clean})


def _apply_checked(
    name: str, apply: Callable[..., Images], images: Images, parameters: Parameters, /, **samples: NDArray[Any]
) -> Images:
    """Run a user's function on a read-only view, and check its result."""
    view = images[:]
    view.flags.writeable = False
    try:
        corrupted = apply(view, parameters, **samples)
    except FailmodesError:
        raise
    except Exception as error:  # a user's function may raise anything
        raise StudyError(f"corruption {name!r} failed: {type(error).__name__}: {error}") from error
    if not isinstance(corrupted, np.ndarray) or corrupted.dtype != np.uint8 or corrupted.shape != images.shape:
        is_array = isinstance(corrupted, np.ndarray)
        got = f"{corrupted.dtype} {corrupted.shape}" if is_array else type(corrupted).__name__
        raise StudyError(f"corruption {name!r} returned {got}: expected uint8 {images.shape}, like its input")
    return corrupted
