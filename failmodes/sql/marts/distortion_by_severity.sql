-- One row per evaluation, corruption and severity from clean (0) on, of paired evaluations: difference of
-- images from their clean originals, and its change from the severity before.
-- Source: curve_metrics.
with points as (
    pivot (
        from curve_metrics
        where paired
    )
    on metric in ('mean_rmse', 'mean_ssim', 'accuracy', 'rmse_q05', 'rmse_q95', 'ssim_q05', 'ssim_q95', 'rmse_change')
    using max(value) as value, max(low) as low, max(high) as high, max(n) as n
    group by
        evaluation_id, corruption, severity, model_label, corruption_label, corruption_group, corruption_order,
        headline, dataset_label
)

select
    corruption,
    severity,
    mean_rmse_value as mean_rmse, -- mean root mean square difference, 0-1
    mean_ssim_value as mean_ssim, -- mean structural similarity, -1 to 1
    accuracy_n as image_count, -- images
    model_label,
    rmse_q05_value as rmse_q05, -- 5% quantile of rmse over images, 0-1
    rmse_q95_value as rmse_q95, -- 95% quantile of rmse over images, 0-1
    ssim_q05_value as ssim_q05, -- 5% quantile of ssim over images, -1 to 1
    ssim_q95_value as ssim_q95, -- 95% quantile of ssim over images, -1 to 1
    rmse_change_value as rmse_change, -- mean change of rmse from the severity before,
    -- image by image, -1 to 1; null at severity 0
    rmse_change_low, -- lower end of the 95% interval of rmse_change
    -- over images, -1 to 1
    rmse_change_high, -- upper end of the 95% interval of rmse_change
    -- over images, -1 to 1
    corruption_label,
    corruption_group,
    corruption_order,
    headline,
    dataset_label,
    evaluation_id
from points
