-- One row per evaluation, corruption and severity from clean (0) on, over images with finite logits.
-- Source: cell_confidence_bins, cell_calibration, curve_points.
with cells as (
    select
        evaluation_id,
        corruption,
        severity,
        sum(image_count)::bigint as image_count,
        sum(abs(correct_count - confidence_sum)) / sum(image_count) as ece,
        max(abs(correct_count - confidence_sum) / image_count) as max_calibration_error,
        sum((correct_count - confidence_sum) ** 2 / image_count) / sum(image_count) as reliability,
        sum(correct_count ** 2 / image_count) / sum(image_count) as mean_square_accuracy,
        min(bin_count) as bin_count,
        sum(brier_sum) / sum(image_count) as brier,
        sum(loss_nats_sum) / sum(image_count) as nll_nats,
        sum(confidence_sum) / sum(image_count) as mean_confidence,
        sum(correct_count) / sum(image_count) as accuracy
    from cell_confidence_bins
    group by evaluation_id, corruption, severity
)

select
    curve_points.corruption,
    curve_points.severity,
    cells.ece, -- expected calibration error of the confidence, in bins of equal width, 0-1
    cell_calibration.ece_noise_floor, -- 95 % quantile of the ece of a calibrated model with these confidences, 0-1
    cells.mean_confidence, -- mean confidence of the images with finite logits, 0-1
    cells.accuracy, -- share of the images with finite logits that are correct, 0-1
    cells.image_count, -- images with finite logits
    curve_points.model_label,
    cells.max_calibration_error, -- largest gap between confidence and accuracy of a bin, however few its images, 0-1
    cells.reliability, -- reliability of the Brier score of confidence for a right answer (Murphy 1973), in the same
    -- bins, 0-1: 0 is best
    cells.bin_count, -- bins of equal width that the errors are measured in
    cells.brier, -- Brier score over all classes, 0-2
    cells.nll_nats, -- mean cross-entropy against the label, nats
    cell_calibration.equal_mass_ece, -- expected calibration error in 15 bins of equally many images, 0-1
    cell_calibration.smooth_ece, -- SmoothECE, which needs no bins, 0-1
    cells.mean_confidence - cells.accuracy as overconfidence, -- mean confidence minus accuracy, -1 to 1
    cells.mean_square_accuracy - cells.accuracy ** 2 as resolution, -- how far the accuracies of bins differ, as in the
    -- Brier score, 0-1: more is better
    cells.accuracy * (1 - cells.accuracy) as uncertainty, -- accuracy times error rate, 0-1; the Brier score of bins
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
left join cell_calibration
    on
        curve_points.evaluation_id = cell_calibration.evaluation_id
        and curve_points.cell_corruption = cell_calibration.corruption
        and curve_points.severity = cell_calibration.severity
