-- One row per evaluation, corruption and severity from clean on (severity 0): how much attention lies on the object,
-- for the class predicted here. `attention_on_object` has the class predicted on the clean image.
-- Source: object_attention_by_target.
select
    corruption,
    severity,
    mean_mask_share,
    even_mask_share,
    null_mean_mask_share,
    model_label,
    image_count,
    object_count,
    sd_mask_share,
    null_count,
    mean_over_null,
    pointing_count,
    null_pointing_count,
    mean_over_even,
    over_even_error,
    over_null_error,
    pointing_accuracy,
    null_pointing_accuracy,
    pointing_over_null,
    pointing_over_null_error,
    missing_share,
    reason,
    corruption_label,
    corruption_group,
    corruption_order,
    dataset_label,
    evaluation_id
from object_attention_by_target
where target = 'predicted'
