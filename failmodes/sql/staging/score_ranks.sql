-- One row per stored cell or pool of corrupted cells, score and value: images and failures, of it and of surer values.
-- Source: outcomes, attention.
with scored as (
    select
        evaluation_id,
        corruption,
        severity,
        'confidence' as score,
        confidence as sureness,
        finite,
        correct
    from outcomes
    union all
    select
        evaluation_id,
        corruption,
        severity,
        'margin' as score,
        margin as sureness,
        finite,
        correct
    from outcomes
    union all
    select
        evaluation_id,
        corruption,
        severity,
        'entropy' as score,
        -entropy_nats as sureness,
        finite,
        correct
    from outcomes
    union all
    select
        evaluation_id,
        corruption,
        severity,
        'energy' as score, -- minus the log of the sum of exponentiated logits
        log_sum_exp as sureness,
        finite,
        correct
    from outcomes
    union all
    select
        evaluation_id,
        corruption,
        severity,
        'logit_gap' as score, -- largest minus second largest logit
        case
            when finite and len(logits) > 1
                then list_extract(list_reverse_sort(logits), 1) - list_extract(list_reverse_sort(logits), 2)
        end as sureness,
        finite,
        correct
    from outcomes
    union all
    select
        attention.evaluation_id,
        attention.corruption,
        attention.severity,
        'attention_spread' as score, -- of the map of the class predicted
        -attention.spread as sureness,
        count(attention.spread) over of_spread = 0 as finite, -- where others have it, one without is the least sure
        outcomes.correct
    from attention
    inner join outcomes
        on
            attention.evaluation_id = outcomes.evaluation_id
            and attention.corruption = outcomes.corruption
            and attention.severity = outcomes.severity
            and attention.image_id = outcomes.image_id
    where attention.target = 'predicted'
    window of_spread as (partition by attention.evaluation_id, attention.corruption, attention.severity)
    union all
    select
        attention.evaluation_id,
        attention.corruption,
        attention.severity,
        'attention_drift' as score, -- centroid shift of the map of the class predicted on the clean image
        -attention.centroid_shift as sureness,
        count(attention.centroid_shift) over of_drift = 0 as finite,
        outcomes.correct
    from attention
    inner join outcomes
        on
            attention.evaluation_id = outcomes.evaluation_id
            and attention.corruption = outcomes.corruption
            and attention.severity = outcomes.severity
            and attention.image_id = outcomes.image_id
    where attention.target = 'clean' and attention.corruption <> 'none'
    window of_drift as (partition by attention.evaluation_id, attention.corruption, attention.severity)
),

of_cells as (
    select
        evaluation_id,
        corruption,
        severity,
        score,
        case when isfinite(sureness) then sureness + 0 else '-infinity'::float end as sureness,
        count(*) as tied,
        count(*) filter (where not correct) as tied_failures
    from scored
    where not coalesce(isnan(sureness), true) or not finite
    group by all
),

ties as (
    select
        evaluation_id,
        corruption,
        severity,
        score,
        sureness,
        tied,
        tied_failures
    from of_cells
    union all
    select
        evaluation_id,
        corruption,
        severity,
        score,
        sureness,
        sum(tied)::bigint as tied,
        sum(tied_failures)::bigint as tied_failures
    from of_cells
    where corruption <> 'none'
    group by
        grouping sets (
            (evaluation_id, score, sureness, corruption),
            (evaluation_id, score, sureness, severity),
            (evaluation_id, score, sureness)
        )
)

select
    evaluation_id,
    corruption,
    severity,
    score,
    sureness, -- larger is surer; -infinity where the score is no number
    tied, -- images of this value
    tied_failures, -- of them wrong
    coalesce(sum(tied) over surer, 0)::bigint as surer, -- images of larger values
    coalesce(sum(tied_failures) over surer, 0)::bigint as surer_failures, -- of them wrong
    (sum(tied) over pool)::bigint as n, -- images that have the score on record
    (sum(tied_failures) over pool)::bigint as failures -- of them wrong
from ties
window
    pool as (partition by evaluation_id, corruption, severity, score),
    surer as (
        partition by evaluation_id, corruption, severity, score order by sureness desc
        rows between unbounded preceding and 1 preceding
    )
