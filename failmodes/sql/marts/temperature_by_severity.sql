-- One row per evaluation, corruption and severity from clean (0) on: calibration as it is, and with temperature
-- scaling.
-- Source: curve_metrics.
select
    corruption,
    severity,
    max(value) filter (where metric = 'ece') as ece, -- expected calibration error as it is, of all images with finite
    -- logits, 0-1
    max(value) filter (where metric = 'scaled_ece') as scaled_ece, -- expected calibration error with temperature, 0-1
    max(value) filter (where metric = 'nll_nats') as nll_nats, -- mean cross-entropy as it is, of all images with finite
    -- logits, nats
    max(value) filter (where metric = 'scaled_nll_nats') as scaled_nll_nats, -- mean cross-entropy with temperature,
    -- nats
    max(n) filter (where metric = 'scaled_nll_nats') as image_count, -- images that have all logits, or their
    -- log-sum-exp at every temperature
    model_label,
    max(value) filter (where metric = 'even_temperature') as even_temperature, -- temperature of images of even
    -- image_id, fitted on odd clean ones, 0.5 to 4 (the ends of the grid)
    max(value) filter (where metric = 'odd_temperature') as odd_temperature, -- temperature of images of odd image_id,
    -- fitted on even clean ones, 0.5 to 4 (the ends of the grid)
    max(value) filter (where metric = 'scaled_mean_confidence') as scaled_mean_confidence, -- mean confidence with
    -- temperature, 0-1
    case
        when max(n) filter (where metric = 'scaled_nll_nats') is null
            then 'no clean cell, or neither all logits nor their log-sum-exp are stored'
    end as reason, -- why metrics with temperature are null
    corruption_label,
    dataset_label,
    evaluation_id
from curve_metrics
group by all
