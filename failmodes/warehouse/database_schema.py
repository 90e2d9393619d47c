"""Tables of the database besides those of the results: file info, metrics, derived tables, claims.

No library is loaded.
"""

from failmodes.warehouse.curve_shapes import NO_SHAPE, SHAPE_NAMES
from failmodes.warehouse.schema import (
    CELL_COLUMNS,
    CLEAN,
    DIMENSIONS,
    FACTS,
    IMAGE_COLUMN,
    PARTITIONS,
    SEVERITY,
    Column,
    Table,
    double,
    flag,
    int16,
    int32,
    int64,
    list_of,
    moment,
    text,
)

CURVE_COLUMNS = (Column("evaluation_id", text, "evaluation"), Column("corruption", text, "corruption name"))

WAREHOUSE_INFO = Table.of(
    "warehouse_info",
    "one row about this file",
    (),
    Column("schema_version", text, "version of the tables; files of another version are refused"),
    Column("failmodes_version", text, "version of failmodes that last wrote the file"),
    Column("created_utc", moment, "creation time of the file, UTC"),
    Column("updated_utc", moment, "time of its last change, UTC"),
    Column("build_id", text, "new value for every rewrite of the file"),
    Column("views_fingerprint", text, "hash of the SQL of its views"),
)

LOADED_DIMENSIONS = Table.of(
    "loaded_dimensions",
    "one row per file of a dimension that was loaded",
    ("table_name", "file_key"),
    Column("table_name", text, "dimension"),
    Column("file_key", text, "name of the file in the results, without suffix"),
    Column("content_hash", text, "hash of its rows, which the file's footer carries"),
)

SHAPES = Table.of(
    "shapes",
    "one row per evaluation and corruption: shape of the accuracy curve from clean to the last severity",
    ("evaluation_id", "corruption"),
    *CURVE_COLUMNS,
    Column("shape", text, f"{', '.join(SHAPE_NAMES[:-1])}, or {NO_SHAPE}"),
    Column("reason", text, "reason, if it is inconclusive", True),
    Column("sample_shape", text, "the shape that the sample's own curve has"),
    Column("stability", double, "share of resamples with the sample's shape, at the same step where it has one, 0-1; "
           "null for too few images or too many rows that are not finite", True),
    Column("total_drop", double, "clean minus last accuracy, 0-1"),
    Column("total_drop_low", double, "lower end of its interval (Newcombe)"),
    Column("total_drop_high", double, "upper end of its interval"),
    Column("smallest_drop_shown", double, "total drop that this number of images detects in 80% of samples, 0-1", True),
    Column("largest_change", double, "largest difference from clean at any severity, down positive, -1 to 1", True),
    Column("largest_change_low", double, "lower end of its interval, which holds for all severities together", True),
    Column("largest_change_high", double, "upper end of its interval", True),
    Column("largest_change_at", SEVERITY, "severity of the largest difference from clean", True),
    Column("changes_within", double, "at every severity accuracy is at most this far from clean, in 95% of "
           "samples, 0-1", True),
    Column("chance_from", SEVERITY, "severity from which on accuracy is shown to be at chance, less than 0.05 above, "
           "or below; null if there is none", True),
    Column("below_chance", flag, "whether accuracy at the last severity is shown to be below chance", True),
    Column("curvature", double, "mean of (accuracy - chord) / total drop over the inner severities, weighted by the "
           "span each stands for, any number: positive for a late drop; null if the curve does not drop", True),
    Column("curvature_low", double, "lower end of its interval", True),
    Column("curvature_high", double, "upper end of its interval", True),
    Column("largest_step", double, "accuracy lost in the largest single step (where steps are shorter, within one "
           "severity), 0-1; biased upwards as the largest of several"),
    Column("largest_step_low", double, "lower end of its interval, which holds for all steps together", True),
    Column("largest_step_high", double, "upper end of its interval", True),
    Column("largest_step_share", double, "largest step as a share of the total drop, any number", True),
    Column("largest_step_from", SEVERITY, "severity where the largest step begins"),
    Column("largest_step_to", SEVERITY, "severity where the largest step ends"),
    Column("other_step_from", SEVERITY, "severity where the other of two steps begins; null for other shapes", True),
    Column("other_step_to", SEVERITY, "severity where the other of two steps ends; null for other shapes", True),
    *(Column(f"share_{name}", double, f"share of resamples with the shape {name}, 0-1", True) for name in SHAPE_NAMES),
    Column("image_count", int32, "images resampled"),
    Column("resamples", int32, "resamples of the curve: normal samples with its covariance over images"),
    Column("bootstrap_seed", int64, "seed of the resampling"),
    Column("interval_level", double, "level of all intervals, 0-1, such as 0.95"),
    Column("flat_below", double, "setting: smaller changes count as none, 0-1"),
    Column("curvature_threshold", double, "setting: curvature from which a curve drops late or early, 0 to infinity"),
)  # fmt: skip

SHAPE_SWEEP = Table.of(
    "shape_sweep",
    "one row per evaluation, corruption and pair of thresholds: dependence of the shape on the settings",
    ("evaluation_id", "corruption", "flat_below", "curvature_threshold"),
    *CURVE_COLUMNS,
    Column("flat_below", double, "smaller changes count as none, 0-1"),
    Column("curvature_threshold", double, "curvature from which on a curve drops late or early, 0 to infinity"),
    Column("shape", text, "the shape under these thresholds"),
)

STEPS = Table.of(
    "steps",
    "one row per evaluation, corruption and adjacent pair of severities",
    ("evaluation_id", "corruption", "severity_from"),
    *CURVE_COLUMNS,
    Column("severity_from", SEVERITY, "severity where the step begins"),
    Column("severity_to", SEVERITY, "severity where the step ends"),
    Column("accuracy_change", double, "accuracy after minus before, -1 to 1"),
    Column("accuracy_change_low", double, "lower end of its interval (Newcombe)"),
    Column("accuracy_change_high", double, "upper end of its interval"),
)

FINDINGS = Table.of(
    "findings",
    "one row per finding: about an evaluation, and a corruption or another evaluation",
    ("position",),
    Column("position", int32, "order in the report, from 1"),
    Column("kind", text, "kind of finding, such as largest_drop"),
    Column(
        "claim", text, "variant of a kind with several, such as the shape or the score; else the kind"
    ),
    Column("verdict", text, "supported, contradicted, inconclusive or not_measurable; in a report "
           "corrected for its number of statements"),
    Column("verdict_alone", text, "the verdict without that correction, at 95%, or at the rate of its kind"),
    Column("p_value", double, "p value of the printed verdict, of this statement alone, 0-1; null: not tested", True),
    Column("evaluation_id", text, "evaluation"),
    Column("model_label", text, "the model's name on charts"),
    Column("other_evaluation_id", text, "evaluation compared with; null without one", True),
    Column("corruption", text, "corruption name; null for several", True),
    Column("severity", double, "severity of the value, 0 to 999; null for several", True),
    Column("value", double, "value of the finding, any number", True),
    Column("low", double, "lower end of its interval; 95%, of better_model at the rate of its kind", True),
    Column("high", double, "upper end of its interval", True),
    Column("unit", text, "unit of the three; shares are 0-1, their differences -1 to 1"),
    Column("n", int64, "images of the value"),
    Column("sentence", text, "the finding as a sentence"),
    Column("query", text, "SQL that returns the numbers"),
)  # fmt: skip

EARLY_WARNING = Table.of(
    "early_warning",
    "one row per evaluation and score: reduction of log-loss in predicting which images fail at the next severity",
    ("evaluation_id", "score"),
    Column("evaluation_id", text, "evaluation"),
    Column("score", text, "margin, confidence, entropy, drift, or drift_beyond_margin, whose reference has the margin"),
    Column("corruptions", list_of(text), "corruptions whose steps are pooled: the headline ones, else all"),
    Column("gain", double, "log-loss of the reference minus that with the score, nats per step, any number; null: see "
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
    Column("reason", text, "reason, if there is no gain", True),
)  # fmt: skip

PUBLISHED_ACCURACY = Table.of(
    "published_accuracy",
    "one row per published table, model, corruption and severity: published accuracies, without images",
    ("published_set", "model", "corruption", "severity"),
    Column("published_set", text, "name of the published table on charts, such as RobustBench, CIFAR-10-C"),
    Column("dataset", text, "its dataset, from the user or the file's name; null: not stated", True),
    Column("model", text, "the model's name in that table; one of your models may have the same name"),
    Column("architecture", text, "architecture, as published", True),
    Column("paper", text, "title of the paper", True),
    Column("corruption", text, f"corruption name; '{CLEAN}' is the clean image"),
    Column("severity", SEVERITY, "0 (clean) to 999"),
    Column("accuracy", double, "accuracy on the published images, 0-1; not on yours"),
)

PUBLISHED_SHAPES = Table.of(
    "published_shapes",
    "one row per published table, model and corruption: shape of the accuracy curve, of means without intervals",
    ("published_set", "model", "corruption"),
    Column("published_set", text, "its published table"),
    Column("model", text, "the model's name in that table"),
    Column("corruption", text, "corruption name"),
    Column("shape", text, "as in shapes, without uncertainty"),
    Column("total_drop", double, "clean minus last accuracy, -1 to 1"),
    Column("curvature", double, "as in shapes, any number; null if accuracy does not drop", True),
    Column("severity_count", int32, "severities above clean"),
    Column("flat_below", double, "setting: smaller changes count as none, 0-1"),
    Column("curvature_threshold", double, "setting: curvature from which a curve drops late or early, 0 to infinity"),
)  # fmt: skip

_ONE_ROW_A_CELL = ("evaluation_id", "corruption", "severity")
_IMAGES = Column("image_count", int64, "images")
_SCORE = Column("score", text, "score that ranks images, such as confidence")

CELL_METRICS = Table.of(
    "cell_metrics",
    "one row per stored cell (clean once, as 'none'), metric and score: its value with a 95% interval over images",
    (*_ONE_ROW_A_CELL, "metric", "score"),
    *CELL_COLUMNS,
    Column("metric", text, "name of the metric; see `failmodes schema METRIC`"),
    _SCORE._replace(meaning="score that ranks images, for metrics with several scores", nullable=True),
    Column("value", double, "value of the metric, in its unit, any number", True),
    Column("low", double, "lower end of its interval", True),
    Column("high", double, "upper end of its interval", True),
    Column("n", int64, "images that take part"),
)

METRICS = Table.of(
    "metrics",
    "one row per metric in `cell_metrics`, including those of the study: its definition",
    ("metric",),
    Column("metric", text, "name of the metric"),
    Column("title", text, "title, in words"),
    Column("unit", text, "unit of its values; 'share' is 0-1"),
    Column("higher_is_better", flag, "whether higher values are better; null if neither is", True),
    Column("least", double, "smallest possible value, any number", True),
    Column("most", double, "largest possible value, any number", True),
    Column("formula", text, "formula, in plain characters", True),
    Column("source", text, "paper or standard that defines it", True),
    Column("defined_by", text, "'failmodes' or 'study'"),
)

CELL_CONFIDENCE_BINS = Table.of(
    "cell_confidence_bins",
    "one row per stored cell and confidence bin that occurred, of 15 equal bins [low, high), 1.0 in the last: sums",
    (*_ONE_ROW_A_CELL, "bin_index"),
    *CELL_COLUMNS,
    Column("bin_count", int32, "equal bins"),
    Column("bin_index", int32, "bin, from 0"),
    Column("image_count", int64, "images with finite logits"),
    Column("correct_count", int64, "images in the bin that are correct"),
    Column("confidence_sum", double, "sum over images of confidence, 0 to infinity"),
    Column("accuracy_low", double, "lower end of the 95% interval (Wilson) of the share that is correct, 0-1"),
    Column("accuracy_high", double, "upper end of the 95% interval (Wilson) of the share that is correct, 0-1"),
)

CELL_CONFUSION = Table.of(
    "cell_confusion",
    "one row per stored cell, label and prediction that occurred",
    (*_ONE_ROW_A_CELL, "label", "predicted", "finite"),
    *CELL_COLUMNS,
    Column("label", int16, "true class index"),
    Column("predicted", int16, "predicted class; null if no class of the dataset was predicted", True),
    Column("finite", flag, "whether the logits are numbers"),
    _IMAGES,
)

CELL_PREDICTIONS = Table.of(
    "cell_predictions",
    "one row per stored cell: its images, in the order of image_id, and whether each is correct",
    _ONE_ROW_A_CELL,
    *CELL_COLUMNS,
    Column("row_count", int64, "rows; more than images only if some repeat"),
    _IMAGES,
    Column(
        "independent_share",
        double,
        "effective number of images (Kish) as a share of them, 0-1; below 1 if some are exact duplicates",
    ),
    Column("image_ids_md5", text, "hash of the image_ids; cells of the same images share it"),
    Column("correct_images", text, "one character per image: 1 correct, 0 incorrect"),
)

CLEAN_PREDICTIONS = Table.of(
    "clean_predictions",
    "one row per evaluation and clean image: its prediction, beside those of the corrupted image",
    ("evaluation_id", "image_id"),
    *CELL_COLUMNS,
    IMAGE_COLUMN,
    Column("predicted", int16, "predicted class index; null outside the dataset's classes, or not finite", True),
    Column("finite", flag, "all logits are finite"),
    Column("correct", flag, "the class predicted is the label"),
)

IMAGE_ONSETS = Table.of(
    "image_onsets",
    "one row per evaluation, corruption and image, of paired evaluations: first severity at which it is incorrect",
    ("evaluation_id", "corruption", "image_id"),
    *CELL_COLUMNS[:2],
    IMAGE_COLUMN,
    Column("label", int16, "true class index"),
    Column("clean_correct", flag, "correct when clean", True),
    Column("onset_severity", SEVERITY, "first severity with an incorrect prediction, 0 if incorrect when clean; null "
           "if there is none", True),
    Column("correctness_pattern", text, "1 correct, 0 incorrect, by severity from clean"),
    Column("incorrect_count", int64, "zeros of the pattern"),
    Column("last_correct_severity", SEVERITY, "lower end of the interval that holds the onset; null if incorrect when "
           "clean", True),
    Column("recovered", flag, "correct again at some severity after the onset"),
)  # fmt: skip

SELECTIVE_RISKS = Table.of(
    "selective_risks",
    "one row per stored cell, score and coverage: error rate of the images that are kept",
    (*_ONE_ROW_A_CELL, "score", "coverage_percent"),
    *CELL_COLUMNS,
    _SCORE,
    Column("coverage_percent", int16, "the most certain images that are kept, percent"),
    Column("selective_risk", double, "share of the kept images that are incorrect, 0-1"),
)

THRESHOLDS = Table.of(
    "thresholds",
    "one row per evaluation: the threshold of a score below whose certainty it abstains, chosen on half of its clean "
    "images",
    ("evaluation_id",),
    CELL_COLUMNS[0],
    _SCORE,
    Column("target", text, "error: at most this share of the accepted images is incorrect; coverage: this share is "
           "accepted"),
    Column("target_value", double, "the share, 0-1"),
    Column("threshold", double, "predictions at least as certain are accepted, any number, in the unit of the score's "
           "column; null if no threshold meets the target", True),
    Column("reason", text, "why there is no threshold", True),
    Column("image_count", int64, "distinct images that it is chosen on"),
    Column("accepted_count", int64, "of these, images that are accepted", True),
    Column("error_count", int64, "of the accepted ones, images that are incorrect", True),
    Column("error_high", double, "upper bound of the error among accepted clean images, one-sided at 95%, 0-1", True),
    Column("images_needed", int64, "accepted images that show an error of at most the target if none is incorrect",
           True),
)  # fmt: skip

PAIR_CELLS = Table.of(
    "pair_cells",
    "one row per pair of evaluations of the same images and shared cell: agreement in correctness",
    ("evaluation_id_a", "evaluation_id_b", "corruption", "severity"),
    Column("evaluation_id_a", text, "the first of the two by evaluation_id"),
    Column("evaluation_id_b", text, "the second"),
    *CELL_COLUMNS[1:],
    _IMAGES,
    Column("both_correct_count", int64, "images on which both are correct"),
    Column("only_a_correct_count", int64, "images on which only the first is correct"),
    Column("only_b_correct_count", int64, "images on which only the second is correct"),
    Column("both_incorrect_count", int64, "images on which both are incorrect"),
    Column("agree_count", int64, "images for which both predict the same class"),
)

OF_EVALUATION = (
    CELL_METRICS, CELL_CONFIDENCE_BINS, CELL_CONFUSION, CELL_PREDICTIONS, CLEAN_PREDICTIONS, IMAGE_ONSETS,
    SELECTIVE_RISKS,
)  # fmt: skip
COMPUTED_TABLES = (*OF_EVALUATION, PAIR_CELLS)

MAIN_FINDINGS = Table.of(
    "main_findings",
    "one row per sentence of the first screen of a report",
    ("position",),
    Column("position", int32, "order, from 1"),
    Column("evaluation_id", text, "first of the evaluations that the sentence is about"),
    Column("sentence", text, "where the models degrade most, and which one is better"),
)

MAX_CLAIMS = 100  # of a study

STATED_CLAIMS = Table.of(
    "stated_claims",
    "one row per claim that the study states",
    ("position",),
    Column("position", int32, "order in the study, from 1"),
    Column("claim", text, "the claim in words: its name, else its table in English"),
    Column("statement", text, "the table that states it, as JSON: its keys are those of docs/claims.md"),
)

STATED_MODELS = Table.of(
    "stated_models",
    "one row per model that the study states, or training run of one",
    ("position",),
    Column("position", int32, "order in the study, from 1"),
    Column("model_label", text, "its name on charts"),
    Column("is_baseline", flag, "whether the study names it as its baseline"),
)

CLAIMS = Table.of(
    "claims",
    "one row per stated claim and evaluation, or pair of them: its verdict",
    ("position",),
    Column("position", int32, "order, from 1"),
    Column("claim_number", int32, "position of the claim in stated_claims"),
    Column("claim", text, "the claim in words"),
    Column("kind", text, "claimed relation, shape or kind of finding; unknown if it cannot be judged"),
    Column("verdict", text, "supported, contradicted, inconclusive or not_measurable"),
    Column("evaluation_id", text, "evaluation; null if none can be judged", True),
    Column("model_label", text, "the model's name on charts, or both names", True),
    Column("other_evaluation_id", text, "evaluation compared with; null without one", True),
    Column("value", double, "value that decides the verdict, any number, in its unit", True),
    Column("low", double, "lower end of its interval", True),
    Column("high", double, "upper end of its interval", True),
    Column("unit", text, "unit of the three; shares are 0-1, a difference of shares -1 to 1"),
    Column("n", int64, "images of the value", True),
    Column("images_needed", int64, "images needed to decide an inconclusive claim, with 80% power", True),
    Column("reason", text, "reason, if it is not measurable, or inconclusive not only by its interval", True),
    Column("sentence", text, "the result as a sentence"),
    Column("query", text, "SQL that returns the numbers"),
)  # fmt: skip

SHAPES_OVER_DISTORTION = Table.of(
    "shapes_over_distortion",
    "one row per evaluation, corruption and axis: the shape of the curve over severity, measured distortion, or values "
    "of levels that have one",
    ("evaluation_id", "corruption", "axis"),
    *CURVE_COLUMNS,
    Column("axis", text, "severity, level_value, or as means over images rmse or 1-ssim: the horizontal axis"),
    Column("axis_end", double, "the axis at the last severity, any number; null if distortion was not measured", True),
    Column("shape", text, "as in shapes, with the curvature over this axis"),
    Column("reason", text, "reason, if it is inconclusive", True),
    Column("stability", double, "share of resamples that give the same shape, 0-1; null without this axis", True),
    Column("curvature", double, "as in shapes, over this axis, any number; null if the curve does not drop", True),
    Column("curvature_low", double, "lower end of its interval", True),
    Column("curvature_high", double, "upper end of its interval", True),
    Column(
        "curvature_change",
        double,
        "curvature over this axis minus that over severity, any number; null if the curve does not drop",
        True,
    ),
    Column("curvature_change_low", double, "lower end of its interval", True),
    Column("curvature_change_high", double, "upper end of its interval", True),
)

CHANGE_POINTS = Table.of(
    "change_points",
    "one row per evaluation and corruption: one break in the curve against none",
    ("evaluation_id", "corruption"),
    *CURVE_COLUMNS,
    Column("threshold", text, "whether accuracy holds up to a break and falls twice as fast beyond it: supported, "
           "contradicted or inconclusive"),
    Column("reason", text, "reason, if nothing was tested", True),
    Column("p_value", double, "that a curve without a break bends so much by chance, 0-1 (bootstrap)", True),
    Column("adjusted_p_value", double, "the same, corrected for the curves of the evaluation (Holm), 0-1", True),
    Column("break_at", SEVERITY, "severity where two straight lines that meet fit best; null if no break is shown",
           True),
    Column("break_from", SEVERITY, "lower end of the severities that contain the break", True),
    Column("break_to", SEVERITY, "upper end of the severities that contain the break", True),
    Column("slope_before", double, "accuracy per severity before the break; intervals cover every tried break", True),
    Column("slope_before_low", double, "lower end of its interval", True),
    Column("slope_before_high", double, "upper end of its interval", True),
    Column("slope_after", double, "accuracy per severity beyond the break", True),
    Column("slope_after_low", double, "lower end of its interval", True),
    Column("slope_after_high", double, "upper end of its interval", True),
)  # fmt: skip

CURVE_FITS = Table.of(
    "curve_fits",
    "one row per evaluation, corruption and function: a parametric curve fitted to accuracy, a description only",
    ("evaluation_id", "corruption", "function"),
    *CURVE_COLUMNS,
    Column("function", text, "linear, logistic, weibull or exponential"),
    Column("upper", double, "accuracy that the curve comes from, 0-1: of the logistic below severity 0, else at 0"),
    Column("floor", double, "accuracy that it goes to, 0-1: chance, of the exponential fitted; null for a line", True),
    Column(
        "location", double, "severity where half of that drop is reached, any number; null for a straight line", True
    ),
    Column("slope", double, "slope there, accuracy per severity"),
    Column("parameter_count", int32, "number of fitted parameters"),
    Column("deviance", double, "twice the binomial log-likelihood lost against the accuracies, 0 to infinity"),
    Column("degrees_of_freedom", int32, "severities, clean included, beyond the parameters"),
    Column("lack_of_fit_p_value", double, "that residuals are so large by chance, 0-1; null for too few images", True),
    Column("quasi_aic", double, "deviance / overdispersion of the best fit + 2 parameters, 0 to infinity; low is best"),
)

_DROP = (
    Column("measure", text, "at_last: accuracy lost from clean to the last severity; on_average: to the mean over "
           "whole severities"),
    Column("accuracy_drop", double, "accuracy lost, -1 to 1"),
    Column("accuracy_drop_low", double, "lower end of its interval", True),
    Column("accuracy_drop_high", double, "upper end of its interval", True),
    Column("rank", int32, "1 is the largest drop; equal drops share a rank; null if not ranked", True),
    Column("rank_low", int32, "lower end of its interval; intervals hold for all ranks of the order together", True),
    Column("rank_high", int32, "upper end of its interval", True),
    Column("ranked_count", int32, "number of ranked drops"),
    Column("smallest_difference_shown", double, "difference from the nearest rank that this number of images "
           "detects in 80% of samples, in the intervals of the ranks, 0-1; null if not ranked", True),
    Column("reason", text, "reason, if it is not ranked", True),
)  # fmt: skip

CORRUPTION_RANKS = Table.of(
    "corruption_ranks",
    "one row per evaluation, corruption and measure: rank by accuracy drop, with its interval",
    ("evaluation_id", "corruption", "measure"),
    *CURVE_COLUMNS,
    *_DROP,
)

CLASS_RANKS = Table.of(
    "class_ranks",
    "one row per evaluation, class and measure: rank by accuracy drop, averaged over the ranked corruptions",
    ("evaluation_id", "class_index", "measure"),
    CURVE_COLUMNS[0],
    Column("class_index", int32, "class, from 0"),
    Column("image_count", int32, "images of the class"),
    *_DROP,
)

CURVE_TABLES = (SHAPES_OVER_DISTORTION, CHANGE_POINTS, CURVE_FITS, CORRUPTION_RANKS, CLASS_RANKS)

DERIVED = (SHAPES, STEPS, SHAPE_SWEEP, EARLY_WARNING, FINDINGS, MAIN_FINDINGS, CLAIMS, PUBLISHED_SHAPES, *CURVE_TABLES)

SHARDS = Table.of(
    "shards",
    "one row per stored fact shard",
    ("table_name", *PARTITIONS),
    *CELL_COLUMNS,
    Column("table_name", text, "predictions or attention"),
    Column("row_count", int64, "rows in the shard"),
    Column("content_hash", text, "hash of the rows, which the file's footer carries"),
    Column("path", text, "path within the output folder"),
    Column("created_utc", moment, "creation time, UTC"),
    Column("elapsed_s", double, "seconds from first image to last row", True),
    Column("images_per_s", double, "images per second, everything included", True),
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
    "one row per table (or group of tables), user's metric or check, and evaluation: its inputs, and the result of a "
    "check",
    ("name", "evaluation_id"),
    Column("name", text, "name of the table or check, or 'metric ' and the name of a user's metric"),
    Column(
        "evaluation_id",
        text,
        "evaluation; of findings about pairs the first of those that are compared; empty if "
        "rows are about the whole warehouse",
    ),
    Column("definition", text, "hash of the definition"),
    Column(
        "input_hash",
        text,
        "hash of the shards and dimensions that it was computed from; with 'unfit ' before "
        "it if nothing could be derived from them",
    ),
    Column("breaking_rows", int64, "rows that break the check; null for a table or metric", True),
)

ALL_TABLES = (
    *FACTS,
    *DIMENSIONS,
    SHARDS,
    METRICS,
    *COMPUTED_TABLES,
    THRESHOLDS,
    COMPUTED,
    *DERIVED,
    PUBLISHED_ACCURACY,
    STATED_CLAIMS,
    STATED_MODELS,
    LOADED_DIMENSIONS,
    WAREHOUSE_INFO,
)
TABLES = {table.name: table for table in ALL_TABLES}
