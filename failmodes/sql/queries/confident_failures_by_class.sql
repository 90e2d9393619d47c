-- Which classes have overconfident failures? Incorrect predictions at confidence >= 0.9, by true and predicted class.
-- Parameter model: only these models, by label.
-- Parameter corruption: only these corruptions, by name.
-- Parameter confidence: minimum, 0.9 to 1; default: 0.9.
-- Parameter rows: maximum number of rows; default: 50.
select
    label_name,
    predicted_name,
    count(*) as failure_count,
    count(distinct image_id) as image_count,
    avg(confidence) as mean_confidence,
    mode(corruption_label) as most_common_corruption,
    arg_max(image_id, (confidence, -image_id)) as most_confident_image_id,
    model_label
from confident_failures
where
    confidence >= coalesce(getvariable('confidence'), 0.9)
    and coalesce(list_contains(getvariable('model'), model_label), true)
    and coalesce(list_contains(getvariable('corruption'), corruption), true)
group by model_label, label_name, predicted_name
order by failure_count desc, model_label asc, label_name asc, predicted_name asc
limit coalesce(getvariable('rows'), 50)
