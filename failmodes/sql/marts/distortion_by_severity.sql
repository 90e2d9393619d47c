-- One row per evaluation, corruption and severity from clean (0) on, of paired evaluations: how far images lie from
-- their clean originals, and how that changes from the severity before.
-- Source: cell_distortion, curve_points.
select
    curve_points.corruption,
    curve_points.severity,
    cell_distortion.mean_rmse,
    cell_distortion.mean_ssim,
    cell_distortion.image_count,
    curve_points.model_label,
    cell_distortion.rmse_q05,
    cell_distortion.rmse_q95,
    cell_distortion.ssim_q05,
    cell_distortion.ssim_q95,
    cell_distortion.rmse_change, -- mean change of rmse from the severity before, image by image, -1 to 1; null at
    -- severity 0
    cell_distortion.rmse_change_error, -- standard error of rmse_change over images, 0-1
    curve_points.corruption_label,
    curve_points.corruption_group,
    curve_points.corruption_order,
    curve_points.headline,
    curve_points.dataset_label,
    curve_points.evaluation_id
from curve_points
inner join cell_distortion
    on
        curve_points.evaluation_id = cell_distortion.evaluation_id
        and curve_points.cell_corruption = cell_distortion.corruption
        and curve_points.severity = cell_distortion.severity
where curve_points.paired
