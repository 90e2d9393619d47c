-- One row per evaluation, score, cell (clean as 'none') or pool of corrupted cells, and coverage: the error rate of the
-- surest images, which is what abstaining on the others leaves. Corruption null: all; severity null: all above clean.
-- Source: selective_risks, evaluation_labels, corruptions.
select
    selective_risks.evaluation_id,
    evaluation_labels.model_label,
    evaluation_labels.dataset_label,
    selective_risks.corruption,
    corruptions.corruption_label,
    selective_risks.severity,
    selective_risks.score,
    selective_risks.selective_risk, -- 0-1
    selective_risks.coverage_percent / 100 as coverage -- 0-1, images that are kept
from selective_risks
left join evaluation_labels on selective_risks.evaluation_id = evaluation_labels.evaluation_id
left join corruptions on selective_risks.corruption = corruptions.corruption
