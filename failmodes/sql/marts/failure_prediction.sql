-- One row per evaluation, cell or pool of corrupted cells, and score: how well it tells failures from right answers.
-- Corruption is null where all are pooled, severity where all above clean are; the clean cell is 'none'.
-- Source: failure_scores, evaluation_labels, corruptions.
select
    failure_scores.corruption,
    failure_scores.severity,
    failure_scores.score, -- what images are ranked by: confidence, margin, entropy, energy, logit_gap, attention_spread
    -- or attention_drift
    failure_scores.auroc,
    failure_scores.auroc_error,
    failure_scores.augrc,
    failure_scores.aurc,
    failure_scores.n, -- images that have the score
    failure_scores.failures, -- images that have the score and are incorrect
    evaluation_labels.model_label,
    failure_scores.aupr,
    failure_scores.fpr95,
    failure_scores.excess_aurc,
    failure_scores.reason, -- why measures are null
    corruptions.corruption_label,
    evaluation_labels.dataset_label,
    failure_scores.evaluation_id
from failure_scores
left join evaluation_labels on failure_scores.evaluation_id = evaluation_labels.evaluation_id
left join corruptions on failure_scores.corruption = corruptions.corruption
