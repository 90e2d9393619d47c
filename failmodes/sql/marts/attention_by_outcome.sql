-- One row per evaluation, corruption and severity above clean, of paired evaluations: attention drift where the model
-- is correct, and where it is incorrect.
-- Source: cell_metrics, curve_points.
with cells as (
    select
        evaluation_id,
        corruption,
        severity,
        max(value) filter (where metric = 'correct_median_centroid_shift') as correct_median_centroid_shift,
        max(value) filter (where metric = 'incorrect_median_centroid_shift') as incorrect_median_centroid_shift,
        max(value) filter (where metric = 'null_median_centroid_shift') as null_median_centroid_shift,
        max(value) filter (where metric = 'correct_mean_cosine') as correct_mean_cosine,
        max(value) filter (where metric = 'incorrect_mean_cosine') as incorrect_mean_cosine,
        max(n) filter (where metric = 'correct_mean_cosine') as correct_count,
        max(n) filter (where metric = 'incorrect_mean_cosine') as incorrect_count
    from cell_metrics
    where severity > 0
    group by evaluation_id, corruption, severity
)

select
    curve_points.corruption,
    curve_points.severity,
    cells.correct_median_centroid_shift, -- median drift of images that are correct, image widths
    cells.incorrect_median_centroid_shift, -- median drift of images that are incorrect, image widths
    cells.null_median_centroid_shift, -- median distance from another image's clean map, image widths
    coalesce(cells.correct_count, 0) as correct_count, -- images with a map that are correct
    coalesce(cells.incorrect_count, 0) as incorrect_count, -- images with a map that are incorrect
    curve_points.model_label,
    cells.correct_mean_cosine, -- mean cosine similarity to the clean map, of images that are correct, 0-1
    cells.incorrect_mean_cosine, -- mean cosine similarity to the clean map, of images that are incorrect, 0-1
    curve_points.corruption_label,
    curve_points.dataset_label,
    curve_points.evaluation_id
from curve_points
inner join cells
    on
        curve_points.evaluation_id = cells.evaluation_id
        and curve_points.corruption = cells.corruption
        and curve_points.severity = cells.severity
where curve_points.paired and (cells.correct_count is not null or cells.incorrect_count is not null)
