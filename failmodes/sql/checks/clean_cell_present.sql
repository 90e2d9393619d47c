-- Every evaluation that has cells has its clean one, at severity 0, and only that is at 0: evaluations that break it.
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
