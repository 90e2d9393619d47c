-- The shapes over measured distortion, beside those over severity
select
    labels.model_label, axes.corruption, axes.axis, round(axes.axis_end, 8) as axis_end, axes.shape,
    round(axes.curvature, 8) as curvature,
    round(axes.curvature_low, 8) as curvature_low, round(axes.curvature_high, 8) as curvature_high,
    round(axes.curvature_change, 8) as curvature_change,
    round(axes.curvature_change_low, 8) as curvature_change_low,
    round(axes.curvature_change_high, 8) as curvature_change_high, axes.reason
from shapes_over_distortion as axes inner join evaluation_labels as labels using (evaluation_id)
order by labels.model_label, axes.corruption, axes.axis
