-- An evaluation with attention has it in every cell, beside predictions: cells that break it.
with cells as (
    select
        evaluation_id,
        corruption,
        severity,
        count(*) filter (where table_name = 'prediction_facts') as prediction_shards,
        count(*) filter (where table_name = 'attention') as attention_shards
    from shards
    group by evaluation_id, corruption, severity
)

select
    cells.evaluation_id,
    cells.corruption,
    cells.severity,
    evaluations.attention_method,
    cells.prediction_shards,
    cells.attention_shards
from cells
left join evaluations on cells.evaluation_id = evaluations.evaluation_id
where
    cells.prediction_shards = 0
    or (cells.attention_shards = 0 and evaluations.attention_method <> 'none')
