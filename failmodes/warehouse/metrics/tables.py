"""The tables that a load computes from facts: the metrics of every cell, and what has a shape of its own.

They load no library, as the tables of the record.
"""

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
    text,
)

_ONE_ROW_A_CELL = ("evaluation_id", "corruption", "severity")
_IMAGES = Column("image_count", int64, "images")
_SCORE = Column("score", text, "what images are ranked by, such as confidence")

CELL_METRICS = Table.of(
    "cell_metrics",
    "one row per stored cell (clean once, as 'none'), metric and score: its value with a 95 % interval over images",
    (*_ONE_ROW_A_CELL, "metric", "score"),
    *_CELL,
    Column("metric", text, "name of the metric; `failmodes schema METRIC` says what it is"),
    _SCORE._replace(
        meaning="of a metric that is told for several scores, which: what images are ranked by", nullable=True
    ),
    Column("value", double, "value of the metric, in its unit, any number", True),
    Column("low", double, "lower end of its interval", True),
    Column("high", double, "upper end of its interval", True),
    Column("n", int64, "images that take part"),
)

METRICS = Table.of(
    "metrics",
    "one row per metric that `cell_metrics` may hold, those of the study among them: what it is",
    ("metric",),
    Column("metric", text, "name of the metric"),
    Column("title", text, "what it is, in words"),
    Column("unit", text, "unit of its values; 'share' is 0-1"),
    Column("higher_is_better", flag, "whether higher values are better; null where neither direction is", True),
    Column("least", double, "the least that it can be, any number", True),
    Column("most", double, "the most that it can be, any number", True),
    Column("formula", text, "formula, in plain characters", True),
    Column("source", text, "paper or standard that defines it", True),
    Column("defined_by", text, "'failmodes' or 'study'"),
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
    Column("accuracy_low", double, "lower end of the 95 % interval (Wilson) of the share that is correct, 0-1"),
    Column("accuracy_high", double, "upper end of the 95 % interval (Wilson) of the share that is correct, 0-1"),
)

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
    "one row per stored cell: on which of its images it is correct and what it predicts, in the order of image_id",
    _ONE_ROW_A_CELL,
    *_CELL,
    Column("row_count", int64, "rows; more than images only where some repeat"),
    _IMAGES,
    Column(
        "independent_share",
        double,
        "effective number of images (Kish) as a share of them, 0-1; below 1 where some are exact duplicates of others",
    ),
    Column("image_ids_md5", text, "hash of the image_ids; cells of the same images share it"),
    Column("correct_images", text, "a letter an image: 1 correct, 0 incorrect"),
    Column("predictions", list_of(int16), "class predicted, an entry an image; null for no class of the data set"),
)

IMAGE_ONSETS = Table.of(
    "image_onsets",
    "one row per evaluation, corruption and image, of paired evaluations: where along the curve it first is incorrect",
    ("evaluation_id", "corruption", "image_id"),
    *_CELL[:2],
    _IMAGE,
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
    *_CELL,
    _SCORE,
    Column("coverage_percent", int16, "the most certain images that are kept, percent"),
    Column("selective_risk", double, "share of the kept images that are incorrect, 0-1"),
)

PAIR_CELLS = Table.of(
    "pair_cells",
    "one row per pair of evaluations of the same images and cell that both have: on which images they are correct",
    ("evaluation_id_a", "evaluation_id_b", "corruption", "severity"),
    Column("evaluation_id_a", text, "the first of the two by evaluation_id"),
    Column("evaluation_id_b", text, "the second"),
    *_CELL[1:],
    _IMAGES,
    Column("both_correct_count", int64, "images on which both are correct"),
    Column("only_a_correct_count", int64, "images on which only the first is correct"),
    Column("only_b_correct_count", int64, "images on which only the second is correct"),
    Column("both_incorrect_count", int64, "images on which both are incorrect"),
    Column("agree_count", int64, "images for which both predict the same class"),
)

OF_EVALUATION = (
    CELL_METRICS, CELL_CONFIDENCE_BINS, CELL_CONFUSION, CELL_PREDICTIONS, IMAGE_ONSETS, SELECTIVE_RISKS,
)  # fmt: skip
COMPUTED_TABLES = (*OF_EVALUATION, PAIR_CELLS)
