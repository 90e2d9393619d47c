-- One row per evaluation and corruption: mean error over whole severities, as published, not normalized by any
-- baseline; over all severities if none is whole. Of several evaluations of the same images it is over the severities
-- that they share.
-- Source: accuracy_by_severity, shared_severities.
with levels as (
    select
        cells.*, -- noqa: AM04
        cells.severity = floor(cells.severity) as is_whole,
        bool_or(cells.severity = floor(cells.severity)) over (
            partition by cells.evaluation_id, cells.corruption
        ) as has_whole
    from accuracy_by_severity as cells
    inner join shared_severities as shared
        on cells.evaluation_id = shared.evaluation_id and cells.severity = shared.severity
)

select
    corruption,
    avg(error) as mean_error, -- mean share of incorrect images over the severities, 0-1
    avg(error) - (1 - min(clean_accuracy)) as relative_error, -- mean error minus the clean error, -1 to 1
    max(error) as worst_error, -- largest share of incorrect images at a severity, 0-1
    count(*) as severity_count, -- severities averaged over
    list(severity order by severity) as severities, -- those that are averaged over
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
