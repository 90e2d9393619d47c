-- Of which classes is it sure and wrong? Wrong predictions at confidence >= 0.9, by true and predicted class.
select
    model_label,
    label_name,
    predicted_name,
    count(*) as failure_count,
    count(distinct image_id) as image_count,
    avg(confidence) as mean_confidence,
    mode(corruption_label) as commonest_corruption,
    arg_max(image_id, (confidence, -image_id)) as surest_image_id
from confident_failures
group by model_label, label_name, predicted_name
order by failure_count desc, model_label asc, label_name asc, predicted_name asc
limit 50
