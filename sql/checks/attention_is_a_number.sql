-- Attention holds numbers or null, never NaN or infinity: rows that break it.
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
    and not (
        isfinite(mass)
        and isfinite(centroid_x)
        and isfinite(centroid_y)
        and isfinite(spread)
        and isfinite(attention_entropy_nats)
        and isfinite(coalesce(mask_share, 0))
        and isfinite(coalesce(centroid_shift, 0))
        and isfinite(coalesce(cosine, 0))
        and isfinite(coalesce(w1_x, 0))
        and isfinite(coalesce(w1_y, 0))
        and isfinite(coalesce(null_centroid_shift, 0))
        and isfinite(coalesce(null_cosine, 0))
        and isfinite(coalesce(null_class_centroid_shift, 0))
        and isfinite(coalesce(null_class_cosine, 0))
        and isfinite(coalesce(mask_area, 0))
        and isfinite(coalesce(null_mask_share, 0))
    )
