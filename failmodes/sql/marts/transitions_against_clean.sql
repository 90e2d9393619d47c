-- One row per evaluation, corruption and severity above clean (paired evaluations): correctness changes since clean.
-- Source: cell_metrics, curve_points.
with cells as (
    select
        evaluation_id,
        corruption,
        severity,
        round(max(value * n) filter (where metric = 'stayed_correct_share'))::bigint as stayed_correct_count,
        round(max(value * n) filter (where metric = 'became_incorrect_share'))::bigint as became_incorrect_count,
        round(max(value * n) filter (where metric = 'became_correct_share'))::bigint as became_correct_count,
        round(max(value * n) filter (where metric = 'stayed_incorrect_share'))::bigint as stayed_incorrect_count,
        round(max(value * n) filter (where metric = 'changed_share'))::bigint as changed_count,
        max(value) filter (where metric = 'changed_share') as changed_share,
        max(n) filter (where metric = 'changed_share') as image_count
    from cell_metrics
    where severity > 0
    group by evaluation_id, corruption, severity
)

select
    cells.corruption,
    cells.severity,
    cells.stayed_correct_count, -- images correct when clean and here
    cells.became_incorrect_count, -- images correct when clean, incorrect here
    cells.became_correct_count, -- images incorrect when clean, correct here
    cells.stayed_incorrect_count, -- images incorrect when clean and here
    cells.changed_count, -- images whose prediction differs from the clean one
    cells.changed_share, -- share of the images whose prediction differs from the clean one, 0-1
    cells.image_count, -- images
    curve_points.model_label,
    curve_points.corruption_label,
    curve_points.dataset_label,
    cells.evaluation_id
from cells
inner join curve_points
    on
        cells.evaluation_id = curve_points.evaluation_id
        and cells.corruption = curve_points.corruption
        and cells.severity = curve_points.severity
where curve_points.paired
