"""What a study file says about images and their corruption, checked as it is read."""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ingest.corruptions.catalogue import STUDY_CORRUPTIONS, canonical_name, unknown_corruption
from ingest.corruptions.recipes import RECIPES, SEVERITIES, not_generated

Kind = Literal["digits", "cifar10", "cifar100", "folder"]
Split = Literal["train", "test"]
Value = TypeVar("Value", int, str)


class Strict(BaseModel):
    """A part of a study: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetSpec(Strict):
    """A data set of a study.

    Attributes:
        kind: digits (embedded), cifar10, cifar100, or a folder of labelled images.
        path: the folder that holds it; not for digits.
        split: the part to evaluate.
        images: how many images of it, balanced over classes; all if not given.
        image_size: side of the square that a folder's images are cropped to, pixels.
        resize: what their shorter side is resized to before the crop, pixels; image_size if not given.
        label: its name on charts, instead of the built-in one.
    """

    kind: Kind
    path: Path | None = None
    split: Split = "test"
    images: Annotated[int, Field(ge=1)] | None = None
    image_size: Annotated[int, Field(ge=8)] | None = None
    resize: Annotated[int, Field(ge=8)] | None = None
    label: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "DatasetSpec":
        if self.kind == "digits" and self.path is not None:
            raise ValueError("digits come with scikit-learn: leave out `path`")
        if self.kind != "digits" and self.path is None:
            raise ValueError(f"kind {self.kind!r} needs `path`, the folder that holds it")
        if self.kind != "folder" and self.image_size is not None:
            raise ValueError(f"`image_size` is for kind 'folder': {self.kind} images keep their 32 pixels")
        if self.resize is not None and self.image_size is None:
            raise ValueError("`resize` goes with `image_size`, the side to crop to, such as resize 256, image_size 224")
        if self.resize is not None and self.image_size is not None and self.resize < self.image_size:
            raise ValueError(f"`resize` {self.resize} is less than `image_size` {self.image_size}: it must not be")
        return self


class CorruptionSpec(Strict):
    """How a study corrupts images.

    Attributes:
        names: corruptions, in the order of evaluation; aliases are replaced by the published name.
        severities: whole levels, 1 to 5.
        recipe: which published parameters to generate with.
        seeds: seeds of the draws; each is a source of its own.
        draws: "paired": an image meets the same draws at every severity; "independent": fresh ones at each.
        published: a folder in the layout of CIFAR-10-C, to take corrupted images from instead of generating them.
    """

    names: Annotated[list[str], Field(min_length=1)] = list(STUDY_CORRUPTIONS)
    severities: Annotated[list[int], Field(min_length=1)] = list(SEVERITIES)
    recipe: Literal["cifar-c"] = "cifar-c"
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0]
    draws: Literal["paired", "independent"] = "paired"
    published: Path | None = None

    @field_validator("names")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        known = []
        for name in names:
            published = canonical_name(name)
            if published is None:
                raise ValueError(unknown_corruption(name))
            known.append(published)
        return _unique(known, "corruption")

    @field_validator("severities")
    @classmethod
    def _levels(cls, severities: list[int]) -> list[int]:
        for severity in severities:
            if severity not in SEVERITIES:
                raise ValueError(f"severity {severity} is not one of 1-5 (clean, 0, is always evaluated)")
        return _unique(severities, "severity")

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, seeds: list[int]) -> list[int]:
        return _unique(seeds, "seed")

    @model_validator(mode="after")
    def _obtainable(self) -> "CorruptionSpec":
        missing = [name for name in self.names if name not in RECIPES[self.recipe]]
        if missing and self.published is None:
            raise ValueError(not_generated(self.recipe, missing[0]))
        if self.published is not None and self.seeds != [0]:
            raise ValueError("`seeds` are for generated corruptions: a published set has its own draws")
        return self


def _unique(values: list[Value], what: str) -> list[Value]:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{what} {value!r} is named twice")
    return values
