-- One row per evaluation, corruption and severity from clean (0) on: calibration as it is, and with temperature
-- scaling.
-- Source: cell_metrics, curve_points.
with cells as (
    select
        evaluation_id,
        corruption,
        severity,
        max(value) filter (where metric = 'ece') as ece,
        max(value) filter (where metric = 'scaled_ece') as scaled_ece,
        max(value) filter (where metric = 'nll_nats') as nll_nats,
        max(value) filter (where metric = 'scaled_nll_nats') as scaled_nll_nats,
        max(n) filter (where metric = 'scaled_nll_nats') as image_count,
        max(value) filter (where metric = 'even_temperature') as even_temperature,
        max(value) filter (where metric = 'odd_temperature') as odd_temperature,
        max(value) filter (where metric = 'scaled_mean_confidence') as scaled_mean_confidence
    from cell_metrics
    group by evaluation_id, corruption, severity
)

select
    curve_points.corruption,
    curve_points.severity,
    cells.ece, -- expected calibration error as it is, of all images with finite logits, 0-1
    cells.scaled_ece, -- expected calibration error with temperature, 0-1
    cells.nll_nats, -- mean cross-entropy as it is, of all images with finite logits, nats
    cells.scaled_nll_nats, -- mean cross-entropy with temperature, nats
    cells.image_count, -- images that have all logits, or their log-sum-exp at every temperature
    curve_points.model_label,
    cells.even_temperature, -- temperature of images of even image_id, fitted on odd clean ones, 0.5 to 4
    -- (the ends of the grid)
    cells.odd_temperature, -- temperature of images of odd image_id, fitted on even clean ones, 0.5 to 4 (the
    -- ends of the grid)
    cells.scaled_mean_confidence, -- mean confidence with temperature, 0-1
    case
        when cells.image_count is null
            then 'no clean cell, or neither all logits nor their log-sum-exp are stored'
    end as reason, -- why metrics with temperature are null
    curve_points.corruption_label,
    curve_points.dataset_label,
    curve_points.evaluation_id
from curve_points
left join cells
    on
        curve_points.evaluation_id = cells.evaluation_id
        and curve_points.cell_corruption = cells.corruption
        and curve_points.severity = cells.severity
