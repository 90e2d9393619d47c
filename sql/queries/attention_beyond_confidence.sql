-- Does attention foresee failures that confidence does not? AUROC among images of like confidence, by severity.
select
    model_label,
    severity,
    score,
    auroc_within,
    pair_count,
    failure_count,
    image_count
from failure_beyond_confidence
where corruption is null
order by model_label, score, severity nulls first
