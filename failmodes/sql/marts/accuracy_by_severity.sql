-- One row per evaluation, corruption and severity from clean (0) on: accuracy with its Wilson 95 % interval.
-- Source: cell_measures, curve_points.
with points as (
    select
        curve_points.*,
        cell_measures.image_count,
        cell_measures.correct_count,
        cell_measures.accuracy,
        cell_measures.mean_confidence,
        cell_measures.mean_entropy_nats,
        cell_measures.mean_loss_nats,
        cell_measures.non_finite_count,
        cell_measures.mean_rmse,
        cell_measures.mean_ssim,
        power(1.959963984540054, 2) / cell_measures.image_count as z2_n, -- z: normal quantile of 97.5 %
        max(cell_measures.accuracy) filter (where curve_points.severity = 0) over curve as clean_accuracy
    from curve_points
    inner join cell_measures
        on
            curve_points.evaluation_id = cell_measures.evaluation_id
            and curve_points.cell_corruption = cell_measures.corruption
            and curve_points.severity = cell_measures.severity
    window curve as (partition by curve_points.evaluation_id, curve_points.corruption)
),

intervals as (
    select
        *,
        (accuracy + z2_n / 2) / (1 + z2_n) as center,
        sqrt(z2_n * (accuracy * (1 - accuracy) + z2_n / 4)) / (1 + z2_n) as half_width,
        center - half_width as accuracy_low,
        center + half_width as accuracy_high,
        clean_accuracy - accuracy as accuracy_drop,
        1 - accuracy as error
    from points
)

select
    corruption,
    severity,
    accuracy,
    accuracy_low, -- lower end of the Wilson 95 % interval of accuracy, 0-1
    accuracy_high, -- upper end of the Wilson 95 % interval of accuracy, 0-1
    image_count,
    model_label,
    correct_count,
    clean_accuracy, -- accuracy of the clean images, 0-1
    accuracy_drop, -- clean accuracy minus accuracy, -1 to 1
    error, -- share of images that are incorrect, 0-1
    mean_confidence,
    mean_entropy_nats,
    mean_loss_nats,
    non_finite_count,
    mean_rmse,
    mean_ssim,
    corruption_label,
    corruption_group,
    corruption_order,
    headline,
    dataset_label,
    evaluation_id
from intervals
