-- Which cells have the largest accuracy drop? The 20 largest, with their intervals.
-- Parameter model: only these models, by label.
-- Parameter corruption: only these corruptions, by name.
-- Parameter rows: maximum number of rows; default: 20.
select
    corruption_label,
    severity,
    accuracy,
    accuracy_low as low,
    accuracy_high as high,
    accuracy_drop,
    image_count,
    model_label,
    dataset_label
from accuracy_by_severity
where
    severity > 0
    and coalesce(list_contains(getvariable('model'), model_label), true)
    and coalesce(list_contains(getvariable('corruption'), corruption), true)
order by accuracy_drop desc, model_label asc, corruption_label asc
limit coalesce(getvariable('rows'), 20)
