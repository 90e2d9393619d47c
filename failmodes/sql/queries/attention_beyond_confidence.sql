-- Does attention foresee failures that confidence does not? AUROC among images of like confidence, by severity.
-- Parameter model: only these models, by label.
select
    severity,
    score,
    auroc_within,
    failure_count,
    image_count,
    model_label,
    pair_count
from failure_beyond_confidence
where corruption is null and coalesce(list_contains(getvariable('model'), model_label), true)
order by model_label, score, severity nulls first
