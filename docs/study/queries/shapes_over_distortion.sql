-- The same shapes over the distance that pixels have moved, beside those over severity
select
    labels.model_label, axes.corruption, axes.axis, round(axes.axis_end, 8) as axis_end, axes.shape,
    round(axes.stability, 8) as stability, round(axes.bow, 8) as bow, round(axes.bow_low, 8) as bow_low,
    round(axes.bow_high, 8) as bow_high, round(axes.bow_change, 8) as bow_change,
    round(axes.bow_change_low, 8) as bow_change_low, round(axes.bow_change_high, 8) as bow_change_high, axes.reason
from shapes_over_distortion as axes inner join evaluation_labels as labels using (evaluation_id)
order by labels.model_label, axes.corruption, axes.axis
