-- One row per evaluation, corruption and severity from clean (0) on: conformal prediction sets, calibrated for a
-- coverage of 90% on half of the clean images, of the other images; without logits of all classes there is none.
-- Source: cell_metrics, curve_points.
with cells as (
    pivot cell_metrics
    on metric in ('lac_coverage', 'lac_set_size', 'aps_coverage', 'aps_set_size')
    using max(value) as value, max(low) as low, max(high) as high, max(n) as n
    group by evaluation_id, corruption, severity
)

select
    curve_points.corruption,
    curve_points.severity,
    cells.lac_coverage_value as lac_coverage, -- share of images whose LAC set holds the label, 0-1
    cells.lac_coverage_low, -- lower end of its 95% interval (Clopper-Pearson), given the calibration, 0-1
    cells.lac_coverage_high, -- upper end of its 95% interval, 0-1
    cells.lac_set_size_value as lac_set_size, -- mean number of classes in a LAC set, 0 to infinity
    cells.aps_coverage_value as aps_coverage, -- share of images whose APS set (not randomized) holds the label, 0-1
    cells.aps_coverage_low, -- lower end of its 95% interval (Clopper-Pearson), given the calibration, 0-1
    cells.aps_coverage_high, -- upper end of its 95% interval, 0-1
    cells.aps_set_size_value as aps_set_size, -- mean number of classes in an APS set, 0 to infinity
    cells.lac_coverage_n as image_count, -- images that sets were not calibrated on
    curve_points.model_label,
    curve_points.corruption_label,
    curve_points.dataset_label,
    curve_points.evaluation_id
from curve_points
inner join cells
    on
        curve_points.evaluation_id = cells.evaluation_id
        and curve_points.cell_corruption = cells.corruption
        and curve_points.severity = cells.severity
where cells.lac_coverage_value is not null
