-- The shape of each curve over severity
select
    labels.model_label, shapes.corruption, shapes.sample_shape as shape, round(shapes.stability, 8) as stability,
    round(shapes.total_drop, 8) as total_drop, round(shapes.total_drop_low, 8) as total_drop_low,
    round(shapes.total_drop_high, 8) as total_drop_high,
    round(shapes.curvature, 8) as curvature, round(shapes.curvature_low, 8) as curvature_low,
    round(shapes.curvature_high, 8) as curvature_high,
    round(shapes.largest_step, 8) as largest_step, shapes.largest_step_from, shapes.largest_step_to, shapes.image_count
from shapes inner join evaluation_labels as labels using (evaluation_id)
order by labels.model_label, shapes.corruption
