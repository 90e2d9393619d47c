-- One row per evaluation, corruption and severity from clean (0) on: accuracy with its exact 95% interval.
-- Source: cell_metrics, curve_points.
with cells as (
    pivot cell_metrics
    on metric in (
        'accuracy', 'error', 'top5_accuracy', 'mean_confidence', 'mean_entropy_nats', 'nll_nats', 'non_finite_share',
        'mean_rmse', 'mean_ssim'
    )
    using max(value) as value, max(low) as low, max(high) as high, max(n) as n
    group by evaluation_id, corruption, severity
)

select
    curve_points.corruption,
    curve_points.severity,
    cells.accuracy_value as accuracy, -- share of images that are correct, 0-1
    cells.accuracy_low, -- lower end of the exact 95% interval of accuracy (Clopper and Pearson), 0-1
    cells.accuracy_high, -- upper end of the exact 95% interval of accuracy (Clopper and Pearson), 0-1
    cells.accuracy_n as image_count, -- images
    curve_points.model_label,
    round(cells.accuracy_value * cells.accuracy_n)::bigint as correct_count, -- images that are correct
    max(cells.accuracy_value) filter (where curve_points.severity = 0) over curve
        as clean_accuracy, -- accuracy of the clean images, 0-1
    clean_accuracy - cells.accuracy_value as accuracy_drop, -- clean accuracy minus accuracy, -1 to 1
    cells.error_value as error, -- share of images that are incorrect, 0-1
    cells.top5_accuracy_value as top5_accuracy, -- share of images whose label is among the five largest logits, 0-1
    cells.mean_confidence_value as mean_confidence, -- mean of the largest softmax probability, 0-1
    cells.mean_entropy_nats_value as mean_entropy_nats, -- mean entropy of the softmax, nats
    cells.nll_nats_value as nll_nats, -- mean cross-entropy against the label, nats
    round(cells.non_finite_share_value * cells.non_finite_share_n)::bigint
        as non_finite_count, -- images whose logits are not all finite numbers
    cells.mean_rmse_value as mean_rmse, -- mean root mean square difference from the clean image, 0-1
    cells.mean_ssim_value as mean_ssim, -- mean structural similarity to the clean image, -1 to 1
    curve_points.level_value,
    curve_points.level_unit,
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
window curve as (partition by curve_points.evaluation_id, curve_points.corruption)
