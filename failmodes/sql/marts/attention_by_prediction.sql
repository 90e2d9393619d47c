-- One row per evaluation, corruption and severity above clean, of paired evaluations: attention drift where the
-- prediction stays that on the clean image, and where it changes.
-- Source: cell_metrics, curve_points.
with cells as (
    select
        evaluation_id,
        corruption,
        severity,
        max(value) filter (where metric = 'stayed_median_centroid_shift') as stayed_median_centroid_shift,
        max(value) filter (where metric = 'changed_median_centroid_shift') as changed_median_centroid_shift,
        max(value) filter (where metric = 'null_class_median_centroid_shift') as null_class_median_centroid_shift,
        max(value) filter (where metric = 'attention_consistency') as attention_consistency,
        max(value) filter (where metric = 'attention_responsiveness') as attention_responsiveness,
        max(n) filter (where metric = 'stayed_median_centroid_shift') as stayed_count,
        max(n) filter (where metric = 'changed_median_centroid_shift') as changed_count,
        max(low) filter (where metric = 'attention_consistency') as attention_consistency_low,
        max(high) filter (where metric = 'attention_consistency') as attention_consistency_high,
        max(low) filter (where metric = 'attention_responsiveness') as attention_responsiveness_low,
        max(high) filter (where metric = 'attention_responsiveness') as attention_responsiveness_high
    from cell_metrics
    where severity > 0
    group by evaluation_id, corruption, severity
)

select
    curve_points.corruption,
    curve_points.severity,
    cells.stayed_median_centroid_shift, -- median drift of images whose prediction stays, image widths
    cells.changed_median_centroid_shift, -- median drift of images whose prediction changes, image widths
    cells.null_class_median_centroid_shift, -- median distance from another clean map of the class, image widths
    coalesce(cells.stayed_count, 0) as stayed_count, -- images with a drift whose prediction is that on the clean image
    coalesce(cells.changed_count, 0) as changed_count, -- images with a drift whose prediction is another
    curve_points.model_label,
    cells.attention_consistency, -- of images whose prediction stays, the share whose map is closer to its clean map
    -- than to another of the class, 0-1; ties count half
    cells.attention_consistency_low, -- lower end of its exact 95% interval, 0-1
    cells.attention_consistency_high, -- upper end of its exact 95% interval, 0-1
    cells.attention_responsiveness, -- area under the ROC curve of the drift for a changed prediction, 0-1, .5 is chance
    cells.attention_responsiveness_low, -- lower end of its 95% interval (Newcombe 2006), 0-1
    cells.attention_responsiveness_high, -- upper end of its 95% interval (Newcombe 2006), 0-1
    curve_points.corruption_label,
    curve_points.dataset_label,
    curve_points.evaluation_id
from curve_points
inner join cells
    on
        curve_points.evaluation_id = cells.evaluation_id
        and curve_points.corruption = cells.corruption
        and curve_points.severity = cells.severity
where curve_points.paired and (cells.stayed_count is not null or cells.changed_count is not null)
