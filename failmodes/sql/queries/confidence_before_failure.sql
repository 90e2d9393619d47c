-- Does confidence drop before failure? Margin one severity before, of images that fail and of those that stay correct.
-- Parameter model: only these models, by label.
-- Parameter corruption: only these corruptions, by name.
select
    corruption_label,
    severity_before,
    severity,
    failing_mean_margin_before,
    surviving_mean_margin_before,
    failing_count,
    surviving_count,
    model_label
from margin_before_failure
where
    coalesce(list_contains(getvariable('model'), model_label), true)
    and coalesce(list_contains(getvariable('corruption'), corruption), true)
order by model_label, corruption_label, severity
