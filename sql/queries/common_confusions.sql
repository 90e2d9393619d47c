-- What is mistaken for what? The 30 confusions that take the largest share of their class, with their share when clean.
with shares as (
    select
        *,
        max(share_of_label) filter (where severity = 0) over same_confusion as clean_share
    from confusion_by_severity
    window same_confusion as (partition by evaluation_id, corruption, label, predicted_name)
)

select
    model_label,
    corruption_label,
    severity,
    label_name,
    predicted_name,
    image_count,
    share_of_label,
    coalesce(clean_share, 0) as clean_share_of_label
from shares
where severity > 0 and predicted is distinct from label
order by share_of_label desc, model_label asc, corruption_label asc, severity asc
limit 30
