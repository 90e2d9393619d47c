"""What a study says of its networks: models, training recipes, and how they are evaluated. No torch here."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ingest.specification import Strict

Precision = Literal["float32", "bfloat16", "float16"]
Augmentation = Literal["standard", "augmix", "trivialaugment"]
Optimiser = Literal["sgd", "adamw"]
Channels = tuple[float, float, float]


class Normalisation(Strict):
    """Mean and standard deviation per channel, of pixel values / 255. It belongs to the model, not to the data."""

    mean: Channels
    std: tuple[
        Annotated[float, Field(gt=0)],
        Annotated[float, Field(gt=0)],
        Annotated[float, Field(gt=0)],
    ]


class TrainingSpec(Strict):
    """A training recipe: a one-cycle learning rate, cross-entropy, random crop and flip, and what comes on top.

    Attributes:
        epochs: how often each image is seen.
        batch_size: images a step.
        optimiser: sgd with Nesterov momentum, or adamw, which vision transformers need: gradients clipped at a norm
            of 1, no weight decay on norms, biases and positions.
        peak_learning_rate: the highest rate of the cycle; 0.1 for sgd and 0.001 for adamw if not given.
        momentum: of sgd; β₁ of adamw.
        weight_decay: 5e-4 for sgd (on the gradient) and 0.05 for adamw (decoupled) if not given.
        augmentation: standard is crop and flip alone; augmix (Hendrycks et al. 2020) and trivialaugment (the wide
            space of Müller & Hutter 2021) come before these. augmix is torchvision's augmentation chain, without the
            paper's Jensen–Shannon loss.
        crop_padding_px: how far a crop may shift, pixels.
        flip: whether half of the images are mirrored; not for images that mirroring turns into another class.
        images: how many training images, balanced over classes; all if not given.
    """

    epochs: int = Field(default=30, ge=1)
    batch_size: int = Field(default=128, ge=2)
    optimiser: Optimiser = "sgd"
    peak_learning_rate: float = Field(
        default_factory=lambda given: 1e-3 if given.get("optimiser") == "adamw" else 0.1, gt=0
    )
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default_factory=lambda given: 0.05 if given.get("optimiser") == "adamw" else 5e-4, ge=0)
    augmentation: Augmentation = "standard"
    crop_padding_px: int = Field(default=4, ge=0)
    flip: bool = True
    images: int | None = Field(default=None, ge=2)

    @property
    def augmentation_in_words(self) -> str:
        """How training images are changed, in order, for the record."""
        parts = {
            "standard": [],
            "augmix": ["AugMix's chain (Hendrycks et al. 2020) without its Jensen–Shannon loss"],
            "trivialaugment": ["TrivialAugment, wide (Müller & Hutter 2021)"],
        }[self.augmentation]
        parts += ["crop"] * (self.crop_padding_px > 0) + ["flip"] * self.flip
        return "; ".join(parts) or "none"


class ModelSpec(Strict):
    """One network: an architecture with either a checkpoint to load or a recipe to train it by, once a seed.

    `input_side_px` is the network's own side: images, corrupted at the data set's side, are resized to it (bilinear,
    anti-aliased) on their way in; as they come where it is left out. `attention` overrides what the study says for all
    networks; `attention_layer` is the layer to look at, by its dotted name, where the one found is not wanted.
    """

    label: str = Field(min_length=1, max_length=60)
    architecture: str
    width: int = Field(default=64, ge=8, multiple_of=8)
    checkpoint: Path | None = None
    training: TrainingSpec | None = None
    seeds: list[Annotated[int, Field(ge=0)]] = Field(default=[0], min_length=1)
    normalisation: Normalisation | None = None
    input_side_px: int | None = Field(default=None, ge=8)
    attention: str | None = None
    attention_layer: str | None = None

    @field_validator("architecture")
    @classmethod
    def _known_architecture(cls, name: str) -> str:
        if name not in ARCHITECTURES:
            raise ValueError(f"unknown architecture {name!r}: choose from {', '.join(ARCHITECTURES)}")
        return name

    @field_validator("seeds")
    @classmethod
    def _distinct_seeds(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) != len(seeds):
            raise ValueError("each seed may stand once")
        return seeds

    @model_validator(mode="after")
    def _checkpoint_or_training(self) -> "ModelSpec":
        if (self.checkpoint is None) == (self.training is None):
            raise ValueError(f"model {self.label!r} needs either a checkpoint to load or a training table, not both")
        if self.checkpoint is not None and self.seeds != [0]:
            raise ValueError(
                f"model {self.label!r}: seeds go with training; a checkpoint has the seed it was trained by"
            )
        if self.training is not None and self.input_side_px is not None:
            raise ValueError(f"model {self.label!r}: input_side_px goes with a checkpoint, not with training")
        return self


class EvaluationSpec(Strict):
    """How networks are run. Device and batch size change rows by rounding only (about 1e-6) and are no identity."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Precision = "float32"
    batch_size: int | None = Field(default=None, ge=1)
    attention: bool | str = True

    @property
    def attention_wanted(self) -> str:
        """The way to attend: "auto", "none" or a method's name."""
        if isinstance(self.attention, str):
            return self.attention
        return "auto" if self.attention else "none"


ARCHITECTURES = ("resnet18", "densenet121")
