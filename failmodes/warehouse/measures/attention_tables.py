"""The tables of stored measures of attention; they load no library."""

from failmodes.warehouse.schema import _CELL, Column, Table, double, int64, real, text

_ONE_ROW_A_CELL = ("evaluation_id", "corruption", "severity")

_MEAN_OF_MAPS = "mean over maps that are not empty"
CELL_ATTENTION = Table.of(
    "cell_attention",
    "one row per stored cell (clean once, as 'none') and target: attention, its drift from the clean map, and the null",
    (*_ONE_ROW_A_CELL, "target"),
    *_CELL,
    Column("target", text, "'predicted' or 'clean': the class that the map explains"),
    Column("image_count", int64, "images with a class to explain"),
    Column("empty_count", int64, "empty maps, left out of everything but the mass"),
    Column("mean_mass", double, "mean sum of the map, logits", True),
    Column("mean_spread", double, f"spread, image widths: {_MEAN_OF_MAPS}", True),
    Column("mean_attention_entropy_nats", double, f"entropy, nats: {_MEAN_OF_MAPS}", True),
    Column("mean_mask_share", double, f"share of the mass inside the object mask, 0-1: {_MEAN_OF_MAPS}", True),
    Column("mean_mask_area", double, "mean share of the image that the mask covers, 0-1", True),
    Column("median_centroid_shift", real, "median distance from the clean map's centroid, image widths", True),
    Column("mean_centroid_shift", double, "mean distance from the clean map's centroid, image widths", True),
    Column("null_median_centroid_shift", real, "median distance from another image's clean map, image widths", True),
    Column("null_q025_centroid_shift", real, "2.5 % quantile of the distance from another image's clean map, "
           "image widths", True),
    Column("null_q975_centroid_shift", real, "97.5 % quantile of the distance from another image's clean map, "
           "image widths", True),
    Column("null_class_mean_centroid_shift", double, "mean distance from another clean map of the class, image widths",
           True),
    Column("mean_cosine", double, "mean cosine similarity to the clean map, 0-1", True),
    Column("null_mean_cosine", double, "mean cosine similarity to another image's clean map, 0-1", True),
    Column("null_class_mean_cosine", double, "mean cosine similarity to another clean map of the class, 0-1", True),
    Column("mean_w1_x", double, "mean Wasserstein distance of the x marginals, image widths", True),
    Column("mean_w1_y", double, "mean Wasserstein distance of the y marginals, image heights", True),
    Column("null_mean_w1_x", double, "mean distance of the x marginals from another image's clean map, "
           "image widths", True),
    Column("null_mean_w1_y", double, "mean distance of the y marginals from another image's clean map, "
           "image heights", True),
)  # fmt: skip

_OF_OBJECTS = "images with a map and an object in their mask"

CELL_OBJECT_ATTENTION = Table.of(
    "cell_object_attention",
    "one row per stored cell and target with object masks: the share of maps inside the object and the pointing game, "
    "beside their nulls",
    (*_ONE_ROW_A_CELL, "target"),
    *_CELL,
    Column("target", text, "'predicted' or 'clean': the class that the map explains"),
    Column("object_count", int64, _OF_OBJECTS),
    Column("mean_mask_share", double, "mean share of a map inside the object, 0-1"),
    Column("sd_mask_share", double, "standard deviation of mean_mask_share over images", True),
    Column("even_mask_share", double, "the mean that even maps would have: of the share of the image that is object, "
           "0-1", True),
    Column("sd_over_even", double, "standard deviation over images of a map's share minus an even map's", True),
    Column("null_count", int64, "images with a map and an object whose other image has a map"),
    Column("null_mean_mask_share", double, "mean share of the other image's map inside this image's object, 0-1", True),
    Column("mean_over_null", double, "mean over images of a map's share minus that of the other image's "
           "map, -1 to 1", True),
    Column("sd_over_null", double, "standard deviation of mean_over_null over images", True),
    Column("pointing_count", int64, "images whose map points somewhere"),
    Column("pointing_hit_count", int64, "images whose map points at the object"),
    Column("null_pointing_count", int64, "images whose other image's map points somewhere"),
    Column("both_hit_count", int64, "images of which both maps point at this image's object"),
    Column("only_own_hit_count", int64, "images of which only their own map points at their object"),
    Column("only_null_hit_count", int64, "images of which only the other image's map points at their object"),
)  # fmt: skip

ATTENTION_BY_OUTCOME = Table.of(
    "attention_by_outcome",
    "one row per corrupted cell of paired evaluations: drift of attention where the model is right, and where wrong",
    _ONE_ROW_A_CELL,
    *_CELL,
    Column("correct_count", int64, "images that are right"),
    Column("incorrect_count", int64, "images that are wrong"),
    Column("correct_median_centroid_shift", real, "median shift of those that are right, image widths", True),
    Column("incorrect_median_centroid_shift", real, "median shift of those that are wrong, image widths", True),
    Column("null_median_centroid_shift", real, "median shift from another image's clean map, image widths", True),
    Column("correct_mean_cosine", double, "mean cosine similarity of those that are right, 0-1", True),
    Column("incorrect_mean_cosine", double, "mean cosine similarity of those that are wrong, 0-1", True),
)

ATTENTION_BY_PREDICTION = Table.of(
    "attention_by_prediction",
    "one row per corrupted cell of paired evaluations: drift of attention where the answer stays, and where it changes",
    _ONE_ROW_A_CELL,
    *_CELL,
    Column("stayed_count", int64, "images with a drift whose answer is that to the clean image"),
    Column("changed_count", int64, "images with a drift whose answer is another"),
    Column("stayed_median_centroid_shift", real, "median shift of those whose answer stays, image widths", True),
    Column("changed_median_centroid_shift", real, "median shift of those whose answer changes, image widths", True),
    Column("null_class_median_centroid_shift", real, "median distance from another clean map of the class, image "
           "widths", True),
    Column("stayed_null_count", int64, "images whose prediction stays and that have another clean map of their class"),
    Column("stayed_nearer_share", double, "share of them that shift less than the distance to it, 0-1; ties count "
           "half", True),
    Column("change_auroc", double, "area under the ROC curve of the shift for a changed answer, 0-1, .5 is chance",
           True),
)  # fmt: skip

ATTENTION_BEYOND_CONFIDENCE = Table.of(
    "attention_beyond_confidence",
    "one row per stored cell and score of attention: how well it tells failures among images of like confidence",
    (*_ONE_ROW_A_CELL, "score"),
    *_CELL,
    Column("score", text, "attention_spread, attention_drift or empty_map"),
    Column("auroc_within", double, "area under the ROC curve over pairs of one tenth by confidence, 0-1; .5: nothing "
           "beyond confidence", True),
    Column("auroc_within_error", double, "standard error of the AUROC over images", True),
    Column("image_count", int64, "images that have a map"),
    Column("failure_count", int64, "images that have a map and are incorrect"),
    Column("pair_count", int64, "pairs of a failure and a right answer that are compared"),
)  # fmt: skip
