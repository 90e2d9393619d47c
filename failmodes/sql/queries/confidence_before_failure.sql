-- Does falling confidence precede failure? Margin one step before, of images that fail and that survive.
-- Parameter model: only these models, by label.
-- Parameter corruption: only these corruptions, by name.
select
    curve_points.corruption_label,
    step_margins.severity_before,
    step_margins.severity,
    step_margins.failing_mean_margin_before,
    step_margins.surviving_mean_margin_before,
    step_margins.failing_count,
    step_margins.surviving_count,
    curve_points.model_label
from step_margins
inner join curve_points
    on
        step_margins.evaluation_id = curve_points.evaluation_id
        and step_margins.corruption = curve_points.corruption
        and step_margins.severity = curve_points.severity
where
    coalesce(list_contains(getvariable('model'), curve_points.model_label), true)
    and coalesce(list_contains(getvariable('corruption'), curve_points.corruption), true)
order by curve_points.model_label, curve_points.corruption_label, step_margins.severity
