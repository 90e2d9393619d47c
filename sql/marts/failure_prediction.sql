-- One row per evaluation, cell or pool of corrupted cells, and score: how well it tells failures from right answers.
-- Corruption is null where all are pooled, severity where all above clean are; the clean cell is 'none'.
-- Source: failure_scores, evaluation_labels, corruptions.
select
    failure_scores.evaluation_id,
    evaluation_labels.model_label,
    evaluation_labels.dataset_label,
    failure_scores.corruption,
    corruptions.corruption_label,
    failure_scores.severity,
    failure_scores.score, -- confidence, margin, entropy, energy, logit_gap, attention_spread or attention_drift
    failure_scores.auroc, -- 0-1, 0.5 is chance
    failure_scores.auroc_error, -- standard error over images
    failure_scores.aupr, -- 0-1; failures / n is chance
    failure_scores.fpr95, -- 0-1
    failure_scores.aurc, -- 0-1, lower is better
    failure_scores.excess_aurc, -- 0-1, 0 is a faultless ranking of the same answers
    failure_scores.augrc, -- 0-0.5, lower is better
    failure_scores.n, -- images that have the score on record
    failure_scores.failures, -- of them wrong
    failure_scores.reason -- why measures are null
from failure_scores
left join evaluation_labels on failure_scores.evaluation_id = evaluation_labels.evaluation_id
left join corruptions on failure_scores.corruption = corruptions.corruption
