-- A row has a prediction and a confidence exactly where its logits are finite: rows that break it.
select
    evaluation_id,
    corruption,
    severity,
    image_id,
    finite,
    predicted,
    confidence
from predictions
where finite <> (predicted is not null) or finite <> coalesce(isfinite(confidence), false)
