-- One row per evaluation, corruption and severity from clean on: calibration as it is, and with temperature scaling.
-- Source: cell_temperature, curve_points.
select
    curve_points.evaluation_id,
    curve_points.model_label,
    curve_points.dataset_label,
    curve_points.corruption,
    curve_points.corruption_label,
    curve_points.severity,
    cell_temperature.even_temperature, -- of even image_id, fitted on odd clean ones; 0.5 and 4 end the grid
    cell_temperature.odd_temperature, -- of images of odd image_id, fitted on the even clean ones
    cell_temperature.image_count, -- images that have all logits, or their log-sum-exp at every T
    cell_temperature.nll_nats, -- as it is
    cell_temperature.scaled_nll_nats,
    cell_temperature.ece, -- 0-1, as it is
    cell_temperature.scaled_ece, -- 0-1
    cell_temperature.scaled_mean_confidence, -- 0-1
    case
        when cell_temperature.image_count is null
            then 'no clean cell, or neither all logits nor their log-sum-exp on record (evaluated by an older version)'
    end as reason
from curve_points
left join cell_temperature
    on
        curve_points.evaluation_id = cell_temperature.evaluation_id
        and curve_points.cell_corruption = cell_temperature.corruption
        and curve_points.severity = cell_temperature.severity
