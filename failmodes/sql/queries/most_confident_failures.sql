-- Which failures are most confident? The 50 incorrect predictions of highest confidence.
-- Parameter model: only these models, by label.
-- Parameter corruption: only these corruptions, by name.
-- Parameter rows: maximum number of rows; default: 50.
select
    corruption,
    severity,
    image_id,
    file,
    label_name,
    predicted_name,
    confidence,
    label_probability,
    model_label
from predictions
where
    not correct
    and confidence is not null
    and coalesce(list_contains(getvariable('model'), model_label), true)
    and coalesce(list_contains(getvariable('corruption'), corruption), true)
order by confidence desc, model_label asc, image_id asc
limit coalesce(getvariable('rows'), 50)
