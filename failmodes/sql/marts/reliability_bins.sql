-- One row per evaluation, corruption, severity from clean (0) on, and confidence bin that occurred.
-- Source: cell_confidence_bins, curve_points.
with bins as (
    select
        evaluation_id,
        corruption,
        severity,
        bin_index,
        image_count,
        bin_index / bin_count as bin_low,
        (bin_index + 1) / bin_count as bin_high,
        confidence_sum / image_count as mean_confidence,
        correct_count / image_count as accuracy,
        accuracy_low,
        accuracy_high
    from cell_confidence_bins
)

select
    curve_points.corruption,
    curve_points.severity,
    bins.bin_low, -- lowest confidence of the bin, 0-1, within it
    bins.bin_high, -- highest confidence of the bin, 0-1, within it only where it is 1
    bins.mean_confidence, -- mean confidence of the images in the bin, 0-1
    bins.accuracy, -- share of the images in the bin that are correct, 0-1
    bins.accuracy_low, -- lower end of the 95% interval of accuracy (Wilson), 0-1
    bins.accuracy_high, -- upper end of the 95% interval of accuracy (Wilson), 0-1
    bins.image_count, -- images with finite logits in the bin
    curve_points.model_label,
    bins.bin_index, -- position of the bin, from 0
    curve_points.corruption_label,
    curve_points.dataset_label,
    curve_points.evaluation_id
from curve_points
inner join bins
    on
        curve_points.evaluation_id = bins.evaluation_id
        and curve_points.cell_corruption = bins.corruption
        and curve_points.severity = bins.severity
