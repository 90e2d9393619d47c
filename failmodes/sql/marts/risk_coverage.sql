-- One row per evaluation, cell, score and coverage: the error rate of the most certain images, which is what abstaining
-- on the others leaves. The clean cell is 'none'.
-- Source: selective_risks, evaluation_labels, corruptions.
select
    selective_risks.corruption,
    selective_risks.severity,
    selective_risks.score,
    selective_risks.coverage_percent / 100 as coverage, -- share of images that are kept, the most confident ones, 0-1
    selective_risks.selective_risk, -- share of the kept images that are incorrect, 0-1
    evaluation_labels.model_label,
    corruptions.corruption_label,
    evaluation_labels.dataset_label,
    selective_risks.evaluation_id
from selective_risks
inner join evaluation_labels on selective_risks.evaluation_id = evaluation_labels.evaluation_id
left join corruptions on selective_risks.corruption = corruptions.corruption
