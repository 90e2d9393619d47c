-- One row per evaluation, corruption, severity from clean (0) on, and target: how much attention lies on the object.
-- Source: cell_object_attention, cell_attention, curve_points, evaluations.
-- Standard errors take images as independent; the null is the map of another image in the same cell (a seeded cycle).
with cells as (
    select
        curve_points.*,
        targets.target,
        cell_attention.image_count,
        cell_attention.empty_count,
        evaluations.attention_method,
        evaluations.attention_note,
        evaluations.pairing_note
    from curve_points
    cross join (values ('predicted'), ('clean')) as targets (target)
    inner join evaluations on curve_points.evaluation_id = evaluations.evaluation_id
    left join cell_attention
        on
            curve_points.evaluation_id = cell_attention.evaluation_id
            and curve_points.cell_corruption = cell_attention.corruption
            and curve_points.severity = cell_attention.severity
            and targets.target = cell_attention.target
)

select
    cells.corruption,
    cells.severity,
    here.mean_mask_share,
    here.even_mask_share, -- mean share of an even map inside the object, 0-1: the share of the image that is object
    here.null_mean_mask_share,
    cells.model_label,
    cells.target,
    cells.image_count, -- images with a class to explain
    here.object_count, -- images with a map and an object in their mask; the other columns are of these
    here.sd_mask_share, -- standard deviation over images of a map's share inside the object, 0-1
    here.null_count, -- images whose other image has a map; what is over the null is of these
    here.mean_over_null, -- mean over images of a map's share minus that of the other image's map, -1 to 1
    here.pointing_count, -- images whose map points somewhere
    here.null_pointing_count, -- images whose other image's map points somewhere
    here.mean_mask_share - here.even_mask_share as mean_over_even, -- mean over images of a map's share minus an even
    -- map's, -1 to 1
    here.sd_over_even / sqrt(here.object_count) as over_even_error, -- standard error of mean_over_even over images, 0-1
    here.sd_over_null / sqrt(here.null_count) as over_null_error, -- standard error of mean_over_null over images, 0-1
    here.pointing_hit_count / nullif(here.pointing_count, 0) as pointing_accuracy, -- share of maps that point at the
    -- object, 0-1; even_mask_share is chance
    (here.both_hit_count + here.only_null_hit_count)
    / nullif(here.null_pointing_count, 0) as null_pointing_accuracy, -- share of other images' maps that point at this
    -- image's object, 0-1
    (here.only_own_hit_count - here.only_null_hit_count)
    / nullif(here.null_pointing_count, 0) as pointing_over_null, -- share of own maps that point at the object minus
    -- that of other images' maps, -1 to 1
    sqrt(
        here.only_own_hit_count + here.only_null_hit_count
        - (here.only_own_hit_count - here.only_null_hit_count) ** 2 / nullif(here.null_pointing_count, 0)
    ) / nullif(here.null_pointing_count, 0) as pointing_over_null_error, -- standard error of pointing_over_null over
    -- images, 0-1
    1 - coalesce(here.object_count, 0) / nullif(cells.image_count, 0) as missing_share, -- share of images without a map
    -- or an object, 0-1
    case
        when cells.attention_method = 'none' then coalesce(cells.attention_note, 'there is no attention')
        when cells.severity > 0 and not cells.paired
            then coalesce(cells.pairing_note, 'corrupted images do not pair with clean ones')
        when here.null_count = 0 then 'there is no other image with a map'
        when here.object_count is not null then null
        when cells.image_count = cells.empty_count then 'every map is empty'
        when clean.object_count is not null then 'how the corruption moves objects is not known'
        else 'there are no object masks'
    end as reason, -- why measures are null, or of fewer images
    cells.corruption_label,
    cells.corruption_group,
    cells.corruption_order,
    cells.dataset_label,
    cells.evaluation_id
from cells
left join cell_object_attention as here
    on
        cells.evaluation_id = here.evaluation_id
        and cells.cell_corruption = here.corruption
        and cells.severity = here.severity
        and cells.target = here.target
left join cell_object_attention as clean
    on
        cells.evaluation_id = clean.evaluation_id
        and clean.corruption = 'none'
        and cells.target = clean.target
