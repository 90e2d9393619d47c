-- One row per evaluation, corruption, severity and image: the prediction, whether it is correct, and the names of model
-- and classes. Clean images have corruption 'none' and severity 0; those of natural shifts are in outcomes.
-- Source: outcomes, evaluation_labels, classes.
select
    outcomes.corruption,
    outcomes.severity,
    outcomes.image_id,
    true_class.class_name as label_name, -- name of the true class
    case
        when outcomes.predicted is not null then predicted_class.class_name
        when outcomes.finite then 'another class'
    end as predicted_name, -- name of the predicted class; 'another class' where the dataset does not have it, null
    -- where logits are not finite
    outcomes.correct,
    outcomes.confidence,
    evaluation_labels.model_label,
    outcomes.label_rank,
    outcomes.label_probability,
    outcomes.margin,
    outcomes.entropy_nats,
    outcomes.loss_nats,
    outcomes.rmse,
    outcomes.ssim,
    outcomes.label,
    outcomes.predicted,
    outcomes.runner_up,
    outcomes.sum_p2,
    outcomes.log_sum_exp,
    outcomes.max_logit,
    outcomes.finite,
    outcomes.logits,
    outcomes.logit_classes,
    outcomes.predicted_output,
    outcomes.scaled_log_sum_exp,
    evaluation_labels.dataset_label,
    evaluation_labels.dataset_id,
    outcomes.evaluation_id
from outcomes
inner join evaluation_labels on outcomes.evaluation_id = evaluation_labels.evaluation_id
left join classes as true_class
    on evaluation_labels.dataset_id = true_class.dataset_id and outcomes.label = true_class.class_index
left join classes as predicted_class
    on evaluation_labels.dataset_id = predicted_class.dataset_id and outcomes.predicted = predicted_class.class_index
