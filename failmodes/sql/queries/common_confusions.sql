-- Which classes are confused? The 30 confusions with the largest share of their class, with their share when clean.
-- Parameter model: only these models, by label.
-- Parameter corruption: only these corruptions, by name.
-- Parameter rows: maximum number of rows; default: 30.
with worst as (
    select
        evaluation_id,
        model_label,
        corruption,
        corruption_label,
        severity,
        label,
        label_name,
        predicted_name,
        image_count,
        share_of_label
    from confusion_by_severity
    where
        severity > 0
        and predicted is distinct from label
        and coalesce(list_contains(getvariable('model'), model_label), true)
        and coalesce(list_contains(getvariable('corruption'), corruption), true)
    order by
        share_of_label desc,
        model_label asc,
        corruption_label asc,
        severity asc,
        label_name asc,
        predicted_name asc
    limit coalesce(getvariable('rows'), 30)
),

clean as (
    select
        evaluation_id,
        corruption,
        label,
        predicted_name,
        max(share_of_label) as share_of_label
    from confusion_by_severity
    where severity = 0
    group by evaluation_id, corruption, label, predicted_name
)

select
    worst.corruption_label,
    worst.severity,
    worst.label_name,
    worst.predicted_name,
    worst.image_count,
    worst.share_of_label,
    coalesce(clean.share_of_label, 0) as clean_share_of_label,
    worst.model_label
from worst
left join clean
    on
        worst.evaluation_id = clean.evaluation_id
        and worst.corruption = clean.corruption
        and worst.label = clean.label
        and worst.predicted_name is not distinct from clean.predicted_name
order by
    worst.share_of_label desc,
    worst.model_label asc,
    worst.corruption_label asc,
    worst.severity asc,
    worst.label_name asc,
    worst.predicted_name asc
