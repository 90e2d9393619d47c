-- One row per evaluation, corruption and severity from clean (0) on: calibration as it is, and with temperature
-- scaling.
-- Source: curve_metrics.
with points as (
    pivot curve_metrics
    on metric in (
        'ece', 'scaled_ece', 'nll_nats', 'scaled_nll_nats', 'even_temperature', 'odd_temperature',
        'scaled_mean_confidence'
    )
    using max(value) as value, max(n) as n
    group by evaluation_id, corruption, severity, model_label, corruption_label, dataset_label
)

select
    corruption,
    severity,
    ece_value as ece, -- expected calibration error as it is, of all images with finite
    -- logits, 0-1
    scaled_ece_value as scaled_ece, -- expected calibration error with temperature, 0-1
    nll_nats_value as nll_nats, -- mean cross-entropy as it is, of all images with finite
    -- logits, nats
    scaled_nll_nats_value as scaled_nll_nats, -- mean cross-entropy with temperature,
    -- nats
    scaled_nll_nats_n as image_count, -- images that have all logits, or their
    -- log-sum-exp at every temperature
    model_label,
    even_temperature_value as even_temperature, -- temperature of images of even
    -- image_id, fitted on odd clean ones, 0.5 to 4 (the ends of the grid)
    odd_temperature_value as odd_temperature, -- temperature of images of odd image_id,
    -- fitted on even clean ones, 0.5 to 4 (the ends of the grid)
    scaled_mean_confidence_value as scaled_mean_confidence, -- mean confidence with
    -- temperature, 0-1
    case
        when scaled_nll_nats_n is null
            then 'no clean cell, or neither all logits nor their log-sum-exp are stored'
    end as reason, -- why metrics with temperature are null
    corruption_label,
    dataset_label,
    evaluation_id
from points
