-- One row per evaluation, corruption and image, of paired evaluations: where along the curve it first is wrong.
-- Source: outcomes, curve_points.
with curves as (
    select
        curve_points.evaluation_id,
        curve_points.model_label,
        curve_points.dataset_label,
        curve_points.corruption,
        curve_points.corruption_label,
        outcomes.image_id,
        outcomes.label,
        bool_or(outcomes.correct) filter (where outcomes.severity = 0) as clean_correct,
        min(outcomes.severity) filter (where not outcomes.correct) as onset_severity,
        max(outcomes.severity) filter (where outcomes.correct) as latest_right_severity,
        max(outcomes.severity) as last_severity,
        string_agg(outcomes.correct::integer::varchar, '' order by outcomes.severity) as correctness_pattern,
        count(*) filter (where not outcomes.correct) as wrong_count
    from curve_points
    inner join outcomes
        on
            curve_points.evaluation_id = outcomes.evaluation_id
            and curve_points.cell_corruption = outcomes.corruption
            and curve_points.severity = outcomes.severity
    where curve_points.paired
    group by all
),

intervals as (
    select
        curves.*,
        case when curves.onset_severity is null then curves.last_severity else onset.severity_before end
            as last_right_severity,
        coalesce(curves.latest_right_severity > curves.onset_severity, false) as recovered
    from curves
    left join curve_points as onset
        on
            curves.evaluation_id = onset.evaluation_id
            and curves.corruption = onset.corruption
            and curves.onset_severity = onset.severity
)

select
    evaluation_id,
    model_label,
    dataset_label,
    corruption,
    corruption_label,
    image_id,
    label,
    clean_correct,
    onset_severity, -- first wrong severity, 0 if wrong when clean; null if never wrong on the grid (right-censored)
    last_right_severity, -- lower end of the interval that holds the onset; null if wrong when clean
    correctness_pattern, -- 1 right, 0 wrong, by severity from clean
    wrong_count, -- zeros of the pattern
    recovered -- right again at some severity after the onset
from intervals
