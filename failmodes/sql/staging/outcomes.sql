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
    confidence,
    label_probability,
    margin,
    entropy_nats,
    loss_nats,
    sum_p2,
    log_sum_exp,
    max_logit,
    finite,
    logits,
    logit_classes,
    rmse,
    ssim,
    predicted_output,
    scaled_log_sum_exp,
    coalesce(predicted = label, false)
        as correct -- whether the class predicted is the label; false if none is predicted
from prediction_facts
