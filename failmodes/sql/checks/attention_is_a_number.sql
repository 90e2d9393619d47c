-- Attention values are finite numbers or null: rows that break it.
select
    evaluation_id,
    corruption,
    severity,
    image_id,
    target,
    mass,
    spread,
    centroid_shift,
    cosine
from attention
where
    not empty
    and (  -- comparisons that DuckDB answers from the extremes of a block; NaN sorts above infinity
        not (mass > '-infinity' and mass < 'infinity')
        or not (centroid_x > '-infinity' and centroid_x < 'infinity')
        or not (centroid_y > '-infinity' and centroid_y < 'infinity')
        or not (spread > '-infinity' and spread < 'infinity')
        or not (attention_entropy_nats > '-infinity' and attention_entropy_nats < 'infinity')
        or not (mask_share > '-infinity' and mask_share < 'infinity')
        or not (centroid_shift > '-infinity' and centroid_shift < 'infinity')
        or not (cosine > '-infinity' and cosine < 'infinity')
        or not (w1_x > '-infinity' and w1_x < 'infinity')
        or not (w1_y > '-infinity' and w1_y < 'infinity')
        or not (null_centroid_shift > '-infinity' and null_centroid_shift < 'infinity')
        or not (null_cosine > '-infinity' and null_cosine < 'infinity')
        or not (null_class_centroid_shift > '-infinity' and null_class_centroid_shift < 'infinity')
        or not (null_class_cosine > '-infinity' and null_class_cosine < 'infinity')
        or not (mask_area > '-infinity' and mask_area < 'infinity')
        or not (null_mask_share > '-infinity' and null_mask_share < 'infinity')
    )
