-- Does attention drift further where the model is incorrect? Drift of correct and incorrect predictions, with the null.
-- Parameter model: only these models, by label.
-- Parameter corruption: only these corruptions, by name.
select
    corruption,
    severity,
    correct_median_centroid_shift,
    incorrect_median_centroid_shift,
    null_median_centroid_shift,
    correct_count,
    incorrect_count,
    model_label,
    correct_mean_cosine,
    incorrect_mean_cosine
from attention_by_outcome
where
    coalesce(list_contains(getvariable('model'), model_label), true)
    and coalesce(list_contains(getvariable('corruption'), corruption), true)
order by model_label, corruption, severity
