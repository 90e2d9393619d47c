-- One row per evaluation, corruption and severity above clean, of paired evaluations: margin one severity before, of
-- images that fail here for the first time and of those that stay correct.
-- Source: cell_metrics, curve_points.
with cells as (
    select
        evaluation_id,
        corruption,
        severity,
        max(value) filter (where metric = 'failing_mean_margin_before') as failing_mean_margin_before,
        max(value) filter (where metric = 'surviving_mean_margin_before') as surviving_mean_margin_before,
        max(n) filter (where metric = 'failing_mean_margin_before') as failing_count,
        max(n) filter (where metric = 'surviving_mean_margin_before') as surviving_count
    from cell_metrics
    where metric in ('failing_mean_margin_before', 'surviving_mean_margin_before')
    group by evaluation_id, corruption, severity
)

select
    curve_points.corruption,
    curve_points.severity_before, -- severity at which the margin is taken
    curve_points.severity,
    cells.failing_mean_margin_before, -- mean margin of those that fail, 0-1
    cells.surviving_mean_margin_before, -- mean margin of those that stay correct, 0-1
    coalesce(cells.failing_count, 0) as failing_count, -- images correct at every severity before this one,
    -- incorrect here
    coalesce(cells.surviving_count, 0) as surviving_count, -- images correct at every severity up to this one
    curve_points.model_label,
    curve_points.corruption_label,
    curve_points.dataset_label,
    curve_points.evaluation_id
from curve_points
inner join cells
    on
        curve_points.evaluation_id = cells.evaluation_id
        and curve_points.corruption = cells.corruption
        and curve_points.severity = cells.severity
where curve_points.paired
