-- Does attention move where the answer changes, and stay where it stays? At the last severity, by corruption.
-- Parameter model: only these models, by label.
-- Parameter corruption: only these corruptions, by name.
select
    curve_points.corruption_label,
    curve_points.severity,
    attention_by_prediction.stayed_median_centroid_shift,
    attention_by_prediction.changed_median_centroid_shift,
    attention_by_prediction.null_class_median_centroid_shift,
    attention_by_prediction.stayed_count,
    attention_by_prediction.changed_count,
    curve_points.model_label,
    attention_by_prediction.stayed_nearer_share,
    attention_by_prediction.change_auroc
from attention_by_prediction
inner join curve_points
    on
        attention_by_prediction.evaluation_id = curve_points.evaluation_id
        and attention_by_prediction.corruption = curve_points.corruption
        and attention_by_prediction.severity = curve_points.severity
where
    coalesce(list_contains(getvariable('model'), curve_points.model_label), true)
    and coalesce(list_contains(getvariable('corruption'), curve_points.corruption), true)
qualify
    attention_by_prediction.severity
    = max(attention_by_prediction.severity) over (
        partition by attention_by_prediction.evaluation_id, attention_by_prediction.corruption
    )
order by curve_points.model_label asc, attention_by_prediction.change_auroc desc, curve_points.corruption_label asc
