-- One row per evaluation, corruption, severity and image that is wrong at confidence >= 0.9; clean as 'none'.
-- Source: outcomes, evaluation_labels, classes.
select
    outcomes.evaluation_id,
    evaluation_labels.model_label,
    evaluation_labels.dataset_label,
    outcomes.corruption,
    outcomes.severity,
    outcomes.image_id,
    outcomes.label,
    labels.class_name as label_name,
    outcomes.predicted,
    outcomes.confidence, -- 0-1
    outcomes.label_probability, -- 0-1
    outcomes.margin, -- 0-1
    outcomes.entropy_nats,
    outcomes.loss_nats,
    outcomes.rmse, -- 0-1
    outcomes.ssim, -- -1 to 1
    coalesce(predictions.class_name, 'another class') as predicted_name,
    coalesce(corruptions.corruption_label, outcomes.corruption) as corruption_label
from outcomes
inner join evaluation_labels on outcomes.evaluation_id = evaluation_labels.evaluation_id
left join corruptions on outcomes.corruption = corruptions.corruption
left join classes as labels
    on evaluation_labels.dataset_id = labels.dataset_id and outcomes.label = labels.class_index
left join classes as predictions
    on evaluation_labels.dataset_id = predictions.dataset_id and outcomes.predicted = predictions.class_index
where not outcomes.correct and outcomes.confidence >= 0.9
