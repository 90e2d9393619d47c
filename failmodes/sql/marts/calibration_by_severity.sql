-- One row per evaluation, corruption and severity from clean (0) on, over images with finite logits.
-- Source: cell_metrics, cell_confidence_bins, curve_points.
with cells as (
    pivot cell_metrics
    on metric in (
        'ece', 'ece_noise_floor', 'mean_confidence', 'overconfidence', 'brier', 'nll_nats', 'equal_mass_ece',
        'smooth_ece'
    )
    using max(value) as value, max(low) as low, max(high) as high, max(n) as n
    group by evaluation_id, corruption, severity
),

bins as ( -- the parts of the Brier score of confidence (Murphy 1973)
    select
        evaluation_id,
        corruption,
        severity,
        max(abs(correct_count - confidence_sum) / image_count) as max_calibration_error,
        sum((correct_count - confidence_sum) ** 2 / image_count) / sum(image_count) as reliability,
        sum(correct_count ** 2 / image_count) / sum(image_count) as mean_square_accuracy,
        min(bin_count) as bin_count,
        sum(correct_count) / sum(image_count) as accuracy
    from cell_confidence_bins
    group by evaluation_id, corruption, severity
)

select
    curve_points.corruption,
    curve_points.severity,
    cells.ece_value as ece, -- expected calibration error of the confidence, in bins of equal width, 0-1
    cells.ece_low, -- lower end of the 95% interval of ece over images, 0-1
    cells.ece_high, -- upper end of the 95% interval of ece over images, 0-1
    cells.ece_noise_floor_value
        as ece_noise_floor, -- 95% quantile of the ece of a calibrated model with these confidences, 0-1
    cells.mean_confidence_value as mean_confidence, -- mean confidence of the images with finite logits, 0-1
    bins.accuracy, -- share of the images with finite logits that are correct, 0-1
    cells.mean_confidence_n as image_count, -- images with finite logits
    curve_points.model_label,
    bins.max_calibration_error, -- largest gap between confidence and accuracy of a bin, however few its images, 0-1
    bins.reliability, -- reliability of the Brier score of confidence for a correct prediction (Murphy 1973), in the
    -- same bins, 0-1: 0 is best
    bins.bin_count, -- bins of equal width that the errors are measured in
    cells.brier_value as brier, -- Brier score over all classes, 0-2
    cells.nll_nats_value as nll_nats, -- mean cross-entropy against the label, nats
    cells.equal_mass_ece_value as equal_mass_ece, -- expected calibration error in 15 bins of equally many images, 0-1
    cells.smooth_ece_value as smooth_ece, -- SmoothECE, which needs no bins, 0-1
    cells.overconfidence_value as overconfidence, -- mean confidence minus accuracy, -1 to 1
    cells.overconfidence_low, -- lower end of the 95% interval of overconfidence, -1 to 1
    cells.overconfidence_high, -- upper end of the 95% interval of overconfidence, -1 to 1
    bins.mean_square_accuracy - bins.accuracy ** 2 as resolution, -- how far the accuracies of bins differ, as in the
    -- Brier score, 0-1: more is better
    bins.accuracy * (1 - bins.accuracy) as uncertainty, -- accuracy times error rate, 0-1; the Brier score of bins
    -- is reliability less resolution plus this
    curve_points.corruption_label,
    curve_points.dataset_label,
    curve_points.evaluation_id
from curve_points
inner join cells
    on
        curve_points.evaluation_id = cells.evaluation_id
        and curve_points.cell_corruption = cells.corruption
        and curve_points.severity = cells.severity
inner join bins
    on
        curve_points.evaluation_id = bins.evaluation_id
        and curve_points.cell_corruption = bins.corruption
        and curve_points.severity = bins.severity
