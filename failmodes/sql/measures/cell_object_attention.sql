-- One row per stored cell and target with object masks: maps inside the object, the pointing game, and their nulls.
-- Source: attention, images.
with maps as (
    select
        attention.evaluation_id,
        attention.corruption,
        attention.severity,
        attention.target,
        attention.pointing_hit,
        attention.null_pointing_hit,
        attention.mask_share::double as mask_share,
        attention.null_mask_share::double as null_mask_share,
        coalesce(attention.mask_area, images.mask_area)::double as mask_area
    from attention
    inner join evaluations on attention.evaluation_id = evaluations.evaluation_id
    left join images on evaluations.dataset_id = images.dataset_id and attention.image_id = images.image_id
    where attention.target_class is not null and attention.mask_share is not null
)

select
    evaluation_id,
    corruption,
    severity,
    target,
    count(*) as object_count,
    avg(mask_share) as mean_mask_share,
    stddev_samp(mask_share) as sd_mask_share,
    avg(mask_area) as even_mask_share,
    stddev_samp(mask_share - mask_area) as sd_over_even,
    count(null_mask_share) as null_count,
    avg(null_mask_share) as null_mean_mask_share,
    avg(mask_share - null_mask_share) as mean_over_null,
    stddev_samp(mask_share - null_mask_share) as sd_over_null,
    count(pointing_hit) as pointing_count,
    count(*) filter (where pointing_hit) as pointing_hit_count,
    count(null_pointing_hit) as null_pointing_count,
    count(*) filter (where pointing_hit and null_pointing_hit) as both_hit_count,
    count(*) filter (where pointing_hit and not null_pointing_hit) as only_own_hit_count,
    count(*) filter (where not pointing_hit and null_pointing_hit) as only_null_hit_count
from maps
group by evaluation_id, corruption, severity, target
