"""Corruptions of users' own, made, seeded, checked and recorded like the published ones.

A user writes a function and names it in a study (`names = ["fog", "my_module:vignette"]`), or registers it in code:

    def vignette(images, parameters):           # (N, H, W, 3) uint8 → the same
        (strength,) = parameters                # the severity itself, unless levels are given
        ...

    VIGNETTE = register(CustomCorruption("vignette", vignette, levels=((0.2,), (0.4,), (0.6,), (0.8,), (1,))))
"""

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ingest.corruptions.catalogue import CORRUPTIONS, Corruption
from ingest.corruptions.draws import Variable
from ingest.corruptions.pixels import Images
from ingest.corruptions.recipes import SEVERITIES, Levels, Parameters
from warehouse.errors import StudyError
from warehouse.identity import identity_of

FIRST_ORDER = 100  # after all published ones
NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
SEVERITY_ITSELF: tuple[Parameters, ...] = tuple((s,) for s in SEVERITIES)


@dataclass(frozen=True)
class CustomCorruption:
    """A corruption of a user's own.

    Attributes:
        name: lower-case letters, digits and underscores; it stands in the record, so another function needs another.
        apply: (images (N, H, W, 3) uint8, parameters, **draws) → the same shape, uint8; it must not change its input,
            and each image's result must depend on that image, its draws and the parameters alone.
        levels: parameters at severities 1 to 5, whatever the recipe; the severity itself if not given.
        clean: what they tend to at severity 0; none: nothing between levels is defined.
        draws: what is drawn for each image, by argument name (`ingest.corruptions.draws.normal`, `uniform`, `word`).
        label: its name on charts; made from the name if not given.
        group: noise, blur, weather or digital.
        dose_ordered: whether distortion never falls as severity grows.
    """

    name: str
    apply: Callable[..., Images]
    levels: tuple[Parameters, ...] = SEVERITY_ITSELF
    clean: Parameters | None = (0,)
    draws: Mapping[str, Variable] = field(default_factory=dict)
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
    def parameters(self) -> Levels:
        """Its levels as a recipe would give them."""
        one, two, three, four, five = self.levels
        return Levels(self.clean, (one, two, three, four, five))

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


def facts_of(corruption: CustomCorruption) -> Corruption:
    """What the catalogue would say of it."""
    interpolable = corruption.clean is not None
    return Corruption(
        name=corruption.name,
        label=corruption.label or corruption.name.replace("_", " ").capitalize(),
        group=corruption.group,
        order=FIRST_ORDER + list(_registered).index(corruption.name),
        headline=False,
        dose_ordered=corruption.dose_ordered,
        interpolable=interpolable,
        switch=None if interpolable else "it has no clean anchor",
    )
