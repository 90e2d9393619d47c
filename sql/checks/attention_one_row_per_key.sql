-- Attention holds one row per evaluation, corruption, severity, image and target: cells where images repeat.
select
    evaluation_id,
    corruption,
    severity,
    target,
    count(*) as row_count,
    count(distinct image_id) as image_count
from attention
group by evaluation_id, corruption, severity, target
having count(*) <> count(distinct image_id)
