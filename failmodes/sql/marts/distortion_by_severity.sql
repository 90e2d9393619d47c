-- One row per evaluation, corruption and severity from clean (0) on, of paired evaluations: difference of
-- images from their clean originals, and its change from the severity before.
-- Source: cell_metrics, curve_points.
with cells as (
    select
        evaluation_id,
        corruption,
        severity,
        max(value) filter (where metric = 'mean_rmse') as mean_rmse,
        max(value) filter (where metric = 'mean_ssim') as mean_ssim,
        max(value) filter (where metric = 'rmse_q05') as rmse_q05,
        max(value) filter (where metric = 'rmse_q95') as rmse_q95,
        max(value) filter (where metric = 'ssim_q05') as ssim_q05,
        max(value) filter (where metric = 'ssim_q95') as ssim_q95,
        max(value) filter (where metric = 'rmse_change') as rmse_change,
        max(low) filter (where metric = 'rmse_change') as rmse_change_low,
        max(high) filter (where metric = 'rmse_change') as rmse_change_high,
        max(n) filter (where metric = 'accuracy') as image_count
    from cell_metrics
    group by evaluation_id, corruption, severity
)

select
    curve_points.corruption,
    curve_points.severity,
    cells.mean_rmse, -- mean root mean square difference, 0-1
    cells.mean_ssim, -- mean structural similarity, -1 to 1
    cells.image_count, -- images
    curve_points.model_label,
    cells.rmse_q05, -- 5% quantile of rmse over images, 0-1
    cells.rmse_q95, -- 95% quantile of rmse over images, 0-1
    cells.ssim_q05, -- 5% quantile of ssim over images, -1 to 1
    cells.ssim_q95, -- 95% quantile of ssim over images, -1 to 1
    cells.rmse_change, -- mean change of rmse from the severity before, image by image, -1 to 1; null at
    -- severity 0
    cells.rmse_change_low, -- lower end of the 95% interval of rmse_change over images, -1 to 1
    cells.rmse_change_high, -- upper end of the 95% interval of rmse_change over images, -1 to 1
    curve_points.corruption_label,
    curve_points.corruption_group,
    curve_points.corruption_order,
    curve_points.headline,
    curve_points.dataset_label,
    curve_points.evaluation_id
from curve_points
inner join cells
    on
        curve_points.evaluation_id = cells.evaluation_id
        and curve_points.cell_corruption = cells.corruption
        and curve_points.severity = cells.severity
where curve_points.paired
