-- One row per evaluation and corruption: mean error over its severities from 1 on, not normalised by any baseline.
-- Source: accuracy_by_severity.
select
    evaluation_id,
    model_label,
    dataset_label,
    corruption,
    corruption_label,
    corruption_group,
    corruption_order,
    headline,
    avg(error) as mean_error, -- 0-1
    avg(error) - (1 - min(clean_accuracy)) as relative_error, -- mean error above the clean error, -1 to 1
    max(error) as worst_error, -- 0-1
    count(*) as severity_count
from accuracy_by_severity
where severity >= 1
group by all
