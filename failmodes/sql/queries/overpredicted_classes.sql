-- Which classes are overpredicted? Classes predicted more often than they occur as label, at the last severity.
-- Parameter model: only these models, by label.
-- Parameter corruption: only these corruptions, by name.
-- Parameter rows: maximum number of rows; default: 40.
with swallowed as (
    select
        *,
        predicted_share - label_share as excess_share,
        max(severity) over (partition by evaluation_id, corruption) as last_severity
    from accuracy_by_class
    where
        coalesce(list_contains(getvariable('model'), model_label), true)
        and coalesce(list_contains(getvariable('corruption'), corruption), true)
)

select
    corruption_label,
    severity,
    class_name,
    predicted_share,
    label_share,
    excess_share,
    accuracy,
    class_precision,
    model_label
from swallowed
where severity = last_severity and excess_share > 0
order by excess_share desc, model_label asc, corruption_label asc, class_index asc
limit coalesce(getvariable('rows'), 40)
