-- What is it most sure of and wrong about? The 50 wrong predictions of highest confidence.
select
    model_label,
    corruption_label,
    severity,
    image_id,
    label_name,
    predicted_name,
    confidence,
    label_probability
from confident_failures
order by confidence desc, model_label asc, image_id asc
limit 50
