-- One row per evaluation, corruption and severity from clean (0) on, of paired evaluations: difference of
-- images from their clean originals, and its change from the severity before.
-- Source: curve_metrics.
select
    corruption,
    severity,
    max(value) filter (where metric = 'mean_rmse') as mean_rmse, -- mean root mean square difference, 0-1
    max(value) filter (where metric = 'mean_ssim') as mean_ssim, -- mean structural similarity, -1 to 1
    max(n) filter (where metric = 'accuracy') as image_count, -- images
    model_label,
    max(value) filter (where metric = 'rmse_q05') as rmse_q05, -- 5% quantile of rmse over images, 0-1
    max(value) filter (where metric = 'rmse_q95') as rmse_q95, -- 95% quantile of rmse over images, 0-1
    max(value) filter (where metric = 'ssim_q05') as ssim_q05, -- 5% quantile of ssim over images, -1 to 1
    max(value) filter (where metric = 'ssim_q95') as ssim_q95, -- 95% quantile of ssim over images, -1 to 1
    max(value) filter (where metric = 'rmse_change') as rmse_change, -- mean change of rmse from the severity before,
    -- image by image, -1 to 1; null at severity 0
    max(low) filter (where metric = 'rmse_change') as rmse_change_low, -- lower end of the 95% interval of rmse_change
    -- over images, -1 to 1
    max(high) filter (where metric = 'rmse_change') as rmse_change_high, -- upper end of the 95% interval of rmse_change
    -- over images, -1 to 1
    corruption_label,
    corruption_group,
    corruption_order,
    headline,
    dataset_label,
    evaluation_id
from curve_metrics
where paired
group by all
