-- Every shard is complete: as many rows as its footer states and as the evaluation has images, twice for attention. The
-- cells of an unpaired table of predictions may have fewer.
with counts as (
    select
        table_name,
        evaluation_id,
        corruption,
        severity,
        row_count
    from shards
    union all by name
    select
        'prediction_facts' as table_name,
        evaluation_id,
        corruption,
        severity,
        count(*) as stored_count
    from prediction_facts
    group by evaluation_id, corruption, severity
    union all by name
    select
        'attention' as table_name,
        evaluation_id,
        corruption,
        severity,
        count(*) as stored_count
    from attention
    group by evaluation_id, corruption, severity
),

cells as (
    select
        table_name,
        evaluation_id,
        corruption,
        severity,
        max(row_count) as row_count,
        max(stored_count) as stored_count
    from counts
    group by table_name, evaluation_id, corruption, severity
)

select
    cells.table_name,
    cells.evaluation_id,
    cells.corruption,
    cells.severity,
    cells.row_count,
    cells.stored_count,
    evaluations.image_count
from cells
left join evaluations on cells.evaluation_id = evaluations.evaluation_id
left join sources on evaluations.source_id = sources.source_id
where
    cells.row_count is distinct from cells.stored_count
    or case
        when sources.source_kind = 'table' and not evaluations.paired
            then cells.row_count > evaluations.image_count
        else cells.row_count is distinct from evaluations.image_count * if(cells.table_name = 'attention', 2, 1)
    end
