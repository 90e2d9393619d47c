-- One row per evaluation, corruption and severity from clean on, of paired evaluations: how far images lie
-- from their clean originals, and how that changes from the severity before.
-- Source: outcomes, curve_points.
with images as (
    select
        curve_points.*,
        outcomes.rmse,
        outcomes.ssim,
        outcomes.rmse - lag(outcomes.rmse) over same_image as rmse_change
    from curve_points
    inner join outcomes
        on
            curve_points.evaluation_id = outcomes.evaluation_id
            and curve_points.cell_corruption = outcomes.corruption
            and curve_points.severity = outcomes.severity
    where curve_points.paired
    window same_image as (
        partition by curve_points.evaluation_id, curve_points.corruption, outcomes.image_id
        order by curve_points.severity
    )
)

select
    evaluation_id,
    model_label,
    dataset_label,
    corruption,
    corruption_label,
    corruption_group,
    corruption_order,
    headline,
    severity,
    count(*) as image_count,
    avg(rmse) as mean_rmse, -- 0-1
    quantile_cont(rmse, 0.05) as rmse_q05, -- 0-1, over images
    quantile_cont(rmse, 0.95) as rmse_q95, -- 0-1, over images
    avg(ssim) as mean_ssim, -- -1 to 1
    quantile_cont(ssim, 0.05) as ssim_q05, -- -1 to 1, over images
    quantile_cont(ssim, 0.95) as ssim_q95, -- -1 to 1, over images
    avg(rmse_change) as rmse_change, -- from the severity before, image by image; null at severity 0
    stddev_samp(rmse_change) / sqrt(count(rmse_change)) as rmse_change_error -- standard error of that mean
from images
group by all
