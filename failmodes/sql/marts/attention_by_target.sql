-- One row per evaluation, corruption, severity from clean (0) on, and target: attention drift beside its null.
-- Source: cell_metrics, curve_points.
with targeted as (
    select
        evaluation_id,
        corruption,
        severity,
        value,
        low,
        high,
        n,
        case when ends_with(metric, '_of_prediction') then 'predicted' else 'clean' end as target, -- noqa: RF04
        replace(metric, '_of_prediction', '') as metric_name
    from cell_metrics
),

cells as (
    select
        evaluation_id,
        corruption,
        severity,
        target,
        max(value) filter (where metric_name = 'mean_centroid_shift') as mean_centroid_shift,
        max(value) filter (where metric_name = 'null_class_mean_centroid_shift') as null_class_mean_centroid_shift,
        max(value) filter (where metric_name = 'mean_cosine') as mean_cosine,
        max(value) filter (where metric_name = 'mean_mass') as mean_mass,
        max(value) filter (where metric_name = 'mean_spread') as mean_spread,
        max(value) filter (where metric_name = 'mean_attention_entropy_nats') as mean_attention_entropy_nats,
        max(value) filter (where metric_name = 'mean_mask_share') as mean_mask_share,
        max(value) filter (where metric_name = 'mean_mask_area') as mean_mask_area,
        max(value) filter (where metric_name = 'median_centroid_shift') as median_centroid_shift,
        max(value) filter (where metric_name = 'null_median_centroid_shift') as null_median_centroid_shift,
        max(value) filter (where metric_name = 'null_q025_centroid_shift') as null_q025_centroid_shift,
        max(value) filter (where metric_name = 'null_q975_centroid_shift') as null_q975_centroid_shift,
        max(value) filter (where metric_name = 'null_mean_cosine') as null_mean_cosine,
        max(value) filter (where metric_name = 'null_class_mean_cosine') as null_class_mean_cosine,
        max(low) filter (where metric_name = 'mean_centroid_shift') as mean_centroid_shift_low,
        max(high) filter (where metric_name = 'mean_centroid_shift') as mean_centroid_shift_high,
        max(n) filter (where metric_name = 'empty_share') as image_count,
        round(max(value * n) filter (where metric_name = 'empty_share'))::bigint as empty_count
    from targeted
    group by evaluation_id, corruption, severity, target
),

accuracies as (
    select
        evaluation_id,
        corruption,
        severity,
        value as accuracy
    from cell_metrics
    where metric = 'accuracy'
)

select
    curve_points.corruption,
    curve_points.severity,
    cells.mean_centroid_shift, -- mean distance from the clean map's centroid, image widths
    cells.mean_centroid_shift_low, -- lower end of its 95% interval over images, image widths
    cells.mean_centroid_shift_high, -- upper end of its 95% interval over images, image widths
    cells.null_class_mean_centroid_shift, -- mean distance from another clean map of the class, image widths
    cells.mean_cosine, -- mean cosine similarity to the clean map, 0-1
    accuracies.accuracy, -- share of images that are correct, 0-1
    cells.image_count, -- images with a class to explain
    curve_points.model_label,
    cells.target, -- 'predicted' or 'clean': the class that the map explains
    cells.empty_count, -- empty maps, left out of everything but the mass
    cells.mean_mass, -- mean sum of the map, logits
    cells.mean_spread, -- mean spread of the maps that are not empty, image widths
    cells.mean_attention_entropy_nats, -- mean entropy of the maps that are not empty, nats
    cells.mean_mask_share, -- mean share of the mass inside the object mask, of maps that are not empty, 0-1
    cells.mean_mask_area, -- mean share of the image that the mask covers, 0-1
    cells.median_centroid_shift, -- median distance from the clean map's centroid, image widths
    cells.null_median_centroid_shift, -- median distance from another image's clean map, image widths
    cells.null_q025_centroid_shift, -- 2.5% quantile of the distance from another image's clean map, image widths
    cells.null_q975_centroid_shift, -- 97.5% quantile of the distance from another image's clean map, image widths
    cells.null_mean_cosine, -- mean cosine similarity to another image's clean map, 0-1
    cells.null_class_mean_cosine, -- mean cosine similarity to another clean map of the class, 0-1
    curve_points.corruption_label,
    curve_points.corruption_group,
    curve_points.corruption_order,
    curve_points.dataset_label,
    curve_points.evaluation_id
from curve_points
inner join cells
    on
        curve_points.evaluation_id = cells.evaluation_id
        and curve_points.cell_corruption = cells.corruption
        and curve_points.severity = cells.severity
        and cells.image_count is not null
left join accuracies
    on
        curve_points.evaluation_id = accuracies.evaluation_id
        and curve_points.cell_corruption = accuracies.corruption
        and curve_points.severity = accuracies.severity
