"""The corruption class, and the decorator that registers a kernel as one.

All modules of `kernels/` are imported:

    @corruption(group="digital", levels={"cifar-c": ((0,), (8,), (16,), (32,), (64,), (128,))})
    def posterize(images, parameters):  # (N, H, W, 3) uint8 → the same
        ...
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corruptions.pixels import Images, Levels, RecipeLevels
from failmodes.ingest.corruptions.sampling import RandomVariable
from failmodes.runtime.hashing import identity_of

HEADLINE_COUNT = 15
LAST = 1000  # the order of corruptions that state none
GROUPS = ("noise", "blur", "weather", "digital")

Kernel = TypeVar("Kernel", bound=Callable[..., Images])
Between = Literal["parameters", "inverse roots", "images"]

_DEFINED: dict[str, "Corruption"] = {}


class Recipe(NamedTuple):
    """A published recipe: the side of the images it was made for, and the smallest side it works on."""

    side_px: int
    least_side_px: int


RECIPES = {"cifar-c": Recipe(32, 8), "imagenet-c": Recipe(224, 32)}


@dataclass(frozen=True)
class Corruption:
    """A corruption, published or a user's own.

    Attributes:
        name: its published name.
        label: its name on charts.
        group: noise, blur, weather or digital; other for one that only a published dataset holds.
        order: order of publication, from 1; the four extras follow the 15 of the headline metrics, others follow these.
        apply: the kernel, (images (N, H, W, 3) uint8, parameters, **samples) → (N, H, W, 3) uint8; it never changes its
            input.
        levels: parameters at each severity, by recipe.
        samples: the random variables of an image, by the name of the kernel's argument.
        dose_ordered: whether distortion (RMSE of images) never falls from one published severity to the next, by every
            recipe. Between them pixelate and JPEG may distort less than at the severity before, at some block sizes and
            qualities.
        between: quantity interpolated between two levels: parameters, their inverse square roots (the deviation of
            Poisson noise), or images, if the effect is not smooth in the parameters.
        switch: why it is not defined between the published severities; None if it is.
        definition: hash of code and levels, for corruptions that are not published; else None.
        moves: for a corruption that moves objects: its kernel for masks, (masks (N, H, W) bool, parameters, **samples)
            → (N, H, W) bool. None if objects stay in place, and for users' own corruptions.
    """

    name: str
    label: str
    group: str
    order: int
    apply: Callable[..., Images]
    levels: RecipeLevels
    samples: Mapping[str, RandomVariable] = field(default_factory=dict)
    dose_ordered: bool = True
    between: Between = "parameters"
    switch: str | None = None
    definition: str | None = None
    moves: Callable[..., NDArray[np.bool_]] | None = None

    @property
    def headline(self) -> bool:
        """Whether it is one of the 15 of the headline metrics."""
        return self.order <= HEADLINE_COUNT

    @property
    def interpolable(self) -> bool:
        """Whether it is defined between the published severities."""
        return self.switch is None

    def row(self) -> dict[str, Any]:
        """Its row of the `corruptions` dimension."""
        return {
            "corruption": self.name,
            "corruption_label": self.label,
            "corruption_group": self.group,
            "corruption_order": self.order,
            "headline": self.headline,
            "dose_ordered": self.dose_ordered,
            "interpolable": self.interpolable,
        }


def corruption(
    *,
    group: str,
    levels: RecipeLevels | Levels,
    order: int | None = None,
    label: str | None = None,
    samples: Mapping[str, RandomVariable] | None = None,
    dose_ordered: bool = True,
    between: Between = "parameters",
    switch: str | None = None,
    moves: Callable[..., NDArray[np.bool_]] | None = None,
) -> Callable[[Kernel], Kernel]:
    """Register a kernel as a corruption named after the function, which stays callable.

    Args:
        group: noise, blur, weather or digital.
        levels: parameters at severity 0 (their limit; None if there is none) and at 1 to 5, by recipe
            or for all.
        order: of publication, from 1; None for one that Hendrycks and Dietterich did not publish, whose code is part of
            the identity of its images.
        label: its name on charts; default: made from the name.
        samples: the random variables of an image, by the name of the kernel's argument; default: none.
        dose_ordered: whether distortion never falls from one severity to the next.
        between: quantity interpolated between two levels.
        switch: why it is not defined between them; None if it is.
        moves: its kernel for masks, if it moves objects.
    """

    def define(kernel: Kernel) -> Kernel:
        name = kernel.__name__
        _DEFINED[name] = Corruption(
            name,
            label or default_label(name),
            group,
            order or LAST,
            kernel,
            levels if isinstance(levels, dict) else dict.fromkeys(RECIPES, levels),
            samples or {},
            dose_ordered,
            between,
            switch,
            definition=None if order else identity_of([source_of(kernel), repr(levels)]),
            moves=moves,
        )
        return kernel

    return define


def defined() -> dict[str, Corruption]:
    """The corruptions defined by the decorator: published ones first, then others by name."""
    corruptions = sorted(_DEFINED.values(), key=lambda known: (known.order, known.name))
    return {known.name: replace(known, order=order) for order, known in enumerate(corruptions, start=1)}


def source_of(kernel: Callable[..., Any]) -> str:
    """The source of the kernel's file, whose helpers shape its images too."""
    try:
        return inspect.getsource(inspect.getmodule(kernel) or kernel)
    except (OSError, TypeError):
        return repr(kernel)  # defined interactively: no source


def default_label(name: str) -> str:
    """The name on charts that follows from a corruption's name: "Gaussian noise"."""
    return name.replace("_", " ").capitalize()
