-- Every evaluation with cells has a clean cell, the only one at severity 0: evaluations that break it.
select
    evaluation_id,
    count(*) filter (where corruption = 'none') as clean_cells,
    count(*) filter (where (corruption = 'none') <> (severity = 0)) as misplaced_cells
from shards
where table_name = 'prediction_facts'
group by evaluation_id
having
    count(*) filter (where corruption = 'none') <> 1
    or count(*) filter (where (corruption = 'none') <> (severity = 0)) > 0
