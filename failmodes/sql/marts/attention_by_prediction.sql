-- One row per evaluation, corruption and severity above clean, of paired evaluations: attention drift where the
-- prediction stays that on the clean image, and where it changes.
-- Source: curve_metrics.
with points as (
    pivot (
        from curve_metrics
        where paired and severity > 0
    )
    on metric in (
        'stayed_median_centroid_shift', 'changed_median_centroid_shift', 'null_class_median_centroid_shift',
        'attention_consistency', 'attention_responsiveness'
    )
    using max(value) as value, max(low) as low, max(high) as high, max(n) as n
    group by evaluation_id, corruption, severity, model_label, corruption_label, dataset_label
)

select
    corruption,
    severity,
    stayed_median_centroid_shift_value
        as stayed_median_centroid_shift, -- median drift of images whose prediction stays, image widths
    changed_median_centroid_shift_value
        as changed_median_centroid_shift, -- median drift of images whose prediction changes, image widths
    null_class_median_centroid_shift_value
        as null_class_median_centroid_shift, -- median distance from another clean map of the class, image widths
    coalesce(stayed_median_centroid_shift_n, 0)
        as stayed_count, -- images with a drift whose prediction is that on the clean image
    coalesce(changed_median_centroid_shift_n, 0)
        as changed_count, -- images with a drift whose prediction is another
    model_label,
    attention_consistency_value
        as attention_consistency, -- of images whose prediction stays, the share whose map is closer to its clean map
    -- than to another of the class, 0-1; ties count half
    attention_consistency_low, -- lower end of its exact 95% interval, 0-1
    attention_consistency_high, -- upper end of its exact 95% interval, 0-1
    attention_responsiveness_value
        as attention_responsiveness, -- area under the ROC curve of the drift for a changed prediction, 0-1, .5 is
    -- chance
    attention_responsiveness_low, -- lower end of its 95% interval (Newcombe 2006), 0-1
    attention_responsiveness_high, -- upper end of its 95% interval (Newcombe 2006), 0-1
    corruption_label,
    dataset_label,
    evaluation_id
from points
where stayed_count + changed_count > 0
