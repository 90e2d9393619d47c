-- One row per stored cell or pool of corrupted cells, score and value: images and failures with it and with
-- higher values.
-- Source: outcomes, attention.
with scored as (
    select
        evaluation_id,
        corruption,
        severity,
        'confidence' as score,
        confidence as certainty,
        finite,
        correct
    from outcomes
    union all
    select
        evaluation_id,
        corruption,
        severity,
        'margin' as score,
        margin as certainty,
        finite,
        correct
    from outcomes
    union all
    select
        evaluation_id,
        corruption,
        severity,
        'entropy' as score,
        -entropy_nats as certainty,
        finite,
        correct
    from outcomes
    union all
    select
        evaluation_id,
        corruption,
        severity,
        'energy' as score, -- minus the log of the sum of exponentiated logits
        log_sum_exp as certainty,
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
        end as certainty,
        finite,
        correct
    from outcomes
    union all
    select
        attention.evaluation_id,
        attention.corruption,
        attention.severity,
        'attention_spread' as score, -- of the map of the class predicted
        -attention.spread as certainty,
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
        -attention.centroid_shift as certainty,
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
        case when isfinite(certainty) then certainty + 0 else '-infinity'::float end as certainty,
        count(*) as tied,
        count(*) filter (where not correct) as tied_failure_count
    from scored
    where not coalesce(isnan(certainty), true) or not finite
    group by all
),

ties as (
    select
        evaluation_id,
        corruption,
        severity,
        score,
        certainty,
        tied,
        tied_failure_count
    from of_cells
    union all
    select
        evaluation_id,
        corruption,
        severity,
        score,
        certainty,
        sum(tied)::bigint as tied,
        sum(tied_failure_count)::bigint as tied_failure_count
    from of_cells
    where corruption <> 'none'
    group by
        grouping sets (
            (evaluation_id, score, certainty, corruption),
            (evaluation_id, score, certainty, severity),
            (evaluation_id, score, certainty)
        )
)

select
    evaluation_id,
    corruption,
    severity,
    score,
    certainty, -- higher is more certain; -infinity where the score is no number
    tied, -- images of this value
    tied_failure_count, -- of them wrong
    coalesce(sum(tied) over higher_count, 0)::bigint as higher_count, -- images of larger values
    coalesce(sum(tied_failure_count) over higher_count, 0)::bigint as higher_failure_count, -- of them wrong
    (sum(tied) over pool)::bigint as n, -- images that have the score on record
    (sum(tied_failure_count) over pool)::bigint as failures -- of them wrong
from ties
window
    pool as (partition by evaluation_id, corruption, severity, score),
    higher_count as (
        partition by evaluation_id, corruption, severity, score order by certainty desc
        rows between unbounded preceding and 1 preceding
    )
