-- One row per evaluation, corruption and severity above clean, of paired evaluations: attention drift where the model
-- is correct, and where it is incorrect.
-- Source: curve_metrics.
select
    corruption,
    severity,
    max(value) filter (where metric = 'correct_median_centroid_shift')
        as correct_median_centroid_shift, -- median drift of images that are correct, image widths
    max(value) filter (where metric = 'incorrect_median_centroid_shift')
        as incorrect_median_centroid_shift, -- median drift of images that are incorrect, image widths
    max(value) filter (where metric = 'null_median_centroid_shift')
        as null_median_centroid_shift, -- median distance from another image's clean map, image widths
    coalesce(max(n) filter (where metric = 'correct_mean_cosine'), 0)
        as correct_count, -- images with a map that are correct
    coalesce(max(n) filter (where metric = 'incorrect_mean_cosine'), 0)
        as incorrect_count, -- images with a map that are incorrect
    model_label,
    max(value) filter (where metric = 'correct_mean_cosine')
        as correct_mean_cosine, -- mean cosine similarity to the clean map, of images that are correct, 0-1
    max(value) filter (where metric = 'incorrect_mean_cosine')
        as incorrect_mean_cosine, -- mean cosine similarity to the clean map, of images that are incorrect, 0-1
    corruption_label,
    dataset_label,
    evaluation_id
from curve_metrics
where paired and severity > 0
group by all
having correct_count + incorrect_count > 0
