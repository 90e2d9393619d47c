-- How much each score reduces the log-loss of predicting which images fail at the next severity
select
    labels.model_label, warnings.score, round(warnings.share, 8) as share, round(warnings.share_low, 8) as share_low,
    round(warnings.share_high, 8) as share_high, round(warnings.adjusted_p_value, 8) as adjusted_p_value,
    warnings.image_count, warnings.step_count, warnings.failure_count, warnings.reason
from early_warning as warnings inner join evaluation_labels as labels using (evaluation_id)
order by labels.model_label, warnings.score
