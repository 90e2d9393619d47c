-- Does attention drift more where the prediction changes? At the last severity, by corruption.
-- Parameter model: only these models, by label.
-- Parameter corruption: only these corruptions, by name.
select
    corruption_label,
    severity,
    stayed_median_centroid_shift,
    changed_median_centroid_shift,
    null_class_median_centroid_shift,
    stayed_count,
    changed_count,
    model_label,
    attention_consistency,
    attention_responsiveness
from attention_by_prediction
where
    coalesce(list_contains(getvariable('model'), model_label), true)
    and coalesce(list_contains(getvariable('corruption'), corruption), true)
qualify severity = max(severity) over (partition by evaluation_id, corruption)
order by model_label asc, attention_responsiveness desc, corruption_label asc
