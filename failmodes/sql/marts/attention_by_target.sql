-- One row per evaluation, corruption, severity from clean (0) on, and target: attention drift beside its null.
-- Source: cell_attention, cell_measures, curve_points.
select
    curve_points.corruption,
    curve_points.severity,
    cell_attention.mean_centroid_shift,
    cell_attention.null_class_mean_centroid_shift,
    cell_attention.mean_cosine,
    cell_measures.accuracy,
    cell_attention.image_count,
    curve_points.model_label,
    cell_attention.target,
    cell_attention.empty_count,
    cell_attention.mean_mass,
    cell_attention.mean_spread,
    cell_attention.mean_attention_entropy_nats,
    cell_attention.mean_mask_share,
    cell_attention.mean_mask_area,
    cell_attention.median_centroid_shift,
    cell_attention.null_median_centroid_shift,
    cell_attention.null_q025_centroid_shift,
    cell_attention.null_q975_centroid_shift,
    cell_attention.null_mean_cosine,
    cell_attention.null_class_mean_cosine,
    cell_attention.mean_w1_x,
    cell_attention.mean_w1_y,
    cell_attention.null_mean_w1_x,
    cell_attention.null_mean_w1_y,
    curve_points.corruption_label,
    curve_points.corruption_group,
    curve_points.corruption_order,
    curve_points.dataset_label,
    curve_points.evaluation_id
from curve_points
inner join cell_attention
    on
        curve_points.evaluation_id = cell_attention.evaluation_id
        and curve_points.cell_corruption = cell_attention.corruption
        and curve_points.severity = cell_attention.severity
left join cell_measures
    on
        curve_points.evaluation_id = cell_measures.evaluation_id
        and curve_points.cell_corruption = cell_measures.corruption
        and curve_points.severity = cell_measures.severity
