-- One row per evaluation, corruption and severity from clean (0) on: what its stored threshold accepts, and gets wrong,
-- of the images that the threshold was not chosen on.
-- Source: thresholds, cell_metrics, curve_points.
with cells as (
    pivot cell_metrics
    on metric in ('accepted_share', 'error_accepted')
    using max(value) as value, max(low) as low, max(high) as high, max(n) as n
    group by evaluation_id, corruption, severity
)

select
    curve_points.corruption,
    curve_points.severity,
    cells.accepted_share_value as accepted_share, -- share of images whose score is at least as certain as the
    -- threshold, 0-1
    cells.accepted_share_low, -- lower end of its 95% interval (Clopper-Pearson), 0-1
    cells.accepted_share_high, -- upper end of its 95% interval, 0-1
    cells.error_accepted_value as error_accepted, -- share of the accepted images that are incorrect, 0-1; null if none
    -- is accepted
    cells.error_accepted_low, -- lower end of its 95% interval (Clopper-Pearson), 0-1
    cells.error_accepted_high, -- upper end of its 95% interval, 0-1
    coalesce(cells.error_accepted_n, 0) as accepted_count, -- images that are accepted
    cells.accepted_share_n as image_count, -- images that the threshold was not chosen on
    thresholds.score,
    thresholds.threshold,
    thresholds.target,
    thresholds.target_value,
    curve_points.model_label,
    curve_points.corruption_label,
    curve_points.dataset_label,
    curve_points.evaluation_id
from curve_points
inner join thresholds on curve_points.evaluation_id = thresholds.evaluation_id
inner join cells
    on
        curve_points.evaluation_id = cells.evaluation_id
        and curve_points.cell_corruption = cells.corruption
        and curve_points.severity = cells.severity
where cells.accepted_share_value is not null
