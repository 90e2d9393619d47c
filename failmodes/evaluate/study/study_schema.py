"""The keys of a study file and their checks: models, and how they are evaluated. No torch here."""

import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, field_validator, model_validator

from failmodes.ingest import study_types
from failmodes.ingest.specification import CorruptionSpec, DatasetSpec, StrictModel
from failmodes.ingest.statements import GateSpec, StudyClaims
from failmodes.warehouse.errors import did_you_mean
from failmodes.warehouse.shards.format import CLEAN_CELL, Cell
from failmodes.warehouse.storage.files import StorePath, as_store_path

if TYPE_CHECKING:
    from failmodes.evaluate.models.model import Model

Precision = Literal["float32", "bfloat16", "float16"]
OutputKind = Literal["logits", "probabilities"]
ClassProtocol = Literal["subset", "all"]
Augmentation = Literal["standard", "augmix", "trivialaugment"]
Optimizer = Literal["sgd", "adamw"]
LARGEST_MEAN = 2  # values / 255 have a mean of 1 at most; a larger one belongs to values up to 255

# Sources of models, a file each: the prefix of an architecture, and the two that have none
SOURCES = sorted(path.stem for path in (Path(__file__).parents[1] / "models" / "sources").glob("[a-z]*.py"))
BUILTIN, OWN_CODE = "builtin", "own_code"
BUILTIN_ARCHITECTURES = ("resnet18", "densenet121")
EXPECTED_ARCHITECTURE = (
    f"expected {', '.join(BUILTIN_ARCHITECTURES)}, "
    + "".join(f"{source}:NAME, " for source in SOURCES if source not in (BUILTIN, OWN_CODE))
    + "a bare NAME of torchvision or timm, or module:function of your own"
)
PUBLISHED_WIDTH = 64
STEM = "cifar (3x3 stride 1, no max-pool)"

# Mean and std of values / 255 under the names that the field knows them by: of torchvision's and most of timm's
# ImageNet models, of the usual CIFAR recipes (per-channel statistics of the training images), of CLIP, of Inception
# and the first vision transformers, and none at all
NORMALIZATIONS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "inception": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}

RESERVED_OPTIONS = (
    "num_classes", "pretrained", "weights", "checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay",
)  # fmt: skip

MOST_METRIC_FILES = 100


def named_source(architecture: str) -> str | None:
    """The source that an architecture names; None for a bare name that sources know."""
    prefix, colon, _ = architecture.partition(":")
    if not colon:
        return BUILTIN if architecture in BUILTIN_ARCHITECTURES else None
    return prefix if prefix in SOURCES else OWN_CODE


class Normalization(StrictModel):
    """Mean and standard deviation per channel, of pixel values / 255. It belongs to the model, not to the data.

    Attributes:
        mean: of red, green and blue.
        std: of red, green and blue.
    """

    mean: tuple[study_types.PixelMean, study_types.PixelMean, study_types.PixelMean]
    std: tuple[study_types.PixelStd, study_types.PixelStd, study_types.PixelStd]

    @model_validator(mode="after")
    def _of_values_up_to_one(self) -> "Normalization":
        if max(self.mean) > LARGEST_MEAN:
            tenths = ", ".join(f"{value / 255:.3f}" for value in self.mean)
            raise ValueError(f"mean and std are of values / 255: divide them by 255, which gives a mean of [{tenths}]")
        return self


def named_normalization(given: Any) -> Any:
    """Mean and std of a name such as "imagenet", as a mapping; anything else as it is.

    Raises:
        ValueError: there is no such name.
    """
    if not isinstance(given, str):
        return given
    if given not in NORMALIZATIONS:
        hint = did_you_mean(given, NORMALIZATIONS, f"choose among {', '.join(NORMALIZATIONS)}")
        raise ValueError(f"unknown normalization {given!r}: {hint} (or give mean and std)")
    return dict(zip(("mean", "std"), NORMALIZATIONS[given], strict=True))


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


class ModelSpec(StrictModel):
    """One model: an architecture with weights to load or a recipe to train it by, once a seed.

    Attributes:
        label: its name on charts.
        architecture: `resnet18` or `densenet121` (with the CIFAR stem), `torchvision:NAME`, `timm:NAME`, a bare name
            looked up in that order, `timm:hf-hub:OWNER/NAME`, or `module:function` that makes a model.
        width: channels of the first stage, for ours only.
        options: keyword arguments for what builds the model.
        stem: "cifar" makes a ResNet's or DenseNet's first convolution 3×3 with stride 1 and drops its max-pool.
        checkpoint: `.safetensors`, or a `.pt`/`.pth` that holds nothing but tensors.
        checkpoint_key: which weights of the checkpoint to load, by their key in the file, such as "state_dict_ema",
            where it holds several.
        training: the recipe to train it by.
        weights: published weights: a name of torchvision's such as "IMAGENET1K_V2" or "DEFAULT"; for timm "pretrained".
        seeds: training seeds, a model each.
        training_seed: of given weights, the seed of their training run, where their file does not say.
        normalization: mean and std that its inputs were normalized by, where its weights do not say; or one of
            "imagenet", "cifar10", "cifar100", "clip", "inception" and "none".
        input_side_px: the model's own side: images, corrupted at the data set's side, are resized to it (bilinear,
            anti-aliased); not resized where neither the study nor the weights give it.
        class_names: names of its outputs, in order, where its weights do not say.
        class_map: the output, by index, name or WordNet id, of a class of the data set; names are matched elsewhere.
        classes: where it has outputs that are no classes of the data set: "all" lets any output be the answer, as
            published accuracies are measured; "subset" only those of the data set's classes. If not given: all where
            classes were matched by name or WordNet id, subset where `class_map` gives them.
        output_key: which of its outputs are the logits, by name or by position from "0", where it gives several.
        output_kind: "probabilities" for a model that ends in a softmax; logits if not given.
        deterministic: false accepts a model that gives an image other outputs each time.
        attention: overrides the study's setting for all models.
        attention_layer: the layer to look at, by its dotted name, instead of the one found automatically.
    """

    label: Annotated[str, Field(min_length=1, max_length=60), study_types.PRINTABLE]
    architecture: Annotated[str, Field(max_length=200)]
    width: study_types.Width = 64
    options: study_types.Options = {}
    stem: Literal["cifar"] | None = None
    checkpoint: study_types.UserPath | None = None
    checkpoint_key: Annotated[study_types.Name, Field(min_length=1)] | None = None
    training: TrainingSpec | None = None
    weights: Annotated[study_types.Name, Field(min_length=1)] | None = None
    seeds: study_types.TrainingSeeds = [0]
    training_seed: study_types.TrainingSeed | None = None
    normalization: Annotated[Normalization | None, BeforeValidator(named_normalization)] = None
    input_side_px: study_types.SidePx | None = None
    class_names: Literal["imagenet-1k"] | Annotated[list[study_types.Name], Field(min_length=2)] | None = None
    class_map: dict[study_types.Name, study_types.OutputIndex | study_types.Name] = {}
    classes: ClassProtocol | None = None
    output_key: study_types.Name | None = None
    output_kind: OutputKind | None = None
    deterministic: study_types.Flag = True
    attention: study_types.Name | None = None
    attention_layer: study_types.Name | None = None
    _live: Any = PrivateAttr(None)

    def label_of(self, seed: int | None) -> str:
        """The label, with the seed behind it where several are trained."""
        return self.label if len(self.seeds) == 1 or seed is None else f"{self.label}, seed {seed}"

    @property
    def source(self) -> str | None:
        """The source that its architecture names; None for a bare name that sources know."""
        return named_source(self.architecture)

    @property
    def slug(self) -> str:
        """The label as a part of a file's name; empty where it has no letter or digit of ASCII."""
        return re.sub(r"[^a-z0-9]+", "-", self.label.lower()).strip("-")

    @property
    def live(self) -> "Model | None":
        """The model itself, where it is an object of this process, which no file can name."""
        live: Model | None = self._live
        return live

    def with_live(self, model: "Model") -> "ModelSpec":
        """The same specification of a model that is an object of this process."""
        spec = self.model_copy()
        spec._live = model
        return spec

    @property
    def is_hub_name(self) -> bool:
        """Whether it is a model of timm's hub, which brings its weights."""
        return self.architecture.startswith("timm:hf-hub:")

    @field_validator("architecture")
    @classmethod
    def _well_formed(cls, name: str) -> str:
        source, colon, _ = name.partition(":")
        is_known = colon and source in SOURCES and re.fullmatch(r"[\w./@:-]+", name)
        if not is_known and not re.fullmatch(r"[\w.]+:[\w.-]+|[\w.-]+", name):
            raise ValueError(f"unknown architecture {name!r}: {EXPECTED_ARCHITECTURE}")
        return name

    @model_validator(mode="after")
    def _one_source_of_weights(self) -> "ModelSpec":
        given = [key for key in ("checkpoint", "training", "weights") if getattr(self, key) is not None]
        needs = self.source in (BUILTIN, "torchvision", "timm", None) and not self.is_hub_name
        if len(given) > 1 or (not given and needs):
            raise ValueError(
                f"model {self.label!r} needs one of a checkpoint to load, a training table or weights"
                f" (given: {' and '.join(given) or 'none'})"
            )
        if self.checkpoint_key is not None and self.checkpoint is None:
            raise ValueError(f"model {self.label!r}: checkpoint_key goes with a checkpoint")
        if self.weights is not None and self.source in (BUILTIN, OWN_CODE):
            hint = (
                f"write torchvision:{self.architecture}"
                if self.source == BUILTIN
                else "leave them out, the function loads its own"
            )
            raise ValueError(f"model {self.label!r}: no published weights go with {self.architecture}: {hint}")
        return self

    @model_validator(mode="after")
    def _keys_of_training(self) -> "ModelSpec":
        if self.training is None and self.seeds != [0]:
            raise ValueError(
                f"model {self.label!r}: seeds go with training; a checkpoint has the seed it was trained by"
            )
        if self.training is not None and self.training_seed is not None:
            raise ValueError(
                f"model {self.label!r}: training_seed goes with given weights; what is trained here has its `seeds`"
            )
        for key in ("input_side_px", "class_names", "class_map", "classes", "output_key", "output_kind"):
            if self.training is not None and getattr(self, key):
                raise ValueError(f"model {self.label!r}: {key} goes with given weights, not with training")
        return self

    @model_validator(mode="after")
    def _keys_of_building(self) -> "ModelSpec":
        if self.source == BUILTIN and (self.options or self.stem):
            key = "options" if self.options else "stem"
            raise ValueError(
                f"model {self.label!r}: `{key}` is not for {self.architecture}, which has the CIFAR stem and `width`:"
                f" write torchvision:{self.architecture} for torchvision's own"
            )
        if self.source != BUILTIN and self.width != type(self).model_fields["width"].default:
            raise ValueError(
                f"model {self.label!r}: `width` is for {' and '.join(BUILTIN_ARCHITECTURES)}: use `options`"
            )
        if self.stem is not None and (self.weights or self.is_hub_name or self.source == OWN_CODE):
            raise ValueError(f"model {self.label!r}: `stem` goes with a checkpoint or training of a ResNet or DenseNet")
        reserved = RESERVED_OPTIONS[:1] if self.source == OWN_CODE else RESERVED_OPTIONS
        for key in reserved:
            if key in self.options:
                raise ValueError(
                    f"model {self.label!r}: options must not hold {key}: outputs follow from the classes, weights from"
                    " `checkpoint`, `training` or `weights`"
                )
        return self


class EvaluationSpec(StrictModel):
    """How models are run. Only precision, attention and logits are part of an evaluation's identity.

    Device, batch size, compilation and the number of processes change rows by rounding only (about 1e-6, and up to 2e-5
    between machines).

    Attributes:
        device: where models run; auto takes cuda, then mps, then cpu.
        precision: of the forward pass.
        batch_size: images per forward pass; if not given, the largest power of two that fits the memory rule of
            `engine.cell.choose_batch_size`, at most 32 on a CPU, 512 on a GPU and 128 on MPS.
        attention: true, false, or a CAM method: "auto", "none", "closed-form", "backward", or one of the grad-cam
            package such as "layercam".
        logits: "all" keeps every logit of models of more than ten classes, as float16, in the record alone; what
            else is on record stays as it is.
        thumbnails: whether pictures are put on record: clean images, from which any image under any corruption is made
            again, and the exemplars. False for images that must not leave this machine with the record.
        compile: whether models go through torch.compile first, which takes minutes for deep ones.
        executor: where it runs: this process (here), several on this machine (processes), a Ray cluster (ray); auto
            takes a process for each GPU where there are several.
        processes: how many evaluate in parallel, for processes and ray; by default one per GPU, else one.
        workers: processes that prepare corrupted images for each evaluating process; by default none on a CPU.
    """

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Precision = "float32"
    batch_size: study_types.BatchSize | None = None
    attention: study_types.Flag | study_types.Name = True
    logits: Literal["all"] | None = None
    thumbnails: study_types.Flag = True
    compile: study_types.Flag = False
    executor: Literal["auto", "here", "processes", "ray"] = "auto"
    processes: study_types.Processes | None = None
    workers: study_types.Workers | None = None

    @model_validator(mode="after")
    def _fits_one_machine(self) -> "EvaluationSpec":
        if self.executor != "ray" and (self.processes or 0) > study_types.MOST_HERE:
            raise ValueError(f"`processes`: on one machine at most {study_types.MOST_HERE} (given: {self.processes})")
        return self

    @property
    def attention_method(self) -> str:
        """The CAM method of all models: "auto", "none" or a method's name."""
        if isinstance(self.attention, str):
            return self.attention
        return "auto" if self.attention else "none"


class Study(StrictModel):
    """A whole study. Relative paths in the file are relative to the file.

    Attributes:
        name: of the study, on charts and in the report.
        output: the folder for the record, checkpoints, warehouse and report.
        results: where shards and dimensions go instead of `output`: another folder, or a URL such as s3://bucket/study.
        dataset: the clean images.
        corruptions: how they are corrupted.
        models: the models; none where all predictions are imported.
        evaluation: how models are run.
        claims: what the study claims of its models, a table each, which the report and `failmodes claims` judge; they
            change nothing of what is evaluated.
        metrics: Python files with metrics of your own, each a function under `@failmodes.metric`; `failmodes load` runs
            them and computes the metrics.
        gate: rules that `failmodes gate` judges by; they change nothing of what is evaluated.
    """

    name: Annotated[str, Field(min_length=1, max_length=80), study_types.PRINTABLE]
    output: study_types.UserPath
    results: study_types.FolderOrUrl | None = None
    dataset: DatasetSpec
    corruptions: CorruptionSpec = CorruptionSpec()
    models: Annotated[list[ModelSpec], Field(max_length=study_types.MOST_MODELS)] = []
    evaluation: EvaluationSpec = EvaluationSpec()
    claims: StudyClaims = []
    metrics: Annotated[list[str], Field(max_length=MOST_METRIC_FILES)] = []
    gate: GateSpec | None = None

    @property
    def cache(self) -> Path:
        """Where decoded images and remembered fingerprints lie."""
        return self.output / "cache"

    @property
    def results_folder(self) -> StorePath:
        """The folder that holds the record: `results`, or the output folder where that is not given."""
        return self.output if self.results is None else as_store_path(self.results)

    @property
    def severities(self) -> list[Decimal]:
        """The severities of the study, rising, as the record writes them."""
        return sorted(Decimal(str(severity)).quantize(Decimal("0.001")) for severity in self.corruptions.severities)

    @property
    def cells(self) -> list[Cell]:
        """All cells of the study, the clean one first."""
        return [CLEAN_CELL, *(Cell(name, level) for name in self.corruptions.names for level in self.severities)]

    @model_validator(mode="after")
    def _distinct_labels(self) -> "Study":
        if study_types.first_duplicate(model.label for model in self.models) is not None:
            raise ValueError("two models have the same label: charts could not tell them apart")
        return self
