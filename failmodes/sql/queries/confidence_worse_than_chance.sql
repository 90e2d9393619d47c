-- Where is confidence worse than chance at predicting failures? The cell of lowest AUROC per corruption, if its
-- interval is below .5: Newcombe's, at 95% for all cells of the model with at least 10 failures and 10 correct
-- predictions together (Bonferroni).
-- Parameter model: only these models, by label.
-- Parameter corruption: only these corruptions, by name.
-- Parameter rows: maximum number of rows; default: 40.
select
    failure_prediction.corruption_label,
    failure_prediction.severity,
    findings.value as auroc,
    findings.low as auroc_low,
    findings.high as auroc_high,
    failure_prediction.failures,
    failure_prediction.n,
    failure_prediction.model_label
from findings
inner join failure_prediction
    on
        findings.evaluation_id = failure_prediction.evaluation_id
        and findings.corruption = failure_prediction.corruption
        and findings.severity = failure_prediction.severity
where
    findings.kind = 'confidence_below_chance'
    and findings.verdict = 'supported'
    and failure_prediction.score = 'confidence'
    and coalesce(list_contains(getvariable('model'), failure_prediction.model_label), true)
    and coalesce(list_contains(getvariable('corruption'), failure_prediction.corruption), true)
order by findings.value asc, failure_prediction.model_label asc, failure_prediction.corruption_label asc
limit coalesce(getvariable('rows'), 40)
