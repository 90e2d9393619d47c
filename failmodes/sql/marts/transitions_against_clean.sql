-- One row per evaluation, corruption and severity above clean, of paired evaluations: what became of clean outcomes.
-- Source: cell_transitions, curve_points.
select
    cell_transitions.corruption,
    cell_transitions.severity,
    cell_transitions.stayed_correct_count,
    cell_transitions.became_incorrect_count,
    cell_transitions.became_correct_count,
    cell_transitions.stayed_incorrect_count,
    cell_transitions.changed_count, -- images whose prediction differs from the clean one
    cell_transitions.changed_count / cell_transitions.image_count as changed_share, -- share of the images whose
    -- prediction differs from the clean one, 0-1
    cell_transitions.image_count,
    curve_points.model_label,
    curve_points.corruption_label,
    curve_points.dataset_label,
    cell_transitions.evaluation_id
from cell_transitions
inner join curve_points
    on
        cell_transitions.evaluation_id = curve_points.evaluation_id
        and cell_transitions.corruption = curve_points.corruption
        and cell_transitions.severity = curve_points.severity
where curve_points.paired
