-- One row per evaluation, corruption and severity above clean, of paired evaluations: attention drift where the model
-- is correct, and where it is incorrect.
-- Source: curve_metrics.
with points as (
    pivot (
        from curve_metrics
        where paired and severity > 0
    )
    on metric in (
        'correct_median_centroid_shift', 'incorrect_median_centroid_shift', 'null_median_centroid_shift',
        'correct_mean_cosine', 'incorrect_mean_cosine'
    )
    using max(value) as value, max(n) as n
    group by evaluation_id, corruption, severity, model_label, corruption_label, dataset_label
)

select
    corruption,
    severity,
    correct_median_centroid_shift_value
        as correct_median_centroid_shift, -- median drift of images that are correct, image widths
    incorrect_median_centroid_shift_value
        as incorrect_median_centroid_shift, -- median drift of images that are incorrect, image widths
    null_median_centroid_shift_value
        as null_median_centroid_shift, -- median distance from another image's clean map, image widths
    coalesce(correct_mean_cosine_n, 0)
        as correct_count, -- images with a map that are correct
    coalesce(incorrect_mean_cosine_n, 0)
        as incorrect_count, -- images with a map that are incorrect
    model_label,
    correct_mean_cosine_value
        as correct_mean_cosine, -- mean cosine similarity to the clean map, of images that are correct, 0-1
    incorrect_mean_cosine_value
        as incorrect_mean_cosine, -- mean cosine similarity to the clean map, of images that are incorrect, 0-1
    corruption_label,
    dataset_label,
    evaluation_id
from points
where correct_count + incorrect_count > 0
