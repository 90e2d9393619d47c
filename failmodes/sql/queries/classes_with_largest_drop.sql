-- Which class drops most under each corruption? Accuracy when clean and at the last severity, by the drop.
-- Parameter model: only these models, by label.
-- Parameter corruption: only these corruptions, by name.
-- Parameter rows: maximum number of rows; default: 40.
with recalls as (
    select
        evaluation_id,
        model_label,
        corruption,
        corruption_label,
        severity,
        label,
        label_name,
        coalesce(sum(share_of_label) filter (where predicted = label), 0) as accuracy,
        max(severity) over (partition by evaluation_id, corruption) as last_severity
    from confusion_by_severity
    where
        coalesce(list_contains(getvariable('model'), model_label), true)
        and coalesce(list_contains(getvariable('corruption'), corruption), true)
    group by evaluation_id, model_label, corruption, corruption_label, severity, label, label_name
)

select
    corruption_label,
    last_severity,
    label_name,
    max(accuracy) filter (where severity = last_severity) as last_accuracy,
    max(accuracy) filter (where severity = 0) as clean_accuracy,
    clean_accuracy - last_accuracy as accuracy_drop,
    model_label
from recalls
group by evaluation_id, model_label, corruption, corruption_label, label, label_name, last_severity
order by accuracy_drop desc, model_label asc, corruption_label asc, label asc
limit coalesce(getvariable('rows'), 40)
