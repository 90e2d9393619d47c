-- One row per stored cell, or pool of corrupted cells, and score: how well it tells failures from right answers.
-- Source: score_ranks, shards.
with evaluation_rows as ( -- no fewer than any pool of an evaluation has
    select sum(row_count) as row_count
    from shards
    group by evaluation_id
),

places as (
    select range(1, coalesce(max(row_count), 0)::bigint + 1) as all_places
    from evaluation_rows
),

longest as (
    select unnest(all_places) as place
    from places
),

harmonic as ( -- 1 + 1/2 + … + 1/place
    select
        0 as place,
        0.0::double as h
    union all
    select
        longest.place,
        sum(1 / longest.place) over (order by longest.place) as h
    from longest
),

ties as (
    select
        ranks.evaluation_id,
        ranks.corruption,
        ranks.severity,
        ranks.score,
        ranks.n,
        ranks.failures,
        ranks.tied,
        ranks.tied_failure_count,
        ranks.higher_count,
        ranks.higher_failure_count,
        ranks.n - ranks.failures as correct_predictions,
        ranks.higher_count - ranks.higher_failure_count
        + (ranks.tied - ranks.tied_failure_count) / 2 as higher_correct, -- ties count half
        ranks.failures - ranks.higher_failure_count - ranks.tied_failure_count / 2 as less_certain_failures,
        ranks.tied_failure_count
        + (ranks.higher_failure_count - ranks.tied_failure_count * ranks.higher_count / ranks.tied)
        * (upper_end.h - lower_end.h) as risk_sum
    from score_ranks as ranks
    inner join harmonic as lower_end on ranks.higher_count = lower_end.place
    inner join harmonic as upper_end on ranks.higher_count + ranks.tied = upper_end.place
),

cells as (
    select distinct
        evaluation_id,
        corruption,
        severity
    from shards
    where table_name = 'prediction_facts'
),

pools as (
    select
        evaluation_id,
        corruption,
        severity
    from cells
    union all
    select
        evaluation_id,
        corruption,
        severity
    from cells
    where corruption <> 'none'
    group by grouping sets ((evaluation_id, corruption), (evaluation_id, severity), (evaluation_id))
),

scores as (
    select
        unnest(
            [
                'confidence', 'margin', 'entropy', 'energy', 'logit_gap', 'attention_spread', 'attention_drift'
            ]
        ) as score
),

sums as (
    select
        evaluation_id,
        corruption,
        severity,
        score,
        n,
        failures,
        correct_predictions,
        sum(tied_failure_count * higher_correct) / nullif(failures * correct_predictions, 0) as auroc,
        sum(tied_failure_count * higher_correct ** 2) as failures_square_sum,
        sum((tied - tied_failure_count) * less_certain_failures ** 2) as correct_square_sum,
        sum(tied_failure_count * (failures - higher_failure_count) / (n - higher_count)) / nullif(failures, 0) as aupr,
        min(correct_predictions - higher_count + higher_failure_count)
        filter (where failures - higher_failure_count >= 0.95 * failures)
        / nullif(correct_predictions, 0) as fpr95,
        sum(risk_sum) / n as aurc
    from ties
    group by evaluation_id, corruption, severity, score, n, failures, correct_predictions
)

select
    pools.evaluation_id,
    pools.corruption,
    pools.severity,
    scores.score,
    sums.auroc,
    sums.aupr,
    sums.aurc,
    case
        when
            pools.corruption is not null and pools.severity is not null
            and sums.failures > 1 and sums.correct_predictions > 1
            then sqrt(
                greatest(
                    sums.failures_square_sum / sums.correct_predictions ** 2 - sums.failures * sums.auroc ** 2, 0
                ) / (sums.failures - 1) / sums.failures
                + greatest(sums.correct_square_sum / sums.failures ** 2 - sums.correct_predictions * sums.auroc ** 2, 0)
                / (sums.correct_predictions - 1) / sums.correct_predictions
            )
    end as auroc_error, -- DeLong's
    case when sums.failures > 0 then sums.fpr95 end as fpr95,
    sums.aurc - (sums.failures - sums.correct_predictions * (whole.h - part.h)) / sums.n as excess_aurc,
    (sums.failures / sums.n) ** 2 / 2
    + coalesce(sums.failures * sums.correct_predictions / sums.n ** 2 * (1 - sums.auroc), 0) as augrc,
    coalesce(sums.n, 0)::bigint as n, -- images that have the score on record
    coalesce(sums.failures, 0)::bigint as failures, -- of them wrong
    case
        when sums.n is null then 'score not on record'
        when sums.failures = 0 then 'no failure'
        when sums.correct_predictions = 0 then 'no right answer'
    end as reason
from pools
cross join scores
left join sums
    on
        pools.evaluation_id = sums.evaluation_id
        and pools.corruption is not distinct from sums.corruption
        and pools.severity is not distinct from sums.severity
        and scores.score = sums.score
left join harmonic as whole on sums.n = whole.place
left join harmonic as part on sums.correct_predictions = part.place
