-- The label ranks first exactly if it is predicted, except for ties: rows that break it.
select
    evaluation_id,
    corruption,
    severity,
    image_id,
    label,
    predicted,
    label_rank,
    margin
from prediction_facts
where (label_rank = 1) <> coalesce(label = predicted, false) and margin > 0
