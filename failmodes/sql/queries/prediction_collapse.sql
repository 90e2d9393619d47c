-- Where does one class dominate the predictions? Cells by the share of the most frequent prediction.
-- Parameter model: only these models, by label.
-- Parameter corruption: only these corruptions, by name.
-- Parameter rows: maximum number of rows; default: 40.
select
    corruption_label,
    severity,
    top_prediction_name,
    top_prediction_share,
    top_prediction_label_share,
    accuracy,
    mean_confidence,
    predicted_class_count,
    class_count,
    model_label
from predictions_by_severity
where
    top_prediction is not null
    and coalesce(list_contains(getvariable('model'), model_label), true)
    and coalesce(list_contains(getvariable('corruption'), corruption), true)
order by top_prediction_share desc, model_label asc, corruption_label asc, severity asc
limit coalesce(getvariable('rows'), 40)
