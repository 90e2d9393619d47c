-- One row per evaluation, corruption and severity above clean, of paired evaluations: margin one severity before, of
-- images that fail here for the first time and of those that stay correct.
-- Source: curve_metrics.
with points as (
    pivot (
        from curve_metrics
        where paired and severity > 0 and ends_with(metric, '_mean_margin_before')
    )
    on metric in ('failing_mean_margin_before', 'surviving_mean_margin_before')
    using max(value) as value, max(n) as n
    group by evaluation_id, corruption, severity, severity_before, model_label, corruption_label, dataset_label
)

select
    corruption,
    severity_before, -- severity at which the margin is taken
    severity,
    failing_mean_margin_before_value
        as failing_mean_margin_before, -- mean margin of those that fail, 0-1
    surviving_mean_margin_before_value
        as surviving_mean_margin_before, -- mean margin of those that stay correct, 0-1
    coalesce(failing_mean_margin_before_n, 0)
        as failing_count, -- images correct at every severity before this one, incorrect here
    coalesce(surviving_mean_margin_before_n, 0)
        as surviving_count, -- images correct at every severity up to this one
    model_label,
    corruption_label,
    dataset_label,
    evaluation_id
from points
