-- One row per evaluation, corruption and severity from clean (0) on, over images with finite logits.
-- Source: cell_metrics, cell_confidence_bins, curve_points.
with cells as (
    select
        evaluation_id,
        corruption,
        severity,
        max(value) filter (where metric = 'ece') as ece,
        max(low) filter (where metric = 'ece') as ece_low,
        max(high) filter (where metric = 'ece') as ece_high,
        max(value) filter (where metric = 'ece_noise_floor') as ece_noise_floor,
        max(value) filter (where metric = 'mean_confidence') as mean_confidence,
        max(n) filter (where metric = 'mean_confidence') as image_count,
        max(value) filter (where metric = 'overconfidence') as overconfidence,
        max(low) filter (where metric = 'overconfidence') as overconfidence_low,
        max(high) filter (where metric = 'overconfidence') as overconfidence_high,
        max(value) filter (where metric = 'brier') as brier,
        max(value) filter (where metric = 'nll_nats') as nll_nats,
        max(value) filter (where metric = 'equal_mass_ece') as equal_mass_ece,
        max(value) filter (where metric = 'smooth_ece') as smooth_ece
    from cell_metrics
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
    cells.ece, -- expected calibration error of the confidence, in bins of equal width, 0-1
    cells.ece_low, -- lower end of the 95% interval of ece over images, 0-1
    cells.ece_high, -- upper end of the 95% interval of ece over images, 0-1
    cells.ece_noise_floor, -- 95% quantile of the ece of a calibrated model with these confidences, 0-1
    cells.mean_confidence, -- mean confidence of the images with finite logits, 0-1
    bins.accuracy, -- share of the images with finite logits that are correct, 0-1
    cells.image_count, -- images with finite logits
    curve_points.model_label,
    bins.max_calibration_error, -- largest gap between confidence and accuracy of a bin, however few its images, 0-1
    bins.reliability, -- reliability of the Brier score of confidence for a correct prediction (Murphy 1973), in the
    -- same bins, 0-1: 0 is best
    bins.bin_count, -- bins of equal width that the errors are measured in
    cells.brier, -- Brier score over all classes, 0-2
    cells.nll_nats, -- mean cross-entropy against the label, nats
    cells.equal_mass_ece, -- expected calibration error in 15 bins of equally many images, 0-1
    cells.smooth_ece, -- SmoothECE, which needs no bins, 0-1
    cells.overconfidence, -- mean confidence minus accuracy, -1 to 1
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
