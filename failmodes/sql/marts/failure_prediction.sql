-- One row per evaluation, cell and score: how well it separates failures from correct predictions. The clean cell is
-- 'none'.
-- Source: cell_metrics, evaluation_labels, corruptions.
with cells as (
    pivot (
        from cell_metrics
        where score is not null and metric <> 'auroc_within'
    )
    on metric in ('auroc', 'augrc', 'aurc', 'aupr', 'fpr95')
    using max(value) as value, max(low) as low, max(high) as high, max(n) as n
    group by evaluation_id, corruption, severity, score
)

select
    cells.corruption,
    cells.severity,
    cells.score, -- what images are ranked by: confidence, margin, entropy, energy, logit_gap, attention_spread
    -- or attention_drift
    cells.auroc_value as auroc, -- area under the ROC curve, failures positive, 0-1, .5 is chance; null: see reason
    cells.auroc_low, -- lower end of the 95% interval of auroc (Newcombe 2006), 0-1
    cells.auroc_high, -- upper end of the 95% interval of auroc (Newcombe 2006), 0-1
    cells.augrc_value as augrc, -- area under the generalized risk-coverage curve, 0 to 0.5
    cells.augrc_low, -- lower end of the 95% interval of augrc over images, 0 to 0.5
    cells.augrc_high, -- upper end of the 95% interval of augrc over images, 0 to 0.5
    cells.aurc_value as aurc, -- area under the risk-coverage curve, 0-1
    cells.augrc_n as n, -- images that have the score
    round(cells.augrc_n * risks.selective_risk)::bigint as failures, -- images that have the score and are incorrect
    evaluation_labels.model_label,
    cells.aupr_value as aupr, -- average precision, failures positive, 0-1; the share of failures is chance
    cells.fpr95_value as fpr95, -- share of correct predictions held for failures where 95% of failures are found, 0-1
    case
        when failures = 0 then 'no failure'
        when failures = cells.augrc_n then 'no correct prediction'
    end as reason, -- why metrics are null
    corruptions.corruption_label,
    evaluation_labels.dataset_label,
    cells.evaluation_id
from cells
left join selective_risks as risks
    on
        cells.evaluation_id = risks.evaluation_id
        and cells.corruption = risks.corruption
        and cells.severity = risks.severity
        and cells.score = risks.score
        and risks.coverage_percent = 100
inner join evaluation_labels on cells.evaluation_id = evaluation_labels.evaluation_id
left join corruptions on cells.corruption = corruptions.corruption
