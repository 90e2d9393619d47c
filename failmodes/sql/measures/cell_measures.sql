-- One row per stored cell (evaluation, corruption, severity; clean once, as 'none'): counts and means.
-- Source: outcomes.
select
    evaluation_id,
    corruption,
    severity,
    count(*) as image_count,
    count(*) filter (where correct) as correct_count,
    count(*) filter (where correct) / count(*) as accuracy, -- 0-1
    avg(confidence) as mean_confidence, -- 0-1
    avg(entropy_nats) as mean_entropy_nats,
    avg(loss_nats) as mean_loss_nats,
    count(*) filter (where not finite) as non_finite_count,
    avg(rmse) as mean_rmse, -- 0-1
    avg(ssim) as mean_ssim -- -1 to 1
from outcomes
group by evaluation_id, corruption, severity
