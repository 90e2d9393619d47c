"""The tables of stored measures; they load no library, as the tables of the record."""

from failmodes.warehouse.measures.attention_tables import ATTENTION_BEYOND_CONFIDENCE as ATTENTION_BEYOND_CONFIDENCE
from failmodes.warehouse.measures.attention_tables import ATTENTION_BY_OUTCOME as ATTENTION_BY_OUTCOME
from failmodes.warehouse.measures.attention_tables import ATTENTION_BY_PREDICTION as ATTENTION_BY_PREDICTION
from failmodes.warehouse.measures.attention_tables import CELL_ATTENTION as CELL_ATTENTION
from failmodes.warehouse.measures.attention_tables import CELL_OBJECT_ATTENTION as CELL_OBJECT_ATTENTION
from failmodes.warehouse.schema import (
    _CELL,
    _IMAGE,
    SEVERITY,
    Column,
    Table,
    double,
    flag,
    int16,
    int32,
    int64,
    list_of,
    real,
    text,
)

_ONE_ROW_A_CELL = ("evaluation_id", "corruption", "severity")
_IMAGES = Column("image_count", int64, "images")

CELL_MEASURES = Table.of(
    "cell_measures",
    "one row per stored cell (clean once, as 'none'): counts and means",
    _ONE_ROW_A_CELL,
    *_CELL,
    _IMAGES,
    Column("correct_count", int64, "images that are right"),
    Column("accuracy", double, "share of images that are right, 0-1"),
    Column("mean_confidence", double, "mean of the largest softmax probability, 0-1", True),
    Column("mean_entropy_nats", double, "mean entropy of the softmax, nats", True),
    Column("mean_loss_nats", double, "mean cross-entropy, nats", True),
    Column("non_finite_count", int64, "images whose logits are not all numbers"),
    Column("mean_rmse", double, "mean root mean square difference from the clean image, 0-1", True),
    Column("mean_ssim", double, "mean structural similarity to the clean image, -1 to 1", True),
)

CELL_CONFIDENCE_BINS = Table.of(
    "cell_confidence_bins",
    "one row per stored cell and confidence bin that occurred, of 15 equal bins [low, high), 1.0 in the last: sums",
    (*_ONE_ROW_A_CELL, "bin_index"),
    *_CELL,
    Column("bin_count", int32, "equal bins"),
    Column("bin_index", int32, "bin, from 0"),
    Column("image_count", int64, "images with finite logits"),
    Column("correct_count", int64, "images in the bin that are correct"),
    Column("confidence_sum", double, "sum over images of confidence, 0 to infinity"),
    Column("brier_sum", double, "sum over images of the Brier score, 0 to infinity"),
    Column("loss_nats_sum", double, "sum of the cross-entropy, nats", True),
)

CELL_CALIBRATION = Table.of(
    "cell_calibration",
    "one row per stored cell with images of known confidence: calibration by measures that need every image",
    _ONE_ROW_A_CELL,
    *_CELL,
    Column("image_count", int64, "images whose confidence is known"),
    Column("equal_mass_ece", double, "expected calibration error in 15 bins of equally many images, ties in one, 0-1"),
    Column("smooth_ece", double, "SmoothECE: mean absolute gap, smoothed by a Gaussian as wide as itself, 0-1"),
    Column("smooth_width", double, "width of the Gaussian of smooth_ece, in confidence, 0-1; 1/256 at least"),
    Column("ece_noise_floor", double, "95 % quantile of the expected calibration error (15 equal bins) of a calibrated "
           "model of these confidences, 0-1"),
)  # fmt: skip

CELL_CONFUSION = Table.of(
    "cell_confusion",
    "one row per stored cell, label and prediction that occurred",
    (*_ONE_ROW_A_CELL, "label", "predicted", "finite"),
    *_CELL,
    Column("label", int16, "true class index"),
    Column("predicted", int16, "class predicted; null where no class of the data set was", True),
    Column("finite", flag, "whether the logits are numbers"),
    _IMAGES,
)

CELL_PREDICTIONS = Table.of(
    "cell_predictions",
    "one row per stored cell: which of its images are right and what each is taken for, in the order of image_id",
    _ONE_ROW_A_CELL,
    *_CELL,
    Column("row_count", int64, "rows; more than images only where some repeat"),
    _IMAGES,
    Column("image_ids_md5", text, "hash of the image_ids; cells of the same images share it"),
    Column("correct_images", text, "a letter an image: 1 right, 0 wrong"),
    Column("predictions", list_of(int16), "class predicted, an entry an image; null for no class of the data set"),
)

CELL_TRANSITIONS = Table.of(
    "cell_transitions",
    "one row per corrupted cell of paired evaluations: what became of the outcomes of the clean images",
    _ONE_ROW_A_CELL,
    *_CELL,
    _IMAGES,
    Column("stayed_correct_count", int64, "right when clean and here"),
    Column("became_incorrect_count", int64, "right when clean, wrong here"),
    Column("became_correct_count", int64, "wrong when clean, right here"),
    Column("stayed_incorrect_count", int64, "wrong when clean and here"),
    Column("changed_count", int64, "predicted otherwise than when clean"),
)

CELL_DISTORTION = Table.of(
    "cell_distortion",
    "one row per stored cell (clean once, as 'none') of paired evaluations: how far images lie from clean ones",
    _ONE_ROW_A_CELL,
    *_CELL,
    _IMAGES,
    Column("mean_rmse", double, "mean root mean square difference, 0-1", True),
    Column("rmse_q05", real, "quantile of 5 % over images, 0-1", True),
    Column("rmse_q95", real, "quantile of 95 % over images, 0-1", True),
    Column("mean_ssim", double, "mean structural similarity, -1 to 1", True),
    Column("ssim_q05", real, "quantile of 5 % over images, -1 to 1", True),
    Column("ssim_q95", real, "quantile of 95 % over images, -1 to 1", True),
    Column(
        "rmse_change", double, "mean change from the severity before, image by image, -1 to 1; null at severity 0", True
    ),
    Column("rmse_change_error", double, "standard error of rmse_change over images", True),
)

IMAGE_ONSETS = Table.of(
    "image_onsets",
    "one row per evaluation, corruption and image, of paired evaluations: where along the curve it first is wrong",
    ("evaluation_id", "corruption", "image_id"),
    *_CELL[:2],
    _IMAGE,
    Column("label", int16, "true class index"),
    Column("clean_correct", flag, "right when clean", True),
    Column("onset_severity", SEVERITY, "first wrong severity, 0 if wrong when clean; null if never wrong", True),
    Column("correctness_pattern", text, "1 right, 0 wrong, by severity from clean"),
    Column("incorrect_count", int64, "zeros of the pattern"),
    Column("last_correct_severity", SEVERITY, "lower end of the interval that holds the onset; null if wrong when "
           "clean", True),
    Column("recovered", flag, "right again at some severity after the onset"),
)  # fmt: skip

STEP_MARGINS = Table.of(
    "step_margins",
    "one row per corrupted cell of paired evaluations: margin one severity before, of images that fail here or survive",
    _ONE_ROW_A_CELL,
    *_CELL[:2],
    Column("severity_before", SEVERITY, "severity at which the margin is taken"),
    Column("severity", SEVERITY, "severity at which images fail or survive"),
    Column("failing_count", int64, "images right at every severity before this one, wrong here"),
    Column("surviving_count", int64, "images right at every severity up to this one"),
    Column("failing_mean_margin_before", double, "mean margin of those that fail, 0-1", True),
    Column("surviving_mean_margin_before", double, "mean margin of those that survive, 0-1", True),
)

PAIR_CELLS = Table.of(
    "pair_cells",
    "one row per pair of evaluations of the same images and cell that both have: on which images they are right",
    ("evaluation_id_a", "evaluation_id_b", "corruption", "severity"),
    Column("evaluation_id_a", text, "the first of the two by evaluation_id"),
    Column("evaluation_id_b", text, "the second"),
    *_CELL[1:],
    _IMAGES,
    Column("both_correct_count", int64, "images that both get right"),
    Column("only_a_correct_count", int64, "images that only the first gets right"),
    Column("only_b_correct_count", int64, "images that only the second gets right"),
    Column("both_incorrect_count", int64, "images that both get wrong"),
    Column("agree_count", int64, "images for which both predict the same class"),
)

_POOL = (
    Column("evaluation_id", text, "evaluation"),
    Column("corruption", text, "corruption, 'none' is clean; null: all but clean", True),
    Column("severity", SEVERITY, "severity; null: all above clean", True),
    Column("score", text, "what images are ranked by"),
)

FAILURE_SCORES = Table.of(
    "failure_scores",
    "one row per stored cell, or pool of corrupted cells, and score: how well it tells failures from right answers",
    tuple(column.name for column in _POOL),
    *_POOL,
    Column("auroc", double, "area under the ROC curve, failures positive, 0-1, .5 is chance; null: see reason", True),
    Column(
        "auroc_error",
        double,
        "standard error of the AUROC over images; null where an image is there several times",
        True,
    ),
    Column("aupr", double, "average precision, failures positive, 0-1; the share of failures is chance", True),
    Column("fpr95", double, "share of right answers held for failures where 95 % of failures are found, 0-1", True),
    Column("aurc", double, "area under the risk-coverage curve, 0-1", True),
    Column("excess_aurc", double, "aurc less that of the same answers ranked without fault, 0-1", True),
    Column("augrc", double, "area under the generalized risk-coverage curve, 0-0.5", True),
    Column("n", int64, "images that have the score on record"),
    Column("failures", int64, "images that have the score and are incorrect"),
    Column("reason", text, "why measures are null", True),
)

SELECTIVE_RISKS = Table.of(
    "selective_risks",
    "one row per stored cell, or pool of corrupted cells, score and coverage: error rate of the images that are kept",
    (*(column.name for column in _POOL), "coverage_percent"),
    *_POOL,
    Column("coverage_percent", int16, "the surest images that are kept, percent"),
    Column("selective_risk", double, "share of the kept images that are incorrect, 0-1"),
)

CELL_TEMPERATURE = Table.of(
    "cell_temperature",
    "one row per stored cell that has what it takes: calibration as it is, and with temperature fitted on clean images",
    _ONE_ROW_A_CELL,
    *_CELL,
    Column(
        "even_temperature",
        double,
        "temperature of images of even image_id, fitted on the odd clean ones, 0.5 to 4",
        True,
    ),
    Column(
        "odd_temperature",
        double,
        "temperature of images of odd image_id, fitted on the even clean ones, 0.5 to 4",
        True,
    ),
    Column("image_count", int64, "images with all logits, or their log-sum-exp at each temperature, and one of these"),
    Column("nll_nats", double, "mean cross-entropy as it is, nats"),
    Column("scaled_nll_nats", double, "mean cross-entropy with temperature, nats"),
    Column("scaled_mean_confidence", double, "mean confidence with temperature, 0-1"),
    Column("ece", double, "expected calibration error of these images as it is, 0-1"),
    Column("scaled_ece", double, "expected calibration error with temperature, 0-1"),
)

OF_PREDICTIONS = (
    CELL_MEASURES, CELL_CALIBRATION, CELL_TEMPERATURE, CELL_CONFIDENCE_BINS, CELL_CONFUSION, CELL_PREDICTIONS,
    CELL_TRANSITIONS, CELL_DISTORTION, IMAGE_ONSETS, STEP_MARGINS,
)  # fmt: skip
OF_CURVES = (CELL_TRANSITIONS, CELL_DISTORTION, IMAGE_ONSETS, STEP_MARGINS)
OF_PAIRED = (
    *OF_CURVES,
    ATTENTION_BY_OUTCOME,
    ATTENTION_BY_PREDICTION,
)  # empty where corrupted images do not pair with clean ones
OF_BOTH = (  # made from attention and predictions
    ATTENTION_BY_OUTCOME, ATTENTION_BY_PREDICTION, ATTENTION_BEYOND_CONFIDENCE, FAILURE_SCORES, SELECTIVE_RISKS,
)  # fmt: skip
OF_ATTENTION = (CELL_ATTENTION, CELL_OBJECT_ATTENTION, *OF_BOTH)
MEASURES = (*OF_PREDICTIONS, *OF_ATTENTION, PAIR_CELLS)  # each after those that its SQL reads
