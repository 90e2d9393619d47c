-- One row per evaluation, corruption and severity above clean, of paired evaluations: attention drift where the
-- prediction stays that on the clean image, and where it changes.
-- Source: curve_metrics.
select
    corruption,
    severity,
    max(value) filter (where metric = 'stayed_median_centroid_shift')
        as stayed_median_centroid_shift, -- median drift of images whose prediction stays, image widths
    max(value) filter (where metric = 'changed_median_centroid_shift')
        as changed_median_centroid_shift, -- median drift of images whose prediction changes, image widths
    max(value) filter (where metric = 'null_class_median_centroid_shift')
        as null_class_median_centroid_shift, -- median distance from another clean map of the class, image widths
    coalesce(max(n) filter (where metric = 'stayed_median_centroid_shift'), 0)
        as stayed_count, -- images with a drift whose prediction is that on the clean image
    coalesce(max(n) filter (where metric = 'changed_median_centroid_shift'), 0)
        as changed_count, -- images with a drift whose prediction is another
    model_label,
    max(value) filter (where metric = 'attention_consistency')
        as attention_consistency, -- of images whose prediction stays, the share whose map is closer to its clean map
    -- than to another of the class, 0-1; ties count half
    max(low) filter (where metric = 'attention_consistency')
        as attention_consistency_low, -- lower end of its exact 95% interval, 0-1
    max(high) filter (where metric = 'attention_consistency')
        as attention_consistency_high, -- upper end of its exact 95% interval, 0-1
    max(value) filter (where metric = 'attention_responsiveness')
        as attention_responsiveness, -- area under the ROC curve of the drift for a changed prediction, 0-1, .5 is
    -- chance
    max(low) filter (where metric = 'attention_responsiveness')
        as attention_responsiveness_low, -- lower end of its 95% interval (Newcombe 2006), 0-1
    max(high) filter (where metric = 'attention_responsiveness')
        as attention_responsiveness_high, -- upper end of its 95% interval (Newcombe 2006), 0-1
    corruption_label,
    dataset_label,
    evaluation_id
from curve_metrics
where paired and severity > 0
group by all
having stayed_count + changed_count > 0
