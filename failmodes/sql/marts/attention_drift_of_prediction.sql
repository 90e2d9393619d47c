-- One row per evaluation, corruption and severity from clean on (severity 0): drift of the map of the class that is
-- predicted here, beside its null. `attention_drift` has the class predicted on the clean image.
-- Source: attention_by_target.
select
    corruption,
    severity,
    mean_centroid_shift,
    mean_centroid_shift_low,
    mean_centroid_shift_high,
    null_class_mean_centroid_shift,
    mean_cosine,
    accuracy,
    image_count,
    model_label,
    empty_count,
    mean_mass,
    mean_spread,
    mean_attention_entropy_nats,
    mean_mask_share,
    mean_mask_area,
    median_centroid_shift,
    null_median_centroid_shift,
    null_q025_centroid_shift,
    null_q975_centroid_shift,
    null_mean_cosine,
    null_class_mean_cosine,
    corruption_label,
    corruption_group,
    corruption_order,
    dataset_label,
    evaluation_id
from attention_by_target
where target = 'predicted'
