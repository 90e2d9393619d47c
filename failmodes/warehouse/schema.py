"""The schema of the results: every table and column, with types, units and meaning.

Parquet, SQL, Polars and charts all use these names. A change increases `SCHEMA_VERSION`; files of another version are
refused with the command that recreates them. No library is loaded.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from failmodes.runtime.errors import WarehouseError, printable

if TYPE_CHECKING:
    import pyarrow as pa

# Arrow's names of types; Arrow is not imported here: that takes longer than a short query.
text, flag, binary, date = "string", "bool", "binary", "date32"
int16, int32, int64, half, real, double = "int16", "int32", "int64", "halffloat", "float32", "float64"
moment = "timestamp[s]"  # UTC; with a time zone, DuckDB would need pytz in Python and an extension in a browser
SEVERITY = "decimal128(6, 3)"
SEVERITY_DIGITS = 6, 3  # of `SEVERITY`: in all, and after the point
MAX_SEVERITY = 999  # the rank of a level, stored in three digits before the point


SHARE, DIFFERENCE_OF_SHARES = "share", "difference of shares"  # units, 0-1 and -1 to 1
MAX_LABEL_LETTERS = 1_000  # of a text, in every table except the facts
MAX_NOTE_LETTERS = 100_000

# Columns of long texts; all others hold names, identities and short values
_NOTES = frozenset({
    "note", "variant", "training_recipe", "training_data", "subset", "recipe", "versions", "attention_note",
    "pairing_note", "reason", "sentence", "query", "claim", "text", "paper", "formula", "source",
})  # fmt: skip


def now_utc() -> datetime:
    """The current time in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def as_moment(time: datetime) -> datetime:
    """A time as a column of moments stores it: in UTC, without a time zone."""
    return time.astimezone(UTC).replace(tzinfo=None)


def list_of(kind: str) -> str:
    """The type of a list of values of type `kind`."""
    return f"list<{kind}>"


class Column(NamedTuple):
    """One column: its name, type (by Arrow's name), meaning (with range and unit), and whether it may be null."""

    name: str
    type: str
    meaning: str
    nullable: bool = False

    @property
    def most_letters(self) -> int | None:
        """Maximum length of its texts; None for other types."""
        if self.type not in (text, list_of(text)):
            return None
        return MAX_NOTE_LETTERS if self.name in _NOTES else MAX_LABEL_LETTERS


class Table(NamedTuple):
    """One table: its name, its grain, the columns of its key, and all columns in order."""

    name: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @classmethod
    def of(cls, name: str, grain: str, key: tuple[str, ...], *columns: Column) -> "Table":
        """A table of these columns."""
        return cls(name, grain, key, columns)

    def arrow(self, *, without: tuple[str, ...] = ()) -> "pa.Schema":
        """The Arrow schema without the columns in `without` (hive partitions are part of the path)."""
        return _arrow_schema(self.columns, without)


@cache  # a load needs it for each shard
def _arrow_schema(columns: tuple[Column, ...], without: tuple[str, ...]) -> "pa.Schema":
    import pyarrow as pa

    kept = [column for column in columns if column.name not in without]
    return pa.schema([pa.field(column.name, arrow_type(column.type), column.nullable) for column in kept])


def arrow_type(kind: str) -> "pa.DataType":
    """The Arrow type that a column's `type` names."""
    import pyarrow as pa

    if kind.startswith("list<"):
        return pa.list_(arrow_type(kind.removeprefix("list<").removesuffix(">")))
    return pa.decimal128(*SEVERITY_DIGITS) if kind == SEVERITY else pa.type_for_alias(kind)


SCHEMA_VERSION = "9"
SHOWN_LETTERS = 20  # of an invalid version


def check_version(version: str, subject: object, hint: str) -> None:
    """Refuse another schema version.

    Raises:
        WarehouseError: `subject` has that version, this one was expected, and `hint`.
    """
    if version != SCHEMA_VERSION:
        version = version if len(version) <= SHOWN_LETTERS else f"{version[:SHOWN_LETTERS]}…"
        raise WarehouseError(f"{subject} has schema version {version}, this failmodes reads {SCHEMA_VERSION}: {hint}")


OTHER_GROUP = "other"  # of corruptions that only published datasets hold
WHOLE = "all"  # the split of a dataset without splits
CLEAN = "none"  # the clean images, stored once per evaluation as corruption 'none' at severity 0

NO_CORRUPTION = "none"  # kind of the source of evaluations of clean images only: those of natural shifts

OF_TABLE = "table"  # kind of the source of predictions from a table, which needs neither pixels nor a reference level

FULL_LOGITS_CLASSES = 10  # up to so many classes every logit is kept, beyond it the TOP_LOGITS largest

TOP_LOGITS = 5

TEMPERATURES = tuple(2.0 ** (step / 8) for step in range(-8, 17))  # 1/2 to 4 by eighths of a doubling

PREDICTED_OUTPUT = "predicted_output"  # left out of shards where only classes of the dataset take part

SCALED_LOG_SUM_EXP = "scaled_log_sum_exp"  # left out of shards that hold all logits

IMPORTED_FAMILY = "imported"  # the family of models known by predictions made elsewhere

EXEMPLAR_REASONS = (
    "first_to_fail",
    "confidently_incorrect",
    "recovered",
    "still_correct",
)  # in the order of preference

# The keys of a shard, which its path carries (hive partitioning); its file holds the severity too, as a number
PARTITIONS = ("evaluation_id", "corruption", "severity")

CELL_COLUMNS = (
    Column("evaluation_id", text, "identity of model, data, subset, source, precision and attention method"),
    Column("corruption", text, f"corruption name; '{CLEAN}' is the clean image"),
    Column("severity", SEVERITY, "rank of the level, 0 (clean) to 999; published levels are whole numbers"),
)

IMAGE_COLUMN = Column("image_id", int32, "index of the image in the full dataset, from 0")

PREDICTION_FACTS = Table.of(
    "prediction_facts",
    "one row per evaluation, corruption, severity and image; clean images as 'none' at severity 0",
    (*PARTITIONS, "image_id"),
    *CELL_COLUMNS,
    IMAGE_COLUMN,
    Column("label", int16, "true class index, from 0"),
    Column("predicted", int16, "class of the largest logit; null if logits are not finite, or if it is none of "
           "the dataset's (see predicted_output)", True),
    Column("runner_up", int16, "class of the second largest logit; null as `predicted`", True),
    Column("label_rank", int16, "rank of the label among the logits; 1 is correct", True),
    Column("confidence", real, "largest softmax probability, 0-1", True),
    Column("label_probability", real, "softmax probability of the label, 0-1", True),
    Column("margin", real, "largest minus second largest softmax probability, 0-1", True),
    Column("entropy_nats", real, "entropy of the softmax, nats", True),
    Column("loss_nats", real, "cross-entropy against the label, nats", True),
    Column("sum_p2", real, "sum of squared softmax probabilities, 0-1", True),
    Column("log_sum_exp", real, "log of the sum of exponentiated logits (negative free energy), any number", True),
    Column("max_logit", real, "largest logit, any number", True),
    Column("finite", flag, "whether every logit is a finite number"),
    Column("logits", list_of(real), f"all logits by class (then those of other outputs) up to {FULL_LOGITS_CLASSES}, "
           f"else the {TOP_LOGITS} largest in falling order", True),
    Column("logit_classes", list_of(int16), "classes of `logits` where these are the largest (null: none of the "
           "dataset's); else null", True),
    Column("rmse", real, "root mean square difference from the clean image, 0-1 (values / 255); null if unpaired",
           True),
    Column("ssim", real, "structural similarity to the clean image (7x7 window), -1 to 1; null if unpaired", True),
    Column(PREDICTED_OUTPUT, int32, "index of the largest logit among all outputs of the model; null where only "
           "those of the dataset's classes take part", True),
    Column(SCALED_LOG_SUM_EXP, list_of(real), "where `logits` are only the largest: log of the sum of exponentiated "
           "logits / T for each temperature T of 1/2 to 4 by eighths of a doubling; else null", True),
)  # fmt: skip

TARGETS = ("predicted", "clean")

ATTENTION = Table.of(
    "attention",
    "one row per evaluation, corruption, severity, image and target; clean images as 'none' at severity 0",
    (*PARTITIONS, "image_id", "target"),
    *CELL_COLUMNS,
    IMAGE_COLUMN,
    Column("target", text, "'predicted': the class predicted here; 'clean': the class predicted on the clean image"),
    Column("target_class", int16, "class index that the map explains", True),
    Column("mass", real, "sum of the map, in logits (rectified class evidence)", True),
    Column("centroid_x", real, "center of mass, 0 (left edge) to 1 (right edge), pixel centers", True),
    Column("centroid_y", real, "center of mass, 0 (top edge) to 1 (bottom edge), pixel centers", True),
    Column("spread", real, "root mean square distance from the centroid, image widths", True),
    Column("attention_entropy_nats", real, "entropy of the map as a distribution, nats", True),
    Column("empty", flag, "whether the map is zero everywhere"),
    Column("mask_share", real, "share of the map's mass inside the object mask, 0-1; null without a mask", True),
    Column("centroid_shift", real, "distance from the clean map's centroid, image widths", True),
    Column("cosine", real, "cosine similarity to the clean map, 0-1", True),
    Column("w1_x", real, "1-Wasserstein distance of the x marginals from the clean map's, image widths", True),
    Column("w1_y", real, "1-Wasserstein distance of the y marginals from the clean map's, image heights", True),
    Column("null_centroid_shift", real, "centroid_shift against the clean map of another image, image widths", True),
    Column("null_cosine", real, "cosine against the clean map of another image, 0-1", True),
    Column("null_w1_x", real, "w1_x against the clean map of another image, image widths", True),
    Column("null_w1_y", real, "w1_y against the clean map of another image, image heights", True),
    Column(
        "null_class_centroid_shift", real, "centroid_shift against another clean map of the class, image widths", True
    ),
    Column("null_class_cosine", real, "cosine against another clean map of the same class, 0-1", True),
    Column("null_class_w1_x", real, "w1_x against another clean map of the same class, image widths", True),
    Column("null_class_w1_y", real, "w1_y against another clean map of the same class, image heights", True),
    Column(
        "mask_area",
        real,
        "share of the image inside the object mask here, 0-1, as for an even map; null without a mask",
        True,
    ),
    Column(
        "pointing_hit",
        flag,
        "whether the map's maximum lies inside the object mask (at least half of its tied pixels); null without a mask",
        True,
    ),
    Column(
        "null_mask_share",
        real,
        "share of another image's map, of the same cell and target, inside this image's object mask, 0-1",
        True,
    ),
    Column(
        "null_pointing_hit",
        flag,
        "whether the maximum of another image's map lies inside this image's object mask",
        True,
    ),
)

MODELS = Table.of(
    "models",
    "one row per model",
    ("model_id",),
    Column("model_id", text, "hash of tensors, architecture, preprocessing and class map; or of imported predictions"),
    Column("weights_id", text, "hash of the tensors alone, in float32; null: a function or imported predictions", True),
    Column("model_label", text, "the model's name on charts, as the study gives it"),
    Column("architecture", text, "architecture name"),
    Column("family", text, "family of the architecture, such as resnet"),
    Column("variant", text, "difference from the published architecture, in words", True),
    Column("class_count", int32, "number of outputs"),
    Column("parameter_count", int64, "number of trainable parameters; null: predictions made elsewhere", True),
    Column("input_mean", list_of(real), "normalization mean per channel, of values / 255", True),
    Column("input_std", list_of(real), "normalization standard deviation per channel, of values / 255", True),
    Column("input_side_px", int16, "side of the model's square input, pixels; null: as images come", True),
    Column(
        "resize_px",
        int16,
        "length of an image's shorter side after the resize that a crop follows, pixels; null: "
        "resized to input_side_px, if at all",
        True,
    ),
    Column("crop_px", int16, "side of the center crop, pixels; null: none", True),
    Column("interpolation", text, "filter of the resize, such as bicubic; null: no resize, or unknown", True),
    Column(
        "preprocessing",
        text,
        "preprocessing by a function of the user, or by a library with further steps, by name; null: as the other "
        "columns say",
        True,
    ),
    Column("training_recipe", text, "recipe as JSON or words, as the checkpoint states it", True),
    Column("training_seed", int32, "seed of the training run", True),
    Column("training_data", text, "training data, as the checkpoint states it", True),
    Column("stated_accuracy", real, "clean accuracy that the checkpoint states, 0-1", True),
    Column("checkpoint", text, "file name of the checkpoint", True),
    Column("class_names", list_of(text), "names of the outputs used, in the dataset's order; null: unnamed", True),
    Column("class_outputs", list_of(int32), "outputs used, in the dataset's order; null: all, in order", True),
    Column(
        "class_protocol",
        text,
        "'all': any output may be predicted; 'subset': only those of the dataset's classes; null: there are no others",
        True,
    ),
    Column("output_count", int32, "number of all outputs; null: only those of the classes, or unknown", True),
)

DATASETS = Table.of(
    "datasets",
    "one row per dataset",
    ("dataset_id",),
    Column("dataset_id", text, "hash of the clean images and labels, in their full order"),
    Column("dataset_name", text, "kind of dataset, such as cifar10"),
    Column("dataset_label", text, "the dataset's name on charts, which names what is special about this copy"),
    Column("split", text, f"train or test; {WHOLE} of a source without splits"),
    Column("image_count", int32, "number of images in full"),
    Column("class_count", int32, "number of classes"),
    Column("height_px", int32, "image height, pixels; null if pixels are unknown", True),
    Column("width_px", int32, "image width, pixels; null if pixels are unknown", True),
    Column("note", text, "note on the dataset, such as: JPEG copy", True),
)

CLASSES = Table.of(
    "classes",
    "one row per dataset and class",
    ("dataset_id", "class_index"),
    Column("dataset_id", text, "dataset, as in `datasets`"),
    Column("class_index", int16, "class index, from 0"),
    Column("class_name", text, "class name; for a WordNet id of ImageNet-1k, ImageNet's name"),
    Column("wordnet_id", text, "WordNet id of the class, if the dataset names it so", True),
)

IMAGES = Table.of(
    "images",
    "one row per dataset and image",
    ("dataset_id", "image_id"),
    Column("dataset_id", text, "dataset, as in `datasets`"),
    IMAGE_COLUMN,
    Column("label", int16, "true class index"),
    Column(
        "file", text, "path within the dataset's folder, if images are files; the image's name in imported tables", True
    ),
    Column("mask_area", real, "share of the image that the object mask covers, 0-1; null without a mask", True),
    Column(
        "pixel_hash",
        text,
        "hash of the clean image's pixels; equal for exact duplicates; null if pixels are unknown",
        True,
    ),
    Column("image_luminance", real, "mean luma (Rec. 601) of the clean image, 0-1; null if pixels are unknown", True),
    Column("image_contrast", real, "RMS contrast of the clean image: standard deviation of its luma, 0-0.5; null if "
           "pixels are unknown", True),
    Column("image_sharpness", real, "variance of the Laplacian of the clean image's 8-bit luma, 0 to infinity; "
           "null if pixels are unknown", True),
    Column("image_colorfulness", real, "colorfulness of the clean image's 8-bit values (Hasler and Süsstrunk), 0 to "
           "infinity; null if pixels are unknown", True),
    Column("image_width_px", int32, "width of the source image before it is resized, pixels; null if unknown", True),
    Column("image_height_px", int32, "height of the source image before it is resized, pixels; null if unknown", True),
    Column("image_aspect", real, "width by height of the source image, 0 to infinity; null if unknown", True),
    Column("file_bytes", int64, "size of the encoded source image, bytes; null without one", True),
)  # fmt: skip

METADATA_TYPES = (text, int64, double, flag, date)  # of the further columns of `images`, by which users describe them
METADATA = "metadata of the images"  # their meaning
MAX_METADATA_COLUMNS = 200
MAX_METADATA_NAME = 200  # characters
CHOOSE_COLUMNS = "name the columns to keep with `columns = [...]` in [dataset.metadata]"
# Columns of the view `predictions` besides those of the facts and of `images`, and the name of an image's class
_OF_PREDICTIONS = (
    "class_name", "label_name", "predicted_name", "correct", "model_label", "clean_correct", "clean_predicted_name",
    "dataset_label",
)  # fmt: skip


def images_with(metadata: Mapping[str, str]) -> Table:
    """The table `images` with further columns, which describe the images of a user: METADATA_TYPES by name."""
    columns = (Column(name, kind, METADATA, nullable=True) for name, kind in metadata.items())
    return IMAGES._replace(columns=(*IMAGES.columns, *columns))


def metadata_type(kind: "pa.DataType") -> str | None:
    """The one of METADATA_TYPES that an Arrow type is; None for others."""
    return next((name for name in METADATA_TYPES if arrow_type(name) == kind), None)


def common_type(kinds: Iterable[str]) -> str:
    """The one of METADATA_TYPES that holds values of several."""
    distinct = {*kinds}
    if len(distinct) == 1:
        return distinct.pop()
    return double if distinct == {int64, double} else text


def is_reserved(name: str) -> bool:
    """Whether metadata may not have this name, since a column of `images` or of the view `predictions` has it."""
    ours = {column.name for column in (*IMAGES.columns, *PREDICTION_FACTS.columns)} | {*_OF_PREDICTIONS}
    return name.lower() in ours


def metadata_problem(names: Sequence[str], fix: str = CHOOSE_COLUMNS) -> str:
    """The first problem with the names of further columns of `images`, and its fix; empty if there is none."""
    if len(names) > MAX_METADATA_COLUMNS:
        return f"{len(names):,} columns of metadata, at most {MAX_METADATA_COLUMNS} are stored: {fix}"
    seen: dict[str, str] = {}
    for name in names:
        if not name.strip() or not name.isprintable() or len(name) > MAX_METADATA_NAME:
            return f"a column {printable(name, 60)!r}: name it in at most {MAX_METADATA_NAME} printable characters"
        if is_reserved(name):
            return f"a column {name!r}, which is the name of a column of Failmodes: rename it, or {fix}"
        if name.lower() in seen:
            return f"the columns {seen[name.lower()]!r} and {name!r}, the same in SQL: rename one, or {fix}"
        seen[name.lower()] = name
    return ""


CORRUPTIONS = Table.of(
    "corruptions",
    "one row per corruption",
    ("corruption",),
    Column("corruption", text, "corruption name"),
    Column("corruption_label", text, "the corruption's name on charts"),
    Column("corruption_group", text, "noise, blur, weather, digital, other (only in a published dataset), or clean"),
    Column("corruption_order", int16, "order of publication; 0 is clean"),
    Column("headline", flag, "whether it is one of the 15 of the headline metrics"),
    Column("dose_ordered", flag, "whether distortion grows with severity by construction"),
    Column("interpolable", flag, "whether it is defined between the published severities"),
)

SOURCES = Table.of(
    "sources",
    "one row per source of corrupted images",
    ("source_id",),
    Column("source_id", text, "hash of recipe, seed, noise and versions, or of a published dataset"),
    Column(
        "source_kind",
        text,
        "'generated', 'published', 'table' of imported predictions without images, or 'none' of natural shifts",
    ),
    Column("source_label", text, "the source's name on charts"),
    Column("recipe", text, "recipe name, such as cifar-c", True),
    Column("seed", int64, "seed of the random numbers", True),
    Column("noise", text, "'shared' (common random numbers along a curve) or 'independent'", True),
    Column("versions", text, "library versions that shape the pixels, as JSON", True),
)

LEVELS = Table.of(
    "levels",
    "one row per source, corruption and severity of corruptions whose levels have a value, such as contrast in percent",
    ("source_id", "corruption", "severity"),
    Column("source_id", text, "source of corrupted images, as in `sources`"),
    Column("corruption", text, "corruption name, at severity 0 too"),
    Column("severity", SEVERITY, "rank of the level, 0 (reference level, evaluated or not) to 999"),
    Column("level_value", double, "value of the level, in its unit, any number; infinite only at severity 0"),
    Column("level_name", text, "name of the quantity on charts, such as contrast"),
    Column("level_unit", text, "its unit, such as %; empty without one"),
    Column("level_scale", text, "scale on which levels are shown and curves measured: linear or log"),
)

EVALUATIONS = Table.of(
    "evaluations",
    "one row per evaluation",
    ("evaluation_id",),
    Column("evaluation_id", text, "hash of everything that affects rows"),
    Column("study", text, "name of the study that first evaluated it"),
    Column("model_id", text, "model, as in `models`"),
    Column("dataset_id", text, "dataset, as in `datasets`"),
    Column("source_id", text, "source of corrupted images, as in `sources`"),
    Column("image_count", int32, "number of images evaluated"),
    Column("subset", text, "choice of images, in words"),
    Column("subset_id", text, "hash of the image_ids"),
    Column("precision", text, "precision of the model's forward pass, such as float32"),
    Column("attention_method", text, "attention method, or 'none'"),
    Column("attention_layer", text, "layer of the model that attention is computed from", True),
    Column("attention_note", text, "reason, if attention is missing", True),
    Column("paired", flag, "whether corrupted images pair with clean ones, image by image"),
    Column("pairing_note", text, "reason, if they do not pair", True),
    Column("protocol", text, "protocol that it satisfies, or the nearest one; null: none is registered for its images",
           True),
    Column("deviations", list_of(text), "each deviation from the protocol, as respect and difference; empty: it "
           "satisfies the protocol", True),
    Column("averaging", text, "average that the protocol publishes; null without a protocol", True),
)  # fmt: skip

SHIFTS = Table.of(
    "shifts",
    "one row per evaluation of a natural shift",
    ("evaluation_id",),
    Column("evaluation_id", text, "evaluation of its images"),
    Column("shift", text, "the shift's name on charts"),
    Column("shift_kind", text, "layout of its files, such as imagenet-v2"),
    Column("shift_order", int32, "order in the study, from 1"),
    Column("dataset_id", text, "dataset of the study, whose classes the shift has, as in `datasets`"),
    Column("clean_evaluation_id", text, "evaluation whose clean images it is compared with, of the same classes"),
    Column("clean", text, "name of the dataset that it is compared with"),
    Column("class_count", int32, "number of its classes"),
    Column("clean_class_count", int32, "number of classes of the dataset that it is compared with"),
    Column("restricted", flag, "whether predictions are among its own classes only, clean ones too"),
    Column("source", text, "paper or loader that defines how it is evaluated", True),
    Column("note", text, "anything else to know about it, such as a crop", True),
)

EVALUATION_NOTES = Table.of(
    "evaluation_notes",
    "one row per evaluation and line that its run printed about images or model",
    ("evaluation_id", "step", "topic"),
    Column("evaluation_id", text, "evaluation"),
    Column("step", text, "stage: 'settings' before the first batch, 'clean' after clean images, 'corrupted' after all"),
    Column("subject", text, "subject: 'images' or 'model'"),
    Column("topic", text, "topic, such as input, normalization or class_order"),
    Column("level", text, "'warning': a possible mistake; 'note': an assumption or a number"),
    Column("note", text, "the line, with the option that changes it"),
)  # fmt: skip

EXEMPLARS = Table.of(
    "exemplars",
    "one row per evaluation, corruption, chosen image and severity",
    ("evaluation_id", "corruption", "image_id", "severity"),
    *CELL_COLUMNS,
    IMAGE_COLUMN,
    Column("reason", text, "first_to_fail, confidently_incorrect, recovered or still_correct"),
    Column("reason_rank", int16, "order within the reason, from 1"),
    Column("label", int16, "true class index"),
    Column("predicted", int16, "predicted class index", True),
    Column("confidence", real, "largest softmax probability, 0-1", True),
    Column("png", binary, "the image as PNG"),
    Column("map_f16", binary, "attention for the class predicted on the clean image: little-endian float16, "
           "row by row; null without attention", True),
    Column("map_height", int16, "rows of the map", True),
    Column("map_width", int16, "columns of the map", True),
)  # fmt: skip

THUMBNAILS = Table.of(
    "thumbnails",
    "one row per dataset and stored clean image, from which any corrupted image can be reproduced",
    ("dataset_id", "image_id"),
    Column("dataset_id", text, "dataset, as in `datasets`"),
    IMAGE_COLUMN,
    Column("png", binary, "the clean image as PNG, exactly as corruptions receive it"),
    Column("height_px", int32, "image height, pixels"),
    Column("width_px", int32, "image width, pixels"),
)

CLEAN_MAPS = Table.of(
    "clean_maps",
    "one row per evaluation and image: the reference of attention drift; stays in the results, is not loaded",
    ("evaluation_id", "image_id"),
    Column("evaluation_id", text, "evaluation"),
    IMAGE_COLUMN,
    Column("predicted", int16, "class predicted on the clean image; beyond the classes: the model's other outputs"),
    Column("map", list_of(real), "rectified map of that class, row by row"),
    Column("map_height", int16, "rows of the map"),
    Column("map_width", int16, "columns of the map"),
)

LOGITS = Table.of(
    "logits",
    "one row per evaluation, corruption, severity and image, where a study asks for all logits of more than "
    f"{FULL_LOGITS_CLASSES} classes; stays in the results, is not loaded",
    (*PARTITIONS, "image_id"),
    *CELL_COLUMNS,
    IMAGE_COLUMN,
    Column("logits", list_of(half), "all logits by class, then those of other outputs; beyond 65,504 infinite"),
)

FACTS = (PREDICTION_FACTS, ATTENTION)
SHARDED = (*FACTS, LOGITS)  # tables with one file per cell in the results

OF_DATASETS = (THUMBNAILS, IMAGES, CLASSES, DATASETS)  # keyed by dataset_id, which they go with

DIMENSIONS = (
    MODELS,
    DATASETS,
    CLASSES,
    IMAGES,
    CORRUPTIONS,
    SOURCES,
    LEVELS,
    EVALUATIONS,
    SHIFTS,
    EVALUATION_NOTES,
    EXEMPLARS,
    THUMBNAILS,
)
