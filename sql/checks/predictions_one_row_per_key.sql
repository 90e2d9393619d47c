-- Predictions hold one row per evaluation, corruption, severity and image: cells where images repeat.
select
    evaluation_id,
    corruption,
    severity,
    count(*) as row_count,
    count(distinct image_id) as image_count
from predictions
group by evaluation_id, corruption, severity
having count(*) <> count(distinct image_id)
