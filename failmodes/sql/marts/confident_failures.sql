-- One row per evaluation, corruption, severity and image that is incorrect at confidence >= 0.9; clean as 'none'.
-- Source: outcomes, evaluation_labels, classes.
select
    outcomes.corruption,
    outcomes.severity,
    outcomes.image_id,
    labels.class_name as label_name, -- name of the true class
    coalesce(predictions.class_name, 'another class') as predicted_name, -- name of the predicted class; 'another class'
    -- where the dataset does not have it
    outcomes.confidence,
    evaluation_labels.model_label,
    outcomes.label,
    outcomes.predicted,
    outcomes.label_probability,
    outcomes.margin,
    outcomes.entropy_nats,
    outcomes.loss_nats,
    outcomes.rmse,
    outcomes.ssim,
    coalesce(corruptions.corruption_label, outcomes.corruption) as corruption_label,
    evaluation_labels.dataset_label,
    outcomes.evaluation_id
from outcomes
inner join evaluation_labels on outcomes.evaluation_id = evaluation_labels.evaluation_id
left join corruptions on outcomes.corruption = corruptions.corruption
left join classes as labels
    on evaluation_labels.dataset_id = labels.dataset_id and outcomes.label = labels.class_index
left join classes as predictions
    on evaluation_labels.dataset_id = predictions.dataset_id and outcomes.predicted = predictions.class_index
where not outcomes.correct and outcomes.confidence >= 0.9
