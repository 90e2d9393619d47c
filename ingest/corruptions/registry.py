"""All that the engine needs to make a corruption, published or registered.

Corruptions of users' own, made, seeded, checked and recorded like the published ones.

A user writes a function and names it in a study (`names = ["fog", "my_module:vignette"]`), or registers it in code:

    def vignette(images, parameters):           # (N, H, W, 3) uint8 → the same
        (strength,) = parameters                # the severity itself, unless levels are given
        ...

    VIGNETTE = register(CustomCorruption("vignette", vignette, levels=((0.2,), (0.4,), (0.6,), (0.8,), (1,))))
"""

import importlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from failmodes.ingest.corruptions.catalogue import CORRUPTIONS, KERNELS, Corruption, published_name, unknown_corruption
from failmodes.ingest.corruptions.kernels.pixels import Images, Parameters
from failmodes.ingest.corruptions.recipes import SEVERITIES, Recipe, SeverityLevels
from failmodes.ingest.corruptions.sampling import RandomVariable, Samples
from failmodes.warehouse.errors import DataError, FailmodesError, StudyError
from failmodes.warehouse.hashing import identity_of

FIRST_CUSTOM_ORDER = 100  # after all published ones

NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")

IDENTITY_LEVELS: tuple[Parameters, ...] = tuple((s,) for s in SEVERITIES)


@dataclass(frozen=True)
class CustomCorruption:
    """A corruption of a user's own.

    Attributes:
        name: lower-case letters, digits and underscores; it stands in the record, so another function needs another.
        apply: (images (N, H, W, 3) uint8, parameters, **draws) → the same shape, uint8; it must not change its input,
            and each image's result must depend on that image, its draws and the parameters alone.
        levels: parameters at severities 1 to 5, whatever the recipe; the severity itself if not given.
        clean: what they tend to at severity 0; none: nothing between levels is defined.
        draws: what is drawn for each image, by argument name (`failmodes.ingest.corruptions.sampling.normal`, `uniform`, `word`).
        label: its name on charts; made from the name if not given.
        group: noise, blur, weather or digital.
        dose_ordered: whether distortion never falls as severity grows.
    """

    name: str
    apply: Callable[..., Images]
    levels: tuple[Parameters, ...] = IDENTITY_LEVELS
    clean: Parameters | None = (0,)
    draws: Mapping[str, RandomVariable] = field(default_factory=dict)
    label: str | None = None
    group: str = "digital"
    dose_ordered: bool = False

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or self.name == "none":
            raise StudyError(f"corruption name {self.name!r}: expected lower-case letters, digits and underscores")
        if self.name in CORRUPTIONS:
            raise StudyError(f"corruption {self.name!r} is a published one: give yours another name")
        if self.group not in {c.group for c in CORRUPTIONS.values()}:
            raise StudyError(f"corruption {self.name!r}: group {self.group!r} is not noise, blur, weather or digital")
        lengths = {len(level) for level in (*self.levels, *([self.clean] if self.clean else []))}
        if len(self.levels) != len(SEVERITIES) or len(lengths) != 1:
            raise StudyError(f"corruption {self.name!r}: expected 5 levels and a clean anchor, equally long")

    @property
    def parameters(self) -> SeverityLevels:
        """Its levels as a recipe would give them."""
        one, two, three, four, five = self.levels
        return SeverityLevels(self.clean, (one, two, three, four, five))

    @property
    def definition(self) -> str:
        """Hash of its levels and of the source text of the file it comes from."""
        try:
            text = inspect.getsource(inspect.getmodule(self.apply) or self.apply)
        except (OSError, TypeError):
            text = repr(self.apply)  # typed at a prompt: no source to read
        return identity_of(
            {"source": text, "levels": [list(p) for p in self.levels], "clean": self.clean and list(self.clean)}
        )


_registered: dict[str, CustomCorruption] = {}


class RunnableCorruption(NamedTuple):
    """A corruption to be made: its facts, its parameters, what it draws, and how it is applied."""

    corruption: Corruption
    levels: SeverityLevels
    draws: Mapping[str, RandomVariable]
    apply: Callable[[Images, Parameters, Samples], Images]


def find_corruption_name(name: str) -> str | None:
    """The name that `name` stands for, published or registered; None if it stands for none."""
    return published_name(name) or (name if name in registered() else None)


def resolve_corruptions(names: Sequence[str]) -> list[str]:
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
            found.append(corruption_info(name).name)
    return found


def corruption_info(name: str) -> Corruption:
    """What is known of a corruption, published or registered.

    Raises:
        StudyError: there is none of this name.
    """
    known = find_corruption_name(name)
    if known is None:
        raise StudyError(unknown_corruption(name))
    return CORRUPTIONS[known] if known in CORRUPTIONS else custom_corruption_info(registered()[known])


def get_corruption(name: str, recipe: Recipe) -> RunnableCorruption:
    """How a corruption is made by a recipe.

    Raises:
        StudyError: there is none of this name.
    """
    corruption = corruption_info(name)
    if corruption.name in KERNELS:
        operation = KERNELS[corruption.name]

        def apply(images: Images, parameters: Parameters, drawn: Samples) -> Images:
            return operation.apply(images, parameters, **drawn)

        return RunnableCorruption(corruption, recipe.levels[corruption.name], operation.draws, apply)
    custom = registered()[corruption.name]

    def apply_checked(images: Images, parameters: Parameters, drawn: Samples) -> Images:
        return _checked(custom, images, parameters, drawn)

    return RunnableCorruption(corruption, custom.parameters, custom.draws, apply_checked)


def _checked(custom: CustomCorruption, images: Images, parameters: Parameters, drawn: Samples) -> Images:
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


def register(corruption: CustomCorruption) -> CustomCorruption:
    """Make a corruption known by its name in this process; registering the same name again replaces it."""
    _registered[corruption.name] = corruption
    return corruption


def registered() -> dict[str, CustomCorruption]:
    """The corruptions registered in this process, by name."""
    return dict(_registered)


def register_from(path: str) -> CustomCorruption:
    """Import and register what `module:name` names: a CustomCorruption, or a function of (images, parameters).

    Raises:
        StudyError: it cannot be imported, or is neither.
    """
    module_name, _, attribute = path.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except Exception as error:  # whatever a user's module raises as it is imported
        raise StudyError(
            f"corruption {path!r} cannot be imported ({type(error).__name__}: {error}): expected module:name, the"
            " module beside the study file or installed"
        ) from error
    if isinstance(found, CustomCorruption):
        return register(found)
    if callable(found):
        return register(CustomCorruption(attribute, found))
    raise StudyError(f"corruption {path!r} is a {type(found).__name__}: expected a CustomCorruption or a function")


def custom_corruption_info(corruption: CustomCorruption) -> Corruption:
    """What the catalogue would say of it."""
    interpolable = corruption.clean is not None
    return Corruption(
        name=corruption.name,
        label=corruption.label or corruption.name.replace("_", " ").capitalize(),
        group=corruption.group,
        order=FIRST_CUSTOM_ORDER + list(_registered).index(corruption.name),
        headline=False,
        dose_ordered=corruption.dose_ordered,
        interpolable=interpolable,
        switch=None if interpolable else "it has no clean anchor",
    )
