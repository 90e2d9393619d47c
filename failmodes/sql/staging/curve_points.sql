-- One row per evaluation, corruption and severity from clean (0) on, with the cell that holds the point; without a
-- reference level from the first level on. Predictions from a table on clean images only are a point of 'none'.
-- Source: shards, levels.
with cells as (
    select
        evaluation_id,
        corruption,
        severity
    from shards
    where table_name = 'prediction_facts'
),

curves as (
    select distinct
        evaluation_id,
        corruption
    from cells
    where corruption <> 'none'
    union all by name
    select
        cells.evaluation_id,
        cells.corruption
    from cells
    inner join evaluation_labels on cells.evaluation_id = evaluation_labels.evaluation_id
    where evaluation_labels.source_kind = 'table'
    qualify bool_and(cells.corruption = 'none') over (partition by cells.evaluation_id)
)

select
    curves.evaluation_id,
    curves.corruption,
    cells.severity,
    cells.corruption as cell_corruption, -- corruption of the stored cell that holds the point: 'none' at severity 0
    evaluation_labels.model_label,
    evaluation_labels.dataset_label,
    evaluation_labels.paired,
    corruptions.corruption_group,
    corruptions.corruption_order,
    coalesce(corruptions.corruption_label, curves.corruption) as corruption_label,
    coalesce(corruptions.headline, true) as headline,
    levels.level_value,
    levels.level_name,
    levels.level_unit,
    levels.level_scale,
    lag(cells.severity) over curve as severity_before, -- severity of the point before on the curve; null at severity 0
    row_number() over curve as point_number -- position of the point on its curve, from 1, the clean point
from curves
inner join cells on curves.evaluation_id = cells.evaluation_id and cells.corruption in ('none', curves.corruption)
left join evaluation_labels on curves.evaluation_id = evaluation_labels.evaluation_id
left join corruptions on curves.corruption = corruptions.corruption
left join levels
    on
        evaluation_labels.source_id = levels.source_id
        and curves.corruption = levels.corruption
        and cells.severity = levels.severity
window curve as (partition by curves.evaluation_id, curves.corruption order by cells.severity)
