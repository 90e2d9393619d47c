"""Derived tables of curves beside their shapes: other axes, breaks, fitted curves, and the order in which things break.

They load no library, as the other tables of the database (`failmodes.warehouse.database.own_tables`).
"""

from failmodes.warehouse.schema import SEVERITY, Column, Table, double, int32, text

CURVE_COLUMNS = (Column("evaluation_id", text, "evaluation"), Column("corruption", text, "corruption name"))

SHAPES_OVER_DISTORTION = Table.of(
    "shapes_over_distortion",
    "one row per evaluation, corruption and axis: the shape of the curve over severity or measured distortion",
    ("evaluation_id", "corruption", "axis"),
    *CURVE_COLUMNS,
    Column("axis", text, "severity, rmse or 1-ssim: what accuracy is drawn over, the two latter as means over images"),
    Column("axis_end", double, "the axis at the last severity, 0 to 5; null where distortion was not measured", True),
    Column("shape", text, "as in shapes, with the curvature over this axis"),
    Column("reason", text, "why it is inconclusive; null where it is not", True),
    Column("stability", double, "share of resamples that give the same shape, 0-1; null without this axis", True),
    Column("curvature", double, "as in shapes, over this axis, any number; null unless the curve falls", True),
    Column("curvature_low", double, "lower end of its interval", True),
    Column("curvature_high", double, "upper end of its interval", True),
    Column(
        "curvature_change",
        double,
        "curvature over this axis minus that over severity, any number; null unless the curve falls",
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
    Column("reason", text, "why nothing was tested; null where it was", True),
    Column("p_value", double, "that a curve without a break bends so much by chance, 0-1 (bootstrap)", True),
    Column("adjusted_p_value", double, "the same, corrected for the curves of the evaluation (Holm), 0-1", True),
    Column("break_at", SEVERITY, "severity where two straight lines that meet fit best; null of a break not shown",
           True),
    Column("break_from", SEVERITY, "severity beyond which the break lies", True),
    Column("break_to", SEVERITY, "severity before which the break lies", True),
    Column("slope_before", double, "accuracy a severity before the break; intervals hold wherever it was tried", True),
    Column("slope_before_low", double, "lower end of its interval", True),
    Column("slope_before_high", double, "upper end of its interval", True),
    Column("slope_after", double, "accuracy a severity beyond the break", True),
    Column("slope_after_low", double, "lower end of its interval", True),
    Column("slope_after_high", double, "upper end of its interval", True),
)  # fmt: skip

CURVE_FITS = Table.of(
    "curve_fits",
    "one row per evaluation, corruption and function: a parametric curve fitted to accuracy, a description and no more",
    ("evaluation_id", "corruption", "function"),
    *CURVE_COLUMNS,
    Column("function", text, "linear, logistic, weibull or exponential"),
    Column("upper", double, "accuracy that the curve comes from, 0-1: of the logistic below severity 0, else at 0"),
    Column("floor", double, "accuracy that it goes to, 0-1: chance, of the exponential fitted; null of a line", True),
    Column(
        "location", double, "severity where half of that drop is reached, any number; null of a straight line", True
    ),
    Column("slope", double, "accuracy a severity there"),
    Column("parameter_count", int32, "numbers that were fitted"),
    Column("deviance", double, "twice the binomial log-likelihood lost against the accuracies, 0 to infinity"),
    Column("degrees_of_freedom", int32, "severities, clean included, beyond the parameters"),
    Column("lack_of_fit_p_value", double, "that residuals are so large by chance, 0-1; null of too few images", True),
    Column("quasi_aic", double, "deviance / overdispersion of the best fit + 2 parameters, 0 to infinity; low is best"),
)

_DROP = (
    Column("measure", text, "at_last: accuracy lost from clean to the last severity; on_average: to the mean over "
           "whole severities"),
    Column("accuracy_drop", double, "accuracy lost, -1 to 1"),
    Column("accuracy_drop_low", double, "lower end of its interval", True),
    Column("accuracy_drop_high", double, "upper end of its interval", True),
    Column("rank", int32, "1 is the largest drop; equal drops share a rank; null where it is not ranked", True),
    Column("rank_low", int32, "lower end of its interval; intervals hold for all ranks of the order together", True),
    Column("rank_high", int32, "upper end of its interval", True),
    Column("ranked_count", int32, "how many are ranked"),
    Column("smallest_difference_shown", double, "difference from the nearest in rank that so many images show in 80 % "
           "of samples, in the intervals of the ranks, 0-1; null where it is not ranked", True),
    Column("reason", text, "why it is not ranked; null where it is", True),
)  # fmt: skip

CORRUPTION_RANKS = Table.of(
    "corruption_ranks",
    "one row per evaluation, corruption and measure: which corruption costs most accuracy, as a rank with its interval",
    ("evaluation_id", "corruption", "measure"),
    *CURVE_COLUMNS,
    *_DROP,
)

CLASS_RANKS = Table.of(
    "class_ranks",
    "one row per evaluation, class and measure: which class loses most accuracy, averaged over the ranked corruptions",
    ("evaluation_id", "class_index", "measure"),
    CURVE_COLUMNS[0],
    Column("class_index", int32, "class, from 0"),
    Column("image_count", int32, "images of the class"),
    *_DROP,
)

CURVE_TABLES = (SHAPES_OVER_DISTORTION, CHANGE_POINTS, CURVE_FITS, CORRUPTION_RANKS, CLASS_RANKS)
