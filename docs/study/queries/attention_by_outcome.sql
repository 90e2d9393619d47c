-- Attention drift, in image widths, of images that are classified correctly and of those that are not, beside that from
-- the map of another image
select
    model_label, corruption, severity, correct_count, incorrect_count,
    round(correct_median_centroid_shift, 8) as correct_median_centroid_shift,
    round(incorrect_median_centroid_shift, 8) as incorrect_median_centroid_shift,
    round(null_median_centroid_shift, 8) as null_median_centroid_shift
from attention_by_outcome
order by model_label, corruption, severity
