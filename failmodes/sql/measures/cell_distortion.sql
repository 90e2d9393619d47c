-- One row per stored cell (clean once, as 'none') of paired evaluations: how far images lie from their clean originals,
-- and how that changes from the severity before.
-- Source: outcomes, curve_points.
with images as (
    select
        curve_points.evaluation_id,
        curve_points.cell_corruption as corruption,
        curve_points.severity,
        outcomes.rmse,
        outcomes.ssim,
        outcomes.rmse - milder.rmse as rmse_change
    from curve_points
    inner join outcomes
        on
            curve_points.evaluation_id = outcomes.evaluation_id
            and curve_points.cell_corruption = outcomes.corruption
            and curve_points.severity = outcomes.severity
    left join outcomes as milder
        on
            curve_points.evaluation_id = milder.evaluation_id
            and case when curve_points.severity_before = 0 then 'none' else curve_points.corruption end
            = milder.corruption
            and curve_points.severity_before = milder.severity
            and outcomes.image_id = milder.image_id
    where
        curve_points.paired
        and (
            curve_points.severity > 0
            or curve_points.corruption = ( -- the clean cell belongs to every curve: once is enough
                select min(curves.corruption) from curve_points as curves
                where curves.evaluation_id = curve_points.evaluation_id
            )
        )
)

select
    evaluation_id,
    corruption,
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
group by evaluation_id, corruption, severity
