-- One row per stored cell (clean once, as 'none') and target: attention, its drift from the clean map, and the null.
-- Source: attention, images.
select
    attention.evaluation_id,
    attention.corruption,
    attention.severity,
    attention.target,
    count(*) as image_count,
    count(*) filter (where attention.empty) as empty_count, -- left out of everything but the mass
    avg(attention.mass) as mean_mass,
    avg(attention.spread) filter (where not attention.empty) as mean_spread,
    avg(attention.attention_entropy_nats) filter (where not attention.empty) as mean_attention_entropy_nats,
    avg(attention.mask_share) filter (where not attention.empty) as mean_mask_share,
    avg(coalesce(attention.mask_area, images.mask_area)) as mean_mask_area,
    median(attention.centroid_shift) filter (where not attention.empty) as median_centroid_shift,
    avg(attention.centroid_shift) filter (where not attention.empty) as mean_centroid_shift,
    median(attention.null_centroid_shift) filter (where not attention.empty) as null_median_centroid_shift,
    quantile_cont(attention.null_centroid_shift, 0.025) filter (where not attention.empty)
        as null_q025_centroid_shift,
    quantile_cont(attention.null_centroid_shift, 0.975) filter (where not attention.empty)
        as null_q975_centroid_shift,
    avg(attention.null_class_centroid_shift) filter (where not attention.empty) as null_class_mean_centroid_shift,
    avg(attention.cosine) filter (where not attention.empty) as mean_cosine,
    avg(attention.null_cosine) filter (where not attention.empty) as null_mean_cosine,
    avg(attention.null_class_cosine) filter (where not attention.empty) as null_class_mean_cosine,
    avg(attention.w1_x) filter (where not attention.empty) as mean_w1_x,
    avg(attention.w1_y) filter (where not attention.empty) as mean_w1_y,
    avg(attention.null_w1_x) filter (where not attention.empty) as null_mean_w1_x,
    avg(attention.null_w1_y) filter (where not attention.empty) as null_mean_w1_y
from attention
inner join evaluations on attention.evaluation_id = evaluations.evaluation_id
left join images on evaluations.dataset_id = images.dataset_id and attention.image_id = images.image_id
where attention.target_class is not null -- an unpaired image has no clean image to predict a class on
group by attention.evaluation_id, attention.corruption, attention.severity, attention.target
