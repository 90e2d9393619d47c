-- Threshold of each curve: accuracy holds up to a break and falls at least twice as fast beyond it
select
    labels.model_label, points.corruption, points.threshold, round(points.adjusted_p_value, 8) as adjusted_p_value,
    points.break_at, points.break_from, points.break_to,
    round(points.slope_before, 8) as slope_before, round(points.slope_before_low, 8) as slope_before_low,
    round(points.slope_before_high, 8) as slope_before_high,
    round(points.slope_after, 8) as slope_after, round(points.slope_after_low, 8) as slope_after_low,
    round(points.slope_after_high, 8) as slope_after_high, points.reason
from change_points as points inner join evaluation_labels as labels using (evaluation_id)
order by labels.model_label, points.corruption
