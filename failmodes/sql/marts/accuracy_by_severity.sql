-- One row per evaluation, corruption and severity from clean (0) on: accuracy with its exact 95% interval.
-- Source: cell_metrics, curve_points.
with cells as (
    select
        evaluation_id,
        corruption,
        severity,
        max(value) filter (where metric = 'accuracy') as accuracy,
        max(low) filter (where metric = 'accuracy') as accuracy_low,
        max(high) filter (where metric = 'accuracy') as accuracy_high,
        max(n) filter (where metric = 'accuracy') as image_count,
        round(max(value * n) filter (where metric = 'accuracy'))::bigint as correct_count,
        max(value) filter (where metric = 'error') as error,
        max(value) filter (where metric = 'top5_accuracy') as top5_accuracy,
        max(value) filter (where metric = 'mean_confidence') as mean_confidence,
        max(value) filter (where metric = 'mean_entropy_nats') as mean_entropy_nats,
        max(value) filter (where metric = 'nll_nats') as nll_nats,
        round(max(value * n) filter (where metric = 'non_finite_share'))::bigint as non_finite_count,
        max(value) filter (where metric = 'mean_rmse') as mean_rmse,
        max(value) filter (where metric = 'mean_ssim') as mean_ssim
    from cell_metrics
    group by evaluation_id, corruption, severity
)

select
    curve_points.corruption,
    curve_points.severity,
    cells.accuracy, -- share of images that are correct, 0-1
    cells.accuracy_low, -- lower end of the exact 95% interval of accuracy (Clopper and Pearson), 0-1
    cells.accuracy_high, -- upper end of the exact 95% interval of accuracy (Clopper and Pearson), 0-1
    cells.image_count, -- images
    curve_points.model_label,
    cells.correct_count, -- images that are correct
    max(cells.accuracy) filter (where curve_points.severity = 0) over curve
        as clean_accuracy, -- accuracy of the clean images, 0-1
    clean_accuracy - cells.accuracy as accuracy_drop, -- clean accuracy minus accuracy, -1 to 1
    cells.error, -- share of images that are incorrect, 0-1
    cells.top5_accuracy, -- share of images whose label is among the five largest logits, 0-1
    cells.mean_confidence, -- mean of the largest softmax probability, 0-1
    cells.mean_entropy_nats, -- mean entropy of the softmax, nats
    cells.nll_nats, -- mean cross-entropy against the label, nats
    cells.non_finite_count, -- images whose logits are not all finite numbers
    cells.mean_rmse, -- mean root mean square difference from the clean image, 0-1
    cells.mean_ssim, -- mean structural similarity to the clean image, -1 to 1
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
