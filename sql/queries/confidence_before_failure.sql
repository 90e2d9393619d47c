-- Does falling confidence precede failure? Margin one step before, of images that fail and that survive.
with steps as (
    select
        failure_onset.evaluation_id,
        failure_onset.model_label,
        failure_onset.corruption,
        failure_onset.corruption_label,
        failure_onset.image_id,
        points.severity_before,
        points.severity,
        coalesce(failure_onset.onset_severity = points.severity, false) as fails_here
    from failure_onset
    inner join curve_points as points
        on
            failure_onset.evaluation_id = points.evaluation_id
            and failure_onset.corruption = points.corruption
            and points.severity <= coalesce(failure_onset.onset_severity, points.severity)
    where failure_onset.clean_correct and points.severity_before is not null
)

select
    steps.model_label,
    steps.corruption_label,
    steps.severity_before,
    steps.severity,
    count(*) filter (where steps.fails_here) as failing_count,
    count(*) filter (where not steps.fails_here) as surviving_count,
    avg(outcomes.margin) filter (where steps.fails_here) as failing_mean_margin_before,
    avg(outcomes.margin) filter (where not steps.fails_here) as surviving_mean_margin_before
from steps
inner join outcomes
    on
        steps.evaluation_id = outcomes.evaluation_id
        and if(steps.severity_before = 0, 'none', steps.corruption) = outcomes.corruption
        and steps.severity_before = outcomes.severity
        and steps.image_id = outcomes.image_id
group by
    steps.evaluation_id,
    steps.model_label,
    steps.corruption,
    steps.corruption_label,
    steps.severity_before,
    steps.severity
order by steps.model_label, steps.corruption_label, steps.severity
