"""The tables that the database alone has, beside those of the record: the file, its shards, metrics, what was derived.

They load no library, as the tables of the record (`failmodes.warehouse.schema`).
"""

from failmodes.warehouse.database.claim_tables import CLAIMS, STATED_CLAIMS
from failmodes.warehouse.database.curve_tables import CURVE_TABLES
from failmodes.warehouse.metrics.tables import COMPUTED_TABLES, METRICS
from failmodes.warehouse.schema import (
    _CELL,
    CLEAN,
    DIMENSIONS,
    FACTS,
    PARTITIONS,
    SEVERITY,
    Column,
    Table,
    double,
    flag,
    int32,
    int64,
    list_of,
    moment,
    text,
)

WAREHOUSE_INFO = Table.of(
    "warehouse_info",
    "one row: what this file is",
    (),
    Column("schema_version", text, "version of the tables; files of another version are refused"),
    Column("failmodes_version", text, "failmodes that wrote the file last"),
    Column("created_at", moment, "when the file was first made, UTC"),
    Column("updated_at", moment, "when its content last changed, UTC"),
    Column("build_id", text, "another value for every file that took the place of the former"),
    Column("views_fingerprint", text, "hash of the SQL of its views"),
)

LOADED_DIMENSIONS = Table.of(
    "loaded_dimensions",
    "one row per file of a dimension that was loaded",
    ("table_name", "file_key"),
    Column("table_name", text, "dimension"),
    Column("file_key", text, "name of the file in the record, without suffix"),
    Column("content_hash", text, "hash of its rows, which the file's footer carries"),
)

_CURVE = (Column("evaluation_id", text, "evaluation"), Column("corruption", text, "corruption name"))

SHAPE_LABELS = {
    "flat": "flat", "rise": "rise", "recovers": "recovers", "up_and_down": "up and down", "near_linear": "near-linear",
    "two_steps": "two steps", "abrupt": "abrupt", "late": "late", "early": "early", "middle": "middle",
    "inconclusive": "inconclusive",
}  # fmt: skip  # words for a curve, first match first, as `failmodes.analysis.statistics.curve_shape` defines them
SHAPE_NAMES = tuple(SHAPE_LABELS)

SHAPES = Table.of(
    "shapes",
    "one row per evaluation and corruption: how accuracy falls from clean to the last severity",
    ("evaluation_id", "corruption"),
    *_CURVE,
    Column("shape", text, "flat, rise, recovers, up_and_down, near_linear, two_steps, abrupt, late, early, middle, or "
           "inconclusive where nothing is shown"),
    Column("reason", text, "why it is inconclusive; null where it is not", True),
    Column("sample_shape", text, "the shape that the sample's own curve has"),
    Column("stability", double, "share of resamples with the sample's shape, at the same step where it has one, 0-1; "
           "null where too few images or too many rows that are not finite forbid it", True),
    Column("total_drop", double, "clean minus last accuracy, 0-1"),
    Column("total_drop_low", double, "lower end of its interval (Newcombe)"),
    Column("total_drop_high", double, "upper end of its interval"),
    Column("smallest_drop_shown", double, "total drop that so many images show in 80 % of samples, 0-1", True),
    Column("largest_change", double, "largest difference from clean at any severity, down positive, -1 to 1", True),
    Column("largest_change_low", double, "lower end of its interval, which holds for all severities together", True),
    Column("largest_change_high", double, "upper end of its interval", True),
    Column("largest_change_at", SEVERITY, "severity of the largest difference from clean", True),
    Column("changes_within", double, "at every severity accuracy is at most this far from clean, in 95 % of "
           "samples, 0-1", True),
    Column("chance_from", SEVERITY, "severity from which on accuracy is shown to be at chance, less than 0.05 above, "
           "or below; null for none", True),
    Column("below_chance", flag, "whether accuracy at the last severity is shown to be below chance", True),
    Column("curvature", double, "mean of (accuracy - chord) / total drop over the inner severities, weighted by the "
           "span each stands for, any number: positive drops late; null unless the curve drops", True),
    Column("curvature_low", double, "lower end of its interval", True),
    Column("curvature_high", double, "upper end of its interval", True),
    Column("largest_step", double, "accuracy lost in the largest single step (where steps are shorter, within one "
           "severity), 0-1; as the largest of several it is larger than in truth"),
    Column("largest_step_low", double, "lower end of its interval, which holds for all steps together", True),
    Column("largest_step_high", double, "upper end of its interval", True),
    Column("largest_step_share", double, "share of the total drop that the largest step loses, any number", True),
    Column("largest_step_from", SEVERITY, "severity where the largest step begins"),
    Column("largest_step_to", SEVERITY, "severity where the largest step ends"),
    Column("other_step_from", SEVERITY, "severity where the other of two steps begins; null of other shapes", True),
    Column("other_step_to", SEVERITY, "severity where the other of two steps ends; null of other shapes", True),
    *(Column(f"share_{name}", double, f"share of resamples with the shape {name}, 0-1", True) for name in SHAPE_NAMES),
    Column("image_count", int32, "images resampled"),
    Column("resamples", int32, "resamples of the curve: normal draws with its covariance over images"),
    Column("bootstrap_seed", int64, "seed of the resampling"),
    Column("interval_level", double, "level of all intervals, 0-1, such as 0.95"),
    Column("flat_below", double, "setting: changes below this are none, 0-1"),
    Column("curvature_threshold", double, "setting: curvature from which a curve drops late or early, 0 to infinity"),
)  # fmt: skip

SHAPE_SWEEP = Table.of(
    "shape_sweep",
    "one row per evaluation, corruption and pair of thresholds: how the shape depends on the settings",
    ("evaluation_id", "corruption", "flat_below", "curvature_threshold"),
    *_CURVE,
    Column("flat_below", double, "changes below this are none, 0-1"),
    Column("curvature_threshold", double, "curvature from which on a curve drops late or early, 0 to infinity"),
    Column("shape", text, "the shape under these thresholds"),
)

STEPS = Table.of(
    "steps",
    "one row per evaluation, corruption and adjacent pair of severities",
    ("evaluation_id", "corruption", "severity_from"),
    *_CURVE,
    Column("severity_from", SEVERITY, "severity where the step begins"),
    Column("severity_to", SEVERITY, "severity where the step ends"),
    Column("accuracy_change", double, "accuracy after minus before, -1 to 1"),
    Column("accuracy_change_low", double, "lower end of its interval (Newcombe)"),
    Column("accuracy_change_high", double, "upper end of its interval"),
)

FINDINGS = Table.of(
    "findings",
    "one row per claim that was judged: of an evaluation, and a corruption or another evaluation",
    ("position",),
    Column("position", int32, "order in the report, from 1"),
    Column("kind", text, "what is claimed, such as largest_drop"),
    Column(
        "claim", text, "of a kind with several, which: the shape, the score that predicts; else the kind"
    ),
    Column("verdict", text, "supported, contradicted, inconclusive or not_measurable; of what a report prints "
           "corrected for how many statements it makes"),
    Column("verdict_alone", text, "the verdict without that correction, at 95 %, or at the rate of its kind"),
    Column("p_value", double, "p value of the printed verdict, of this statement alone, 0-1; null: not tested", True),
    Column("evaluation_id", text, "evaluation"),
    Column("model_label", text, "the model's name on charts"),
    Column("other_evaluation_id", text, "the evaluation that it is compared with; null without one", True),
    Column("corruption", text, "corruption name; null where it is about several", True),
    Column("severity", double, "severity that the value is of, 0 to 5; null where it is of several", True),
    Column("value", double, "the number behind it, any number", True),
    Column("low", double, "lower end of its interval", True),
    Column("high", double, "upper end of its interval", True),
    Column("unit", text, "unit of the three; shares are 0-1, their differences -1 to 1"),
    Column("n", int64, "images that the value is of"),
    Column("sentence", text, "the finding in words"),
    Column("query", text, "SQL that gives the figures"),
)  # fmt: skip

EARLY_WARNING = Table.of(
    "early_warning",
    "one row per evaluation and score: how much log-loss it saves in predicting which image fails at the next severity",
    ("evaluation_id", "score"),
    Column("evaluation_id", text, "evaluation"),
    Column("score", text, "margin, confidence, entropy, drift, or drift_beyond_margin, whose reference has the margin"),
    Column("corruptions", list_of(text), "corruptions whose steps are pooled: the headline ones, or all without any"),
    Column("gain", double, "log-loss of the reference minus that with the score, nats a step, any number; null: see "
           "reason", True),
    Column("gain_low", double, "lower end of its interval", True),
    Column("gain_high", double, "upper end of its interval", True),
    Column("share", double, "the gain as a share of the log-loss of the reference, any number; at most 1", True),
    Column("share_low", double, "lower end of its interval", True),
    Column("share_high", double, "upper end of its interval", True),
    Column("adjusted_p_value", double, "one-sided, that the gain is not above 0, corrected for all scores of the "
           "evaluation (Holm), 0-1", True),
    Column("image_count", int32, "images with a step that has the score"),
    Column("step_count", int32, "steps of images that are correct so far"),
    Column("failure_count", int32, "steps after which the image is incorrect"),
    Column("reason", text, "why there is no gain; null where there is one", True),
)  # fmt: skip

PUBLISHED_ACCURACY = Table.of(
    "published_accuracy",
    "one row per published set, model, corruption and severity: accuracies that others published, without images",
    ("published_set", "model", "corruption", "severity"),
    Column("published_set", text, "the name on charts of the table that it is from, such as RobustBench, CIFAR-10-C"),
    Column("dataset", text, "data set that it is of, as the user or the file's name states; null: not stated", True),
    Column("model", text, "the model's name in that table; one of yours may be called the same"),
    Column("architecture", text, "architecture, as published", True),
    Column("paper", text, "title of the paper", True),
    Column("corruption", text, f"corruption name; '{CLEAN}' is the clean image"),
    Column("severity", SEVERITY, "0 (clean) to 5"),
    Column("accuracy", double, "share of the published set's own images that are right, 0-1; not of your images"),
)

PUBLISHED_SHAPES = Table.of(
    "published_shapes",
    "one row per published set, model and corruption: how accuracy falls, of one mean a severity, so without intervals",
    ("published_set", "model", "corruption"),
    Column("published_set", text, "the table that it is from"),
    Column("model", text, "the model's name in that table"),
    Column("corruption", text, "corruption name"),
    Column("shape", text, "as in shapes, by the figures alone: nothing says how sure it is"),
    Column("total_drop", double, "clean minus last accuracy, -1 to 1"),
    Column("curvature", double, "as in shapes, any number; null where accuracy does not drop", True),
    Column("severity_count", int32, "severities above clean"),
    Column("flat_below", double, "setting: changes below this are none, 0-1"),
    Column("curvature_threshold", double, "setting: curvature from which a curve drops late or early, 0 to infinity"),
)  # fmt: skip

DERIVED = (SHAPES, STEPS, SHAPE_SWEEP, EARLY_WARNING, FINDINGS, CLAIMS, PUBLISHED_SHAPES, *CURVE_TABLES)

SHARDS = Table.of(
    "shards",
    "one row per stored fact shard",
    ("table_name", *PARTITIONS),
    *_CELL,
    Column("table_name", text, "predictions or attention"),
    Column("row_count", int64, "rows in the shard"),
    Column("content_hash", text, "hash of the rows, which the file's footer carries"),
    Column("path", text, "path within the output folder"),
    Column("created_at", moment, "when it was made, UTC"),
    Column("elapsed_s", double, "seconds from first image to last row", True),
    Column("images_per_s", double, "images a second, everything included", True),
    Column("device", text, "device of the forward pass", True),
    Column("batch_size", int32, "images per forward pass", True),
    Column("identity_error", double, "largest |map sum + bias - logit| relative to the logits' scale", True),
    Column("versions", text, "library versions, as JSON", True),
    Column(
        "changed_predictions",
        double,
        "share of clean predictions that float32 gives differently, 0-1; measured "
        "on up to 512 images of the clean cell at a lower precision",
        True,
    ),
)

COMPUTED = Table.of(
    "computed",
    "one row per table (or set of tables), user's metric or check, and evaluation: what it was made from, and what a "
    "check found",
    ("name", "evaluation_id"),
    Column("name", text, "name of the table or check, or 'metric ' and the name of a user's metric"),
    Column(
        "evaluation_id",
        text,
        "evaluation; of findings about pairs the first of those that are compared; empty where "
        "rows are about the whole warehouse",
    ),
    Column("definition", text, "hash of the definition"),
    Column(
        "input_hash",
        text,
        "hash of the shards that it was made from, and of what they belong to; with 'unfit ' before "
        "it where nothing could be derived from them",
    ),
    Column("breaking_rows", int64, "rows that break the check; null of a table or metric", True),
)

ALL_TABLES = (
    *FACTS,
    *DIMENSIONS,
    SHARDS,
    METRICS,
    *COMPUTED_TABLES,
    COMPUTED,
    *DERIVED,
    PUBLISHED_ACCURACY,
    STATED_CLAIMS,
    LOADED_DIMENSIONS,
    WAREHOUSE_INFO,
)
