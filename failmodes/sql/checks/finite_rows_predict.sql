-- A row has a prediction (a class or another output) and confidence exactly if its logits are finite: rows that break it.
select
    evaluation_id,
    corruption,
    severity,
    image_id,
    finite,
    predicted,
    confidence
from prediction_facts
where finite <> (coalesce(predicted, predicted_output) is not null) or finite <> coalesce(isfinite(confidence), false)
