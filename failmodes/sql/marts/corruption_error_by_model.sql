-- One row per evaluation and corruption: mean error over its whole severities, as published, not normalized by any
-- baseline; over all its severities if none is whole.
-- Source: accuracy_by_severity.
with levels as (
    select
        *,
        severity = floor(severity) as is_whole,
        bool_or(severity = floor(severity)) over (partition by evaluation_id, corruption) as has_whole
    from accuracy_by_severity
    where severity > 0
)

select
    corruption,
    avg(error) as mean_error, -- mean share of incorrect images over the severities, 0-1
    avg(error) - (1 - min(clean_accuracy)) as relative_error, -- mean error minus the clean error, -1 to 1
    max(error) as worst_error, -- largest share of incorrect images at a severity, 0-1
    count(*) as severity_count, -- severities averaged over
    model_label,
    corruption_label,
    corruption_group,
    corruption_order,
    headline,
    dataset_label,
    evaluation_id
from levels
where is_whole or not has_whole
group by all
