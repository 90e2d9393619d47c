"""The keys of a training recipe in a study file. No torch here."""

from typing import Annotated, Literal

from pydantic import Field

from failmodes.ingest import study_types
from failmodes.ingest.specification import StrictModel

Augmentation = Literal["standard", "augmix", "trivialaugment"]
Optimizer = Literal["sgd", "adamw"]


class TrainingSpec(StrictModel):
    """A training recipe: a one-cycle learning rate, cross-entropy, random crop and flip, and what comes on top.

    Attributes:
        epochs: how often each image is seen.
        batch_size: images per step.
        optimizer: sgd with Nesterov momentum, or adamw, which vision transformers need: gradients clipped at a norm
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

    epochs: study_types.Epochs = 30
    batch_size: Annotated[study_types.BatchSize, Field(ge=2)] = 128
    optimizer: Optimizer = "sgd"
    peak_learning_rate: study_types.Rate = Field(
        default_factory=lambda given: 1e-3 if given.get("optimizer") == "adamw" else 0.1
    )
    momentum: Annotated[study_types.RateOrZero, Field(lt=1)] = 0.9
    weight_decay: study_types.RateOrZero = Field(
        default_factory=lambda given: 0.05 if given.get("optimizer") == "adamw" else 5e-4
    )
    augmentation: Augmentation = "standard"
    crop_padding_px: study_types.PaddingPx = 4
    flip: study_types.Flag = True
    images: Annotated[study_types.Count, Field(ge=2)] | None = None

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
