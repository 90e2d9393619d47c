-- One row per evaluation, corruption, severity and image, clean as 'none' at severity 0: predictions and whether they
-- are correct.
-- Source: prediction_facts.
select
    evaluation_id,
    corruption,
    severity,
    image_id,
    label,
    predicted,
    runner_up,
    label_rank,
    confidence, -- 0-1
    label_probability, -- 0-1
    margin, -- 0-1
    entropy_nats,
    loss_nats,
    sum_p2,
    log_sum_exp,
    max_logit,
    finite,
    logits,
    logit_classes,
    rmse, -- 0-1, of values / 255
    ssim, -- -1 to 1
    predicted_output, -- among all outputs, where these take part
    scaled_log_sum_exp, -- at temperatures of 1/2 to 4 by eighths of a doubling, where `logits` are the largest alone
    coalesce(predicted = label, false) as correct -- a model without a prediction is wrong
from prediction_facts
