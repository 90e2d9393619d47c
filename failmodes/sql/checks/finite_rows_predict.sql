-- A row has a prediction (class or other output) and confidence exactly if all logits are finite: rows that break it.
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
