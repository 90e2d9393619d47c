-- One row per evaluation, cell and score of attention: how well it predicts failures beyond confidence.
-- Source: cell_metrics, evaluation_labels, corruptions.
with cells as (
    select
        evaluation_id,
        corruption,
        severity,
        score,
        max(value) filter (where metric = 'auroc_within') as auroc_within,
        max(low) filter (where metric = 'auroc_within') as auroc_within_low,
        max(high) filter (where metric = 'auroc_within') as auroc_within_high,
        max(n) as image_count
    from cell_metrics
    where score in ('attention_spread', 'attention_drift', 'empty_map') and metric in ('augrc', 'auroc_within')
    group by evaluation_id, corruption, severity, score
)

select
    cells.corruption,
    cells.severity,
    cells.score, -- attention_spread, attention_drift or empty_map
    cells.auroc_within, -- area under the ROC curve over pairs within a tenth by confidence, 0-1; 0.5: nothing beyond
    -- confidence
    cells.auroc_within_low, -- lower end of the 95% interval of auroc_within over images, 0-1
    cells.auroc_within_high, -- upper end of the 95% interval of auroc_within over images, 0-1
    cells.image_count, -- images that have a map
    evaluation_labels.model_label,
    case
        when cells.auroc_within is null
            then 'no tenth by confidence holds two failures and two correct predictions'
    end as reason, -- why auroc_within is null
    corruptions.corruption_label,
    evaluation_labels.dataset_label,
    cells.evaluation_id
from cells
inner join evaluation_labels on cells.evaluation_id = evaluation_labels.evaluation_id
left join corruptions on cells.corruption = corruptions.corruption
