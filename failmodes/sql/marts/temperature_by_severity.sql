-- One row per evaluation, corruption and severity from clean (0) on: calibration as it is, and with temperature
-- scaling.
-- Source: cell_temperature, curve_points.
select
    curve_points.corruption,
    curve_points.severity,
    cell_temperature.ece,
    cell_temperature.scaled_ece,
    cell_temperature.nll_nats,
    cell_temperature.scaled_nll_nats,
    cell_temperature.image_count, -- images that have all logits, or their log-sum-exp at every temperature
    curve_points.model_label,
    cell_temperature.even_temperature, -- temperature of images of even image_id, fitted on odd clean ones, 0.5 to 4
    -- (the ends of the grid)
    cell_temperature.odd_temperature, -- temperature of images of odd image_id, fitted on even clean ones, 0.5 to 4 (the
    -- ends of the grid)
    cell_temperature.scaled_mean_confidence,
    case
        when cell_temperature.image_count is null
            then 'no clean cell, or neither all logits nor their log-sum-exp are stored'
    end as reason, -- why measures are null
    curve_points.corruption_label,
    curve_points.dataset_label,
    curve_points.evaluation_id
from curve_points
left join cell_temperature
    on
        curve_points.evaluation_id = cell_temperature.evaluation_id
        and curve_points.cell_corruption = cell_temperature.corruption
        and curve_points.severity = cell_temperature.severity
