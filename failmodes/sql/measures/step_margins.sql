-- One row per corrupted cell of paired evaluations: margin one severity before, of images that fail here or survive.
-- Source: image_onsets, curve_points, outcomes.
with steps as (
    select
        image_onsets.evaluation_id,
        image_onsets.corruption,
        image_onsets.image_id,
        points.severity_before,
        points.severity,
        coalesce(image_onsets.onset_severity = points.severity, false) as fails_here
    from image_onsets
    inner join curve_points as points
        on
            image_onsets.evaluation_id = points.evaluation_id
            and image_onsets.corruption = points.corruption
            and points.severity <= coalesce(image_onsets.onset_severity, points.severity)
    where image_onsets.clean_correct and points.severity_before is not null
)

select
    steps.evaluation_id,
    steps.corruption,
    steps.severity_before,
    steps.severity,
    count(*) filter (where steps.fails_here) as failing_count, -- right at every severity before this one, wrong here
    count(*) filter (where not steps.fails_here) as surviving_count, -- right at every severity up to this one
    avg(outcomes.margin) filter (where steps.fails_here) as failing_mean_margin_before, -- 0-1
    avg(outcomes.margin) filter (where not steps.fails_here) as surviving_mean_margin_before -- 0-1
from steps
inner join outcomes
    on
        steps.evaluation_id = outcomes.evaluation_id
        and case when steps.severity_before = 0 then 'none' else steps.corruption end = outcomes.corruption
        and steps.severity_before = outcomes.severity
        and steps.image_id = outcomes.image_id
group by steps.evaluation_id, steps.corruption, steps.severity_before, steps.severity
