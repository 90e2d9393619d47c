-- One row per evaluation, corruption, severity from clean (0) on, and target: share of attention on the object.
-- The null is the map of another image in the same cell (a seeded cycle).
-- Source: target_metrics, curve_points, evaluations.
with measured as (
    pivot target_metrics
    on metric in (
        'mean_mask_share', 'even_mask_share', 'null_mean_mask_share', 'mean_over_even', 'mean_over_null',
        'pointing_accuracy', 'null_pointing_accuracy', 'pointing_over_null', 'empty_share'
    )
    using max(value) as value, max(low) as low, max(high) as high, max(n) as n
    group by evaluation_id, corruption, severity, target
),

cells as (
    select
        curve_points.*,
        targets.target,
        evaluations.attention_method,
        evaluations.attention_note,
        evaluations.pairing_note
    from curve_points
    cross join (values ('predicted'), ('clean')) as targets (target)
    inner join evaluations on curve_points.evaluation_id = evaluations.evaluation_id
)

select
    cells.corruption,
    cells.severity,
    here.mean_mask_share_value as mean_mask_share, -- mean share of a map inside the object, 0-1
    here.mean_mask_share_low, -- lower end of its 95% interval over images, 0-1
    here.mean_mask_share_high, -- upper end of its 95% interval over images, 0-1
    here.even_mask_share_value
        as even_mask_share, -- mean share of an even map inside the object, 0-1: the share of the image that is object
    here.null_mean_mask_share_value
        as null_mean_mask_share, -- mean share of the other image's map inside this image's object, 0-1
    cells.model_label,
    cells.target, -- 'predicted' or 'clean': the class that the map explains
    here.empty_share_n as image_count, -- images with a class to explain
    here.even_mask_share_n
        as object_count, -- images with a map and an object in their mask; the other columns are of these
    coalesce(here.mean_over_null_n, case when here.even_mask_share_n is not null then 0 end)
        as null_count, -- images whose other image has a map; what is over the null is of these
    here.mean_over_null_value
        as mean_over_null, -- mean over images of a map's share minus that of the other image's map, -1 to 1
    here.mean_over_null_low, -- lower end of its 95% interval over images, -1 to 1
    here.mean_over_null_high, -- upper end of its 95% interval over images, -1 to 1
    coalesce(here.pointing_accuracy_n, case when here.even_mask_share_n is not null then 0 end)
        as pointing_count, -- images whose map points somewhere
    coalesce(here.null_pointing_accuracy_n, case when here.even_mask_share_n is not null then 0 end)
        as null_pointing_count, -- images whose other image's map points somewhere
    here.mean_over_even_value as mean_over_even, -- mean over images of a map's share minus an even map's, -1 to 1
    here.mean_over_even_low, -- lower end of its 95% interval over images, -1 to 1
    here.mean_over_even_high, -- upper end of its 95% interval over images, -1 to 1
    here.pointing_accuracy_value
        as pointing_accuracy, -- share of maps that point at the object, 0-1; even_mask_share is chance
    here.null_pointing_accuracy_value
        as null_pointing_accuracy, -- share of other images' maps that point at this image's object, 0-1
    here.pointing_over_null_value
        as pointing_over_null, -- share of own maps that point at the object minus that of other images' maps, -1 to 1
    here.pointing_over_null_low, -- lower end of its 95% interval over images, -1 to 1
    here.pointing_over_null_high, -- upper end of its 95% interval over images, -1 to 1
    1 - coalesce(here.even_mask_share_n, 0) / nullif(here.empty_share_n, 0)
        as missing_share, -- share of images without a map
    -- or an object, 0-1
    case
        when cells.attention_method = 'none' then coalesce(cells.attention_note, 'there is no attention')
        when cells.severity > 0 and not cells.paired
            then coalesce(cells.pairing_note, 'corrupted images do not pair with clean ones')
        when here.even_mask_share_n is not null and here.mean_over_null_n is null
            then 'there is no other image with a map'
        when here.even_mask_share_n is not null then null
        when here.empty_share_n = round(here.empty_share_value * here.empty_share_n)::bigint then 'every map is empty'
        when clean.even_mask_share_n is not null then 'how the corruption moves objects is not known'
        else 'there are no object masks'
    end as reason, -- why metrics are null, or of fewer images
    cells.corruption_label,
    cells.corruption_group,
    cells.corruption_order,
    cells.dataset_label,
    cells.evaluation_id
from cells
left join measured as here
    on
        cells.evaluation_id = here.evaluation_id
        and cells.corruption = here.corruption
        and cells.severity = here.severity
        and cells.target = here.target
left join measured as clean
    on
        cells.evaluation_id = clean.evaluation_id
        and cells.corruption = clean.corruption
        and clean.severity = 0
        and cells.target = clean.target
