-- Does attention drift further where the model is wrong? Drift for right and wrong apart, and the null.
select
    evaluation_labels.model_label,
    attention_by_outcome.* exclude (evaluation_id)
from attention_by_outcome
inner join evaluation_labels on attention_by_outcome.evaluation_id = evaluation_labels.evaluation_id
where evaluation_labels.paired
order by evaluation_labels.model_label, attention_by_outcome.corruption, attention_by_outcome.severity
