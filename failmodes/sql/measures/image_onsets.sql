-- One row per evaluation, corruption and image, of paired evaluations: where along the curve it first is wrong.
-- Source: outcomes, curve_points.
with curves as (
    select
        curve_points.evaluation_id,
        curve_points.corruption,
        outcomes.image_id,
        outcomes.label,
        bool_or(outcomes.correct) filter (where outcomes.severity = 0) as clean_correct,
        min(outcomes.severity) filter (where not outcomes.correct) as onset_severity,
        max(outcomes.severity) filter (where outcomes.correct) as latest_correct_severity,
        max(outcomes.severity) as last_severity,
        string_agg(outcomes.correct::integer::varchar, '' order by outcomes.severity) as correctness_pattern,
        count(*) filter (where not outcomes.correct) as incorrect_count
    from curve_points
    inner join outcomes
        on
            curve_points.evaluation_id = outcomes.evaluation_id
            and curve_points.cell_corruption = outcomes.corruption
            and curve_points.severity = outcomes.severity
    where curve_points.paired
    group by all
)

select
    curves.evaluation_id,
    curves.corruption,
    curves.image_id,
    curves.label,
    curves.clean_correct,
    curves.onset_severity, -- first wrong severity, 0 if wrong when clean; null if never wrong (right-censored)
    curves.correctness_pattern, -- 1 right, 0 wrong, by severity from clean
    curves.incorrect_count, -- zeros of the pattern
    case when curves.onset_severity is null then curves.last_severity else onset.severity_before end
        as last_correct_severity, -- lower end of the interval that holds the onset; null if wrong when clean
    coalesce(curves.latest_correct_severity > curves.onset_severity, false) as recovered -- right again after the onset
from curves
left join curve_points as onset
    on
        curves.evaluation_id = onset.evaluation_id
        and curves.corruption = onset.corruption
        and curves.onset_severity = onset.severity
