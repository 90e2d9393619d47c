-- One row per evaluation, corruption and severity above clean, of paired evaluations: margin one severity before, of
-- images that fail here for the first time and of those that stay correct.
-- Source: curve_metrics.
select
    corruption,
    severity_before, -- severity at which the margin is taken
    severity,
    max(value) filter (where metric = 'failing_mean_margin_before')
        as failing_mean_margin_before, -- mean margin of those that fail, 0-1
    max(value) filter (where metric = 'surviving_mean_margin_before')
        as surviving_mean_margin_before, -- mean margin of those that stay correct, 0-1
    coalesce(max(n) filter (where metric = 'failing_mean_margin_before'), 0)
        as failing_count, -- images correct at every severity before this one, incorrect here
    coalesce(max(n) filter (where metric = 'surviving_mean_margin_before'), 0)
        as surviving_count, -- images correct at every severity up to this one
    model_label,
    corruption_label,
    dataset_label,
    evaluation_id
from curve_metrics
where paired and severity > 0 and metric in ('failing_mean_margin_before', 'surviving_mean_margin_before')
group by all
