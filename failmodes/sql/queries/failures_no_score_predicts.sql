-- Which failures does no score of the logits predict? Failures with higher scores than half of the correct
-- predictions on clean images.
-- Parameter model: only these models, by label.
-- Parameter corruption: only these corruptions, by name.
-- Parameter rows: maximum number of rows; default: 50.
with clean as (
    select
        evaluation_id,
        median(confidence) as confidence,
        median(margin) as margin,
        median(entropy_nats) as entropy_nats,
        median(log_sum_exp) as log_sum_exp
    from outcomes
    where corruption = 'none' and correct
    group by evaluation_id
)

select
    outcomes.corruption,
    outcomes.severity,
    outcomes.image_id,
    images.file,
    labels.class_name as label_name,
    predictions.class_name as predicted_name,
    outcomes.confidence,
    outcomes.log_sum_exp,
    evaluation_labels.model_label
from outcomes
inner join clean
    on
        outcomes.evaluation_id = clean.evaluation_id
        and outcomes.confidence >= clean.confidence
        and outcomes.margin >= clean.margin
        and outcomes.entropy_nats <= clean.entropy_nats
        and outcomes.log_sum_exp >= clean.log_sum_exp
inner join evaluation_labels on outcomes.evaluation_id = evaluation_labels.evaluation_id
left join images on evaluation_labels.dataset_id = images.dataset_id and outcomes.image_id = images.image_id
left join classes as labels
    on evaluation_labels.dataset_id = labels.dataset_id and outcomes.label = labels.class_index
left join classes as predictions
    on evaluation_labels.dataset_id = predictions.dataset_id and outcomes.predicted = predictions.class_index
where
    not outcomes.correct
    and coalesce(list_contains(getvariable('model'), evaluation_labels.model_label), true)
    and coalesce(list_contains(getvariable('corruption'), outcomes.corruption), true)
order by
    outcomes.confidence desc, outcomes.log_sum_exp desc, evaluation_labels.model_label asc, outcomes.corruption asc,
    outcomes.image_id asc
limit coalesce(getvariable('rows'), 50)
