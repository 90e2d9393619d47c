-- One row per evaluation, corruption, severity from clean (0) on, and target: attention drift beside its null.
-- Source: target_metrics.
select
    corruption,
    severity,
    max(value) filter (where metric = 'mean_centroid_shift')
        as mean_centroid_shift, -- mean distance from the clean map's centroid, image widths
    max(low) filter (where metric = 'mean_centroid_shift')
        as mean_centroid_shift_low, -- lower end of its 95% interval over images, image widths
    max(high) filter (where metric = 'mean_centroid_shift')
        as mean_centroid_shift_high, -- upper end of its 95% interval over images, image widths
    max(value) filter (where metric = 'null_class_mean_centroid_shift')
        as null_class_mean_centroid_shift, -- mean distance from another clean map of the class, image widths
    max(value) filter (where metric = 'mean_cosine') as mean_cosine, -- mean cosine similarity to the clean map, 0-1
    max(value) filter (where metric = 'accuracy') as accuracy, -- share of images that are correct, 0-1
    max(n) filter (where metric = 'empty_share') as image_count, -- images with a class to explain
    model_label,
    target,
    round(max(value * n) filter (where metric = 'empty_share'))::bigint
        as empty_count, -- empty maps, left out of everything but the mass
    max(value) filter (where metric = 'mean_mass') as mean_mass, -- mean sum of the map, logits
    max(value) filter (where metric = 'mean_spread')
        as mean_spread, -- mean spread of the maps that are not empty, image widths
    max(value) filter (where metric = 'mean_attention_entropy_nats')
        as mean_attention_entropy_nats, -- mean entropy of the maps that are not empty, nats
    max(value) filter (where metric = 'mean_mask_share')
        as mean_mask_share, -- mean share of the mass inside the object mask, of maps that are not empty, 0-1
    max(value) filter (where metric = 'mean_mask_area')
        as mean_mask_area, -- mean share of the image that the mask covers, 0-1
    max(value) filter (where metric = 'median_centroid_shift')
        as median_centroid_shift, -- median distance from the clean map's centroid, image widths
    max(value) filter (where metric = 'null_median_centroid_shift')
        as null_median_centroid_shift, -- median distance from another image's clean map, image widths
    max(value) filter (where metric = 'null_q025_centroid_shift')
        as null_q025_centroid_shift, -- 2.5% quantile of the distance from another image's clean map, image widths
    max(value) filter (where metric = 'null_q975_centroid_shift')
        as null_q975_centroid_shift, -- 97.5% quantile of the distance from another image's clean map, image widths
    max(value) filter (where metric = 'null_mean_cosine')
        as null_mean_cosine, -- mean cosine similarity to another image's clean map, 0-1
    max(value) filter (where metric = 'null_class_mean_cosine')
        as null_class_mean_cosine, -- mean cosine similarity to another clean map of the class, 0-1
    corruption_label,
    corruption_group,
    corruption_order,
    dataset_label,
    evaluation_id
from target_metrics
group by all
having max(n) filter (where metric = 'empty_share') is not null
