-- Does attention drift further where the model is wrong? Drift for right and wrong apart, and the null.
-- Parameter model: only these models, by label.
-- Parameter corruption: only these corruptions, by name.
select
    attention_by_outcome.corruption,
    attention_by_outcome.severity,
    attention_by_outcome.correct_median_centroid_shift,
    attention_by_outcome.incorrect_median_centroid_shift,
    attention_by_outcome.null_median_centroid_shift,
    attention_by_outcome.correct_count,
    attention_by_outcome.incorrect_count,
    evaluation_labels.model_label,
    attention_by_outcome.correct_mean_cosine,
    attention_by_outcome.incorrect_mean_cosine
from attention_by_outcome
inner join evaluation_labels on attention_by_outcome.evaluation_id = evaluation_labels.evaluation_id
where
    evaluation_labels.paired
    and coalesce(list_contains(getvariable('model'), evaluation_labels.model_label), true)
    and coalesce(list_contains(getvariable('corruption'), attention_by_outcome.corruption), true)
order by evaluation_labels.model_label, attention_by_outcome.corruption, attention_by_outcome.severity
