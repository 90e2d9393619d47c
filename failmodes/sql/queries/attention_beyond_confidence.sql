-- Does attention predict failures that confidence does not? AUROC among images of like confidence, by severity,
-- averaged over corruptions.
-- Parameter model: only these models, by label.
select
    severity,
    score,
    avg(auroc_within) as auroc_within,
    count(*) as corruption_count,
    min(image_count) as image_count,
    model_label
from failure_beyond_confidence
where severity > 0 and coalesce(list_contains(getvariable('model'), model_label), true)
group by evaluation_id, model_label, score, severity
order by model_label, score, severity
