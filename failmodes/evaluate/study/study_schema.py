"""The keys of a study file and their validation: models and how they are evaluated. Does not import torch."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, field_validator, model_validator

from failmodes.ingest import study_types
from failmodes.ingest.datasets.layout import DatasetSpec, ShiftSpec
from failmodes.ingest.protocols.protocol import Protocol, protocols_by_name
from failmodes.ingest.specification import CorruptionSpec
from failmodes.ingest.statements import GateSpec, StudyClaims
from failmodes.ingest.study_types import StrictModel
from failmodes.runtime.errors import StudyError, did_you_mean, translated
from failmodes.runtime.storage.files import StorePath, as_store_path
from failmodes.runtime.storage.locations import WAREHOUSE_FILE, user_path
from failmodes.warehouse.shards.format import CLEAN_CELL, Cell
from failmodes.warehouse.stated_models import StatedModel, run_label, stated_models

Precision = Literal["float32", "bfloat16", "float16"]
OutputKind = Literal["logits", "probabilities"]
ClassProtocol = Literal["subset", "all"]
Augmentation = Literal["standard", "augmix", "trivialaugment"]
Optimizer = Literal["sgd", "adamw"]
LARGEST_MEAN = 2  # values / 255 have a mean of at most 1; a larger mean belongs to values up to 255

# Sources of models, one file each: the prefixes of architectures, and two sources without a prefix
SOURCES = sorted(path.stem for path in (Path(__file__).parents[1] / "models" / "sources").glob("[a-z]*.py"))
BUILTIN, OWN_CODE = "builtin", "own_code"
BUILTIN_ARCHITECTURES = ("resnet18", "densenet121")
PREFIXES = [source for source in SOURCES if source not in (BUILTIN, OWN_CODE)]
EXPECTED_ARCHITECTURE = (
    f"expected {', '.join(BUILTIN_ARCHITECTURES)}, "
    + "".join(f"{source}:NAME, " for source in PREFIXES)
    + "a bare NAME of torchvision or timm, or module:function of your own"
)
PUBLISHED_WIDTH = 64
STEM = "cifar (3x3 stride 1, no max-pool)"

# Mean and std of values / 255 under their usual names: ImageNet models of torchvision and most of timm, CIFAR recipes
# (per-channel statistics of the training images), CLIP, Inception and the first vision transformers, and none
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

KEYS_OF_GIVEN_WEIGHTS = (
    "input_side_px", "class_names", "prompts", "class_map", "classes", "output_key", "output_kind",
)  # fmt: skip

MAX_METRIC_FILES = 100
MAX_PROMPTS = 1000  # the largest published ensembles have 80
MAX_SHIFTS = 100


def named_source(architecture: str) -> str | None:
    """The source of an architecture; None for a bare name to look up in sources."""
    prefix, colon, _ = architecture.partition(":")
    if not colon:
        return BUILTIN if architecture in BUILTIN_ARCHITECTURES else None
    return prefix if prefix in SOURCES else OWN_CODE


class Normalization(StrictModel):
    """Mean and standard deviation per channel of pixel values / 255, as the model was trained with.

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


def named_normalization(normalization: Any) -> Any:
    """Mean and std of a name such as "imagenet", as a mapping; other values unchanged.

    Raises:
        ValueError: unknown name.
    """
    if not isinstance(normalization, str):
        return normalization
    if normalization not in NORMALIZATIONS:
        hint = did_you_mean(normalization, NORMALIZATIONS, f"choose among {', '.join(NORMALIZATIONS)}")
        raise ValueError(f"unknown normalization {normalization!r}: {hint} (or give mean and std)")
    return dict(zip(("mean", "std"), NORMALIZATIONS[normalization], strict=True))


def _as_list(prompts: Any) -> Any:
    """One text as a list; other values unchanged."""
    return [prompts] if isinstance(prompts, str) else prompts


def _with_placeholder(prompt: str) -> str:
    if "{}" not in prompt:
        raise ValueError(f'{prompt!r} has no {{}} for the name of the class: write for example "a photo of a {{}}"')
    return prompt


Prompts = Annotated[
    list[Annotated[study_types.Name, AfterValidator(_with_placeholder)]], Field(min_length=1, max_length=MAX_PROMPTS)
]


class TrainingSpec(StrictModel):
    """A training recipe: one-cycle learning rate, cross-entropy, random crop and flip, optional augmentation.

    Attributes:
        epochs: passes over the training images.
        batch_size: images per step.
        optimizer: sgd with Nesterov momentum, or adamw for vision transformers: gradients clipped at a norm of 1, no
            weight decay on norms, biases and positions.
        peak_learning_rate: highest learning rate of the cycle. Default: 0.1 for sgd, 0.001 for adamw.
        momentum: momentum of sgd; β₁ of adamw.
        weight_decay: default 5e-4 for sgd (on the gradient) and 0.05 for adamw (decoupled).
        augmentation: standard is only crop and flip; augmix (Hendrycks et al. 2020) and trivialaugment (wide, Müller &
            Hutter 2021) come before them. augmix is torchvision's augmentation chain, without the paper's
            Jensen–Shannon loss.
        crop_padding_px: padding of the random crop, pixels.
        flip: flip half of the images horizontally; not for images whose mirror image has another class.
        images: number of training images, balanced over classes. Default: all.
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
        """The augmentation steps in order, as stored in the checkpoint."""
        parts = {
            "standard": [],
            "augmix": ["AugMix's chain (Hendrycks et al. 2020) without its Jensen–Shannon loss"],
            "trivialaugment": ["TrivialAugment, wide (Müller & Hutter 2021)"],
        }[self.augmentation]
        parts += ["crop"] * (self.crop_padding_px > 0) + ["flip"] * self.flip
        return "; ".join(parts) or "none"


class ModelSpec(StrictModel):
    """One model: an architecture with weights to load, or a recipe to train it once per seed.

    Attributes:
        label: name in charts.
        architecture: `resnet18` or `densenet121` (with the CIFAR stem), `torchvision:NAME`, `timm:NAME`, a bare name
            looked up in that order, `timm:hf-hub:OWNER/NAME`, `module:function` that returns a model, or the prefix of
            another source with a name or a path, such as `transformers:FOLDER`.
        width: channels of the first stage, for resnet18 and densenet121 only.
        options: keyword arguments of the model.
        stem: "cifar" replaces the first convolution of a ResNet or DenseNet by 3×3 with stride 1 and drops the
            max-pool.
        checkpoint: `.safetensors`, or a `.pt`/`.pth` that contains only tensors.
        checkpoint_key: which weights of the checkpoint to load, by their key in the file, such as "state_dict_ema", if
            it has several.
        training: training recipe.
        weights: published weights: a torchvision name such as "IMAGENET1K_V2" or "DEFAULT"; for timm "pretrained".
        seeds: training seeds, one model each.
        training_seed: training seed of given weights, if their file does not state it.
        normalization: mean and std of the inputs in training, if the weights do not state them; or one of "imagenet",
            "cifar10", "cifar100", "clip", "inception" and "none".
        input_side_px: input size of the model: images are corrupted at the dataset's size, then resized to it
            (bilinear, anti-aliased). Default: as the weights state, otherwise not resized.
        class_names: names of the outputs in order, if the weights do not state them; of a zero-shot model, the names
            in its prompts.
        prompts: templates of a zero-shot model, each with {} for the name of a class; the embeddings of several are
            averaged. Default: "a photo of a {}".
        class_map: output, by index, name or WordNet id, of a class of the dataset; other classes are matched by name.
        classes: for models with outputs that are not classes of the dataset: "all" predicts among all outputs, as for
            published accuracies; "subset" among the classes of the dataset. Default: all if classes were matched by
            name or WordNet id; subset with `class_map`, and for a dataset whose protocol is so (ImageNet-A, ImageNet-R,
            ObjectNet).
        output_key: which output holds the logits, by name or by position from "0", if the model returns several.
        output_kind: "probabilities" for a model that ends in a softmax, or in a sigmoid if it has one output. Default:
            logits, or as an ONNX graph ends.
        deterministic: false accepts a model whose outputs differ from pass to pass.
        attention: overrides the setting of the study for this model.
        attention_layer: target layer, by its dotted name. Default: found automatically.
    """

    label: Annotated[str, Field(min_length=1, max_length=60), study_types.PRINTABLE]
    architecture: Annotated[str, Field(max_length=1000)]
    width: study_types.Width = PUBLISHED_WIDTH
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
    prompts: Annotated[Prompts | None, BeforeValidator(_as_list)] = None
    class_map: dict[study_types.Name, study_types.OutputIndex | study_types.Name] = {}
    classes: ClassProtocol | None = None
    output_key: study_types.Name | None = None
    output_kind: OutputKind | None = None
    deterministic: study_types.Flag = True
    attention: study_types.Name | None = None
    attention_layer: study_types.Name | None = None
    _live: Any = PrivateAttr(None)
    _folder: Path | None = PrivateAttr(None)

    def label_of(self, seed: int | None) -> str:
        """The label, followed by the seed if several are trained."""
        return run_label(self.label, seed, self.seeds)

    @property
    def source(self) -> str | None:
        """The source of its architecture; None for a bare name to look up in sources."""
        return named_source(self.architecture)

    @property
    def slug(self) -> str:
        """The label as part of a file name; empty if it has no ASCII letter or digit."""
        return re.sub(r"[^a-z0-9]+", "-", self.label.lower()).strip("-")

    @property
    def live(self) -> object | None:
        """The `Model` itself if it is an object of this process, which no file can name."""
        live: object | None = self._live
        return live

    def with_live(self, model: object) -> "ModelSpec":
        """A copy for a model that is an object of this process."""
        spec = self.model_copy()
        spec._live = model
        return spec

    def with_folder(self, folder: Path) -> "ModelSpec":
        """A copy whose architecture names files relative to a folder, that of the study file."""
        spec = self.model_copy()
        spec._folder = folder
        return spec

    def beside_study(self, name: str) -> Path:
        """The path of a file that the architecture names, relative to the study file; ~ is expanded.

        Raises:
            StudyError: it is not a path.
        """
        path = user_path(name)
        return path if self._folder is None else self._folder / path

    @property
    def is_hub_name(self) -> bool:
        """Whether it is a model on the Hugging Face hub, which includes its weights."""
        return self.architecture.startswith("timm:hf-hub:")

    @field_validator("architecture")
    @classmethod
    def _well_formed(cls, name: str) -> str:
        source, colon, rest = name.partition(":")
        is_known = colon and source in SOURCES and rest == rest.strip() != "" and rest.isprintable()  # may be a path
        if not is_known and not re.fullmatch(r"[\w.]+:[\w.-]+|[\w.-]+", name):
            raise ValueError(f"unknown architecture {name!r}: {EXPECTED_ARCHITECTURE}")
        return name

    @model_validator(mode="after")
    def _keys_fit_together(self) -> "ModelSpec":
        is_builtin = self.source == BUILTIN
        is_own = self.source == OWN_CODE
        is_trained = self.training is not None
        weight_keys = [key for key in ("checkpoint", "training", "weights") if getattr(self, key) is not None]
        needs_weights = self.source in (BUILTIN, "torchvision", "timm", None) and not self.is_hub_name
        stated = [key for key in KEYS_OF_GIVEN_WEIGHTS if getattr(self, key)]
        reserved = [key for key in (RESERVED_OPTIONS[:1] if is_own else RESERVED_OPTIONS) if key in self.options]
        conflicts = (
            (
                len(weight_keys) > 1 or (needs_weights and not weight_keys),
                f"expected one of `checkpoint`, `training` or `weights` (given: {' and '.join(weight_keys) or 'none'})",
            ),
            (self.checkpoint_key and self.checkpoint is None, "`checkpoint_key` requires `checkpoint`"),
            (
                self.weights and is_builtin,
                f"{self.architecture} has no published `weights`: write torchvision:{self.architecture}",
            ),
            (self.weights and is_own, f"{self.architecture} loads its own weights: remove `weights`"),
            (
                not is_trained and self.seeds != [0],
                "`seeds` requires `training`; for given weights use `training_seed`",
            ),
            (
                is_trained and self.training_seed is not None,
                "`training_seed` is for given weights; use `seeds` with `training`",
            ),
            (is_trained and stated, f"`{''.join(stated[:1])}` is for given weights, not for `training`"),
            (
                is_builtin and (self.options or self.stem),
                f"{self.architecture} takes no `options` or `stem` (it has the CIFAR stem and `width`): write "
                f"torchvision:{self.architecture} for torchvision's model",
            ),
            (
                not is_builtin and self.width != PUBLISHED_WIDTH,
                f"`width` is only for {' and '.join(BUILTIN_ARCHITECTURES)}: use `options`",
            ),
            (
                self.stem and (self.weights or self.is_hub_name or is_own),
                "`stem` is for a ResNet or DenseNet with `checkpoint` or `training`",
            ),
            (
                reserved,
                f"options must not contain {', '.join(reserved)}: outputs follow from the classes, weights from "
                "`checkpoint`, `training` or `weights`",
            ),
        )
        for is_conflict, message in conflicts:
            if is_conflict:
                raise ValueError(f"model {self.label!r}: {message}")
        return self


class EvaluationSpec(StrictModel):
    """How models run. Only precision, attention and logits are part of an evaluation's identity.

    Device, batch size, compilation and number of processes change rows only by rounding (about 1e-6, and up to 2e-5
    between machines).

    Attributes:
        device: where models run; auto prefers cuda, then mps, then cpu.
        precision: of the forward pass.
        batch_size: images per forward pass. Default: the largest power of two within a memory budget, at most 32 on a
            CPU, 512 on a GPU and 128 on MPS.
        attention: true, false, or a CAM method: "auto", "none", "closed-form", "backward", or one of the grad-cam
            package such as "layercam".
        logits: "all" also keeps every logit of models with more than ten classes, as float16, in the results only: a
            load computes conformal sets of them.
        thumbnails: store images in the results: clean ones, from which any image under any corruption is reproduced,
            and exemplars. False for images that must not leave this machine with the results.
        compile: run models through torch.compile first, which takes minutes for deep models.
        executor: where it runs: this process (here), several on this machine (processes), a Ray cluster (ray); auto
            uses one process per GPU if there are several.
        processes: number of processes for executors processes and ray. Default: one per GPU, otherwise one.
        workers: processes that prepare corrupted images for each evaluating process. Default: none on a CPU.
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
        if self.executor != "ray" and (self.processes or 0) > study_types.MAX_HERE:
            raise ValueError(f"`processes`: at most {study_types.MAX_HERE} on one machine (given: {self.processes})")
        return self

    @property
    def attention_method(self) -> str:
        """The CAM method of all models: "auto", "none" or the name of a method."""
        if isinstance(self.attention, str):
            return self.attention
        return "auto" if self.attention else "none"


class Study(StrictModel):
    """A whole study. Relative paths in the file are relative to the file.

    Attributes:
        name: of the study, in charts and in the report.
        output: folder for results, checkpoints, warehouse and report.
        results: store results elsewhere: another folder, or a URL such as s3://bucket/study.
        dataset: the clean images.
        corruptions: how they are corrupted.
        shifts: natural shifts, evaluated beside the clean images.
        protocols: protocols of your own, in addition to the registered ones: each evaluation states the one that it
            satisfies, or the nearest.
        models: the models; none if all predictions are imported.
        baseline: label of the model that others are compared with: it is first and gray on charts, and the report
            compares the others with it.
        evaluation: how models run.
        claims: claims about the models, one table each, evaluated in the report and by `failmodes claims`; they do not
            change the evaluation.
        metrics: Python files with custom metrics, functions decorated with `@failmodes.metric`; `failmodes load` runs
            them.
        gate: rules of `failmodes gate`; they do not change the evaluation.
    """

    name: Annotated[str, Field(min_length=1, max_length=80), study_types.PRINTABLE]
    output: study_types.UserPath
    results: study_types.FolderOrUrl | None = None
    dataset: DatasetSpec
    corruptions: CorruptionSpec = CorruptionSpec()
    shifts: Annotated[list[ShiftSpec], Field(max_length=MAX_SHIFTS)] = []
    protocols: Annotated[list[Protocol], Field(max_length=MAX_SHIFTS)] = []
    models: Annotated[list[ModelSpec], Field(max_length=study_types.MAX_MODELS)] = []
    baseline: study_types.Name | None = None
    evaluation: EvaluationSpec = EvaluationSpec()
    claims: StudyClaims = []
    metrics: Annotated[list[str], Field(max_length=MAX_METRIC_FILES)] = []
    gate: GateSpec | None = None

    def without_unreadable(self) -> "Study":
        """A copy that leaves out images that cannot be decoded, of its dataset and its shifts."""
        left_out = {"skip_unreadable": True}
        shifts = [shift.model_copy(update=left_out) for shift in self.shifts]
        return self.model_copy(update={"dataset": self.dataset.model_copy(update=left_out), "shifts": shifts})

    @property
    def cache(self) -> Path:
        """Folder for decoded images and cached fingerprints."""
        return self.output / "cache"

    @property
    def warehouse(self) -> Path:
        """The warehouse of the study, in its output folder."""
        return self.output / WAREHOUSE_FILE

    @property
    def results_folder(self) -> StorePath:
        """The folder of the results: `results` if given, otherwise `output`."""
        return self.output if self.results is None else as_store_path(self.results)

    @property
    def severities(self) -> list[Decimal]:
        """The severities in ascending order, as stored in the results."""
        return sorted(Decimal(str(severity)).quantize(Decimal("0.001")) for severity in self.corruptions.severities)

    @property
    def cells(self) -> list[Cell]:
        """All cells of the study, the clean one first."""
        levels = ((name, level) for name in self.corruptions.names for level in self.severities_of(name))
        return [CLEAN_CELL, *(Cell(name, level) for name, level in levels)]

    def severities_of(self, corruption: str) -> list[Decimal]:
        """The severities of one corruption in ascending order: all but those that a published dataset lacks."""
        return [level for level in self.severities if (corruption, level) not in self.corruptions.absent]

    @property
    def stated_models(self) -> list[StatedModel]:
        """Its models and training runs in their order, with the baseline."""
        return stated_models({model.label: model.seeds for model in self.models}, self.baseline)

    @field_validator("protocols")
    @classmethod
    def _distinct_protocols(cls, protocols: list[Protocol]) -> list[Protocol]:
        with translated(StudyError, lambda error: ValueError(str(error))):
            protocols_by_name(protocols)
        return protocols

    @model_validator(mode="after")
    def _known_baseline(self) -> "Study":
        with translated(StudyError, lambda error: ValueError(str(error))):
            stated_models({model.label: model.seeds for model in self.models}, self.baseline)
        return self

    @model_validator(mode="after")
    def _distinct_labels(self) -> "Study":
        if study_types.first_duplicate(model.label for model in self.models) is not None:
            raise ValueError("two models have the same label: charts could not distinguish them")
        twice = study_types.first_duplicate(str(shift.label) for shift in self.shifts)
        if twice is not None:
            raise ValueError(f"two shifts have the label {twice!r}: charts could not distinguish them")
        return self
