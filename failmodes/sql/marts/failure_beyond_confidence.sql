-- One row per evaluation, cell or pool of corrupted cells, and score: what attention knows beyond confidence.
-- Source: attention_beyond_confidence, evaluation_labels, corruptions.
with pooled as (
    select
        evaluation_id,
        corruption,
        severity,
        score,
        auroc_within,
        auroc_within_error,
        image_count,
        failure_count,
        pair_count
    from attention_beyond_confidence
    union all
    select
        evaluation_id,
        corruption,
        severity,
        score,
        sum(pair_count * auroc_within) / nullif(sum(pair_count), 0) as auroc_within,
        null as auroc_within_error,
        sum(image_count)::bigint as image_count,
        sum(failure_count)::bigint as failure_count,
        sum(pair_count)::bigint as pair_count
    from attention_beyond_confidence
    where corruption <> 'none'
    group by
        grouping sets (
            (evaluation_id, score, corruption), (evaluation_id, score, severity), (evaluation_id, score)
        )
)

select
    pooled.corruption, -- corruption name; null where all are pooled
    pooled.severity, -- severity; null where all above clean are pooled
    pooled.score, -- attention_spread, attention_drift or empty_map
    pooled.auroc_within, -- area under the ROC curve over pairs within a cell and a tenth by confidence, 0-1; 0.5:
    -- nothing beyond confidence
    pooled.auroc_within_error, -- standard error of auroc_within over images, 0-1; null where pooled
    pooled.image_count, -- images that have a map
    pooled.failure_count, -- images that have a map and are incorrect
    evaluation_labels.model_label,
    pooled.pair_count, -- pairs of a failure and a correct prediction that are compared
    case
        when pooled.auroc_within is null then 'no tenth by confidence holds two failures and two right answers'
    end as reason, -- why auroc_within is null
    corruptions.corruption_label,
    evaluation_labels.dataset_label,
    pooled.evaluation_id
from pooled
left join evaluation_labels on pooled.evaluation_id = evaluation_labels.evaluation_id
left join corruptions on pooled.corruption = corruptions.corruption
