-- Drift and distortion are stored exactly if corrupted images pair with clean ones; tables, whose pixels are unknown,
-- have no distortion: cells that break it.
with broken as (
    select
        'prediction_facts' as table_name,
        prediction_facts.evaluation_id,
        prediction_facts.corruption,
        prediction_facts.severity,
        evaluations.paired
    from prediction_facts
    inner join evaluations on prediction_facts.evaluation_id = evaluations.evaluation_id
    left join sources on evaluations.source_id = sources.source_id
    where
        prediction_facts.corruption <> 'none'
        and (prediction_facts.rmse is not null)
        <> (evaluations.paired and sources.source_kind is distinct from 'table')
    union all
    select
        'attention' as table_name,
        attention.evaluation_id,
        attention.corruption,
        attention.severity,
        evaluations.paired
    from attention
    inner join evaluations on attention.evaluation_id = evaluations.evaluation_id
    inner join attention as clean -- an empty map has no drift, and nothing drifts from one
        on
            attention.evaluation_id = clean.evaluation_id
            and attention.image_id = clean.image_id
            and clean.corruption = 'none'
            and clean.target = 'clean'
    where
        attention.corruption <> 'none'
        and attention.mass > 0
        and clean.mass > 0
        and (attention.w1_x is not null) <> evaluations.paired
)

select
    table_name,
    evaluation_id,
    corruption,
    severity,
    paired,
    count(*) as row_count
from broken
group by all
