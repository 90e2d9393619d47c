-- One row per evaluation, cell and score of attention: how well it predicts failures beyond confidence.
-- Source: cell_metrics, evaluation_labels, corruptions.
with cells as (
    pivot (
        from cell_metrics
        where score in ('attention_spread', 'attention_drift', 'empty_map') and metric in ('augrc', 'auroc_within')
    )
    on metric in ('augrc', 'auroc_within')
    using max(value) as value, max(low) as low, max(high) as high, max(n) as n
    group by evaluation_id, corruption, severity, score
)

select
    cells.corruption,
    cells.severity,
    cells.score, -- attention_spread, attention_drift or empty_map
    cells.auroc_within_value
        as auroc_within, -- area under the ROC curve over pairs within a tenth by confidence, 0-1; 0.5: nothing beyond
    -- confidence
    cells.auroc_within_low, -- lower end of the 95% interval of auroc_within over images, 0-1
    cells.auroc_within_high, -- upper end of the 95% interval of auroc_within over images, 0-1
    greatest(cells.augrc_n, cells.auroc_within_n) as image_count, -- images that have a map
    evaluation_labels.model_label,
    case
        when cells.auroc_within_value is null
            then 'no tenth by confidence holds two failures and two correct predictions'
    end as reason, -- why auroc_within is null
    corruptions.corruption_label,
    evaluation_labels.dataset_label,
    cells.evaluation_id
from cells
inner join evaluation_labels on cells.evaluation_id = evaluation_labels.evaluation_id
left join corruptions on cells.corruption = corruptions.corruption
