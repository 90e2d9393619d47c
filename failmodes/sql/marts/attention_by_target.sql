-- One row per evaluation, corruption, severity from clean (0) on, and target: attention drift beside its null.
-- Source: target_metrics.
with points as (
    pivot target_metrics
    on metric in (
        'mean_centroid_shift', 'null_class_mean_centroid_shift', 'mean_cosine', 'accuracy', 'empty_share',
        'mean_mass', 'mean_spread', 'mean_attention_entropy_nats', 'mean_mask_share', 'mean_mask_area',
        'median_centroid_shift', 'null_median_centroid_shift', 'null_q025_centroid_shift', 'null_q975_centroid_shift',
        'null_mean_cosine', 'null_class_mean_cosine'
    )
    using max(value) as value, max(low) as low, max(high) as high, max(n) as n
    group by
        evaluation_id, corruption, severity, target, model_label, corruption_label, corruption_group,
        corruption_order, dataset_label
)

select
    corruption,
    severity,
    mean_centroid_shift_value
        as mean_centroid_shift, -- mean distance from the clean map's centroid, image widths
    mean_centroid_shift_low, -- lower end of its 95% interval over images, image widths
    mean_centroid_shift_high, -- upper end of its 95% interval over images, image widths
    null_class_mean_centroid_shift_value
        as null_class_mean_centroid_shift, -- mean distance from another clean map of the class, image widths
    mean_cosine_value as mean_cosine, -- mean cosine similarity to the clean map, 0-1
    accuracy_value as accuracy, -- share of images that are correct, 0-1
    empty_share_n as image_count, -- images with a class to explain
    model_label,
    target,
    round(empty_share_value * empty_share_n)::bigint
        as empty_count, -- empty maps, left out of everything but the mass
    mean_mass_value as mean_mass, -- mean sum of the map, logits
    mean_spread_value
        as mean_spread, -- mean spread of the maps that are not empty, image widths
    mean_attention_entropy_nats_value
        as mean_attention_entropy_nats, -- mean entropy of the maps that are not empty, nats
    mean_mask_share_value
        as mean_mask_share, -- mean share of the mass inside the object mask, of maps that are not empty, 0-1
    mean_mask_area_value
        as mean_mask_area, -- mean share of the image that the mask covers, 0-1
    median_centroid_shift_value
        as median_centroid_shift, -- median distance from the clean map's centroid, image widths
    null_median_centroid_shift_value
        as null_median_centroid_shift, -- median distance from another image's clean map, image widths
    null_q025_centroid_shift_value
        as null_q025_centroid_shift, -- 2.5% quantile of the distance from another image's clean map, image widths
    null_q975_centroid_shift_value
        as null_q975_centroid_shift, -- 97.5% quantile of the distance from another image's clean map, image widths
    null_mean_cosine_value
        as null_mean_cosine, -- mean cosine similarity to another image's clean map, 0-1
    null_class_mean_cosine_value
        as null_class_mean_cosine, -- mean cosine similarity to another clean map of the class, 0-1
    corruption_label,
    corruption_group,
    corruption_order,
    dataset_label,
    evaluation_id
from points
where empty_share_n is not null
