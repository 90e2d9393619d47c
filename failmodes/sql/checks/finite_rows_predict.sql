-- A row has a prediction (class or other output) and confidence exactly if all logits are finite; those of a table may
-- have no confidence: rows that break it.
select
    prediction_facts.evaluation_id,
    prediction_facts.corruption,
    prediction_facts.severity,
    prediction_facts.image_id,
    prediction_facts.finite,
    prediction_facts.predicted,
    prediction_facts.confidence
from prediction_facts
left join evaluations on prediction_facts.evaluation_id = evaluations.evaluation_id
left join sources on evaluations.source_id = sources.source_id
where
    prediction_facts.finite <> (coalesce(prediction_facts.predicted, prediction_facts.predicted_output) is not null)
    or (
        prediction_facts.finite <> coalesce(isfinite(prediction_facts.confidence), false)
        and not (
            prediction_facts.finite
            and prediction_facts.confidence is null
            and sources.source_kind is not distinct from 'table'
        )
    )
