-- Every evaluation with cells has a clean cell, the only one at severity 0; without a reference level, a table of
-- predictions has none: evaluations that break it.
select
    shards.evaluation_id,
    count(*) filter (where shards.corruption = 'none') as clean_cells,
    count(*) filter (where (shards.corruption = 'none') <> (shards.severity = 0)) as misplaced_cells
from shards
left join evaluations on shards.evaluation_id = evaluations.evaluation_id
left join sources on evaluations.source_id = sources.source_id
where shards.table_name = 'prediction_facts'
group by shards.evaluation_id, sources.source_kind
having
    count(*) filter (where shards.corruption = 'none') > 1
    or count(*) filter (where shards.corruption = 'none') < 1 and sources.source_kind is distinct from 'table'
    or count(*) filter (where (shards.corruption = 'none') <> (shards.severity = 0)) > 0
