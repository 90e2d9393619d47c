-- One row per stored cell and score of attention: how well it tells failures among images of like confidence.
-- Source: attention, outcomes.
with confidences as (
    select
        evaluation_id,
        corruption,
        severity,
        image_id,
        correct,
        case when isfinite(confidence) then confidence else '-infinity'::float end as confidence
    from outcomes
),

ranks as (
    select
        evaluation_id,
        corruption,
        severity,
        image_id,
        correct,
        rank() over by_confidence - 1 as lower_count,
        count(*) over tied as tied_count,
        count(*) over of_cell as cell_count
    from confidences
    window
        of_cell as (partition by evaluation_id, corruption, severity),
        by_confidence as (partition by evaluation_id, corruption, severity order by confidence),
        tied as (partition by evaluation_id, corruption, severity, confidence)
),

strata as ( -- tenths of the images by confidence; those that tie are in one
    select
        evaluation_id,
        corruption,
        severity,
        image_id,
        correct,
        (20 * lower_count + 10 * tied_count) // (2 * cell_count) as stratum
    from ranks
),

scored as (
    select
        attention.evaluation_id,
        attention.corruption,
        attention.severity,
        'attention_spread' as score,
        strata.stratum,
        strata.correct,
        -attention.spread as certainty,
        count(-attention.spread) over of_spread as known_count
    from attention
    inner join strata
        on
            attention.evaluation_id = strata.evaluation_id
            and attention.corruption = strata.corruption
            and attention.severity = strata.severity
            and attention.image_id = strata.image_id
    where attention.target = 'predicted'
    window of_spread as (partition by attention.evaluation_id, attention.corruption, attention.severity)
    union all
    select
        attention.evaluation_id,
        attention.corruption,
        attention.severity,
        'attention_drift' as score,
        strata.stratum,
        strata.correct,
        -attention.centroid_shift as certainty,
        count(-attention.centroid_shift) over of_drift as known_count
    from attention
    inner join strata
        on
            attention.evaluation_id = strata.evaluation_id
            and attention.corruption = strata.corruption
            and attention.severity = strata.severity
            and attention.image_id = strata.image_id
    where attention.target = 'clean' and attention.corruption <> 'none'
    window of_drift as (partition by attention.evaluation_id, attention.corruption, attention.severity)
    union all
    select
        attention.evaluation_id,
        attention.corruption,
        attention.severity,
        'empty_map' as score,
        strata.stratum,
        strata.correct,
        -attention.empty::integer::float as certainty,
        count(*) filter (where attention.empty) over of_empty as known_count -- where none is, it tells nothing
    from attention
    inner join strata
        on
            attention.evaluation_id = strata.evaluation_id
            and attention.corruption = strata.corruption
            and attention.severity = strata.severity
            and attention.image_id = strata.image_id
    where attention.target = 'predicted'
    window of_empty as (partition by attention.evaluation_id, attention.corruption, attention.severity)
),

ties as (
    select
        evaluation_id,
        corruption,
        severity,
        score,
        stratum,
        case when isfinite(certainty) then certainty else '-infinity'::float end as certainty,
        count(*) as tied,
        count(*) filter (where not correct) as tied_failure_count
    from scored
    where known_count > 0
    group by all
),

placed as (
    select
        evaluation_id,
        corruption,
        severity,
        score,
        stratum,
        tied,
        tied_failure_count,
        coalesce(sum(tied) over higher_count, 0) as higher_count,
        coalesce(sum(tied_failure_count) over higher_count, 0) as higher_failure_count,
        sum(tied_failure_count) over of_stratum as failures,
        sum(tied - tied_failure_count) over of_stratum as correct_predictions
    from ties
    window
        of_stratum as (partition by evaluation_id, corruption, severity, score, stratum),
        higher_count as (
            partition by evaluation_id, corruption, severity, score, stratum order by certainty desc
            rows between unbounded preceding and 1 preceding
        )
),

shares as (
    select
        evaluation_id,
        corruption,
        severity,
        score,
        stratum,
        tied,
        tied_failure_count,
        failures,
        correct_predictions,
        (higher_count - higher_failure_count + (tied - tied_failure_count) / 2) / correct_predictions as of_failures,
        (failures - higher_failure_count - tied_failure_count / 2) / failures as of_correct
    from placed
    where failures > 1 and correct_predictions > 1 -- fewer have no variance
),

aurocs as (
    select
        evaluation_id,
        corruption,
        severity,
        score,
        failures,
        correct_predictions,
        failures * correct_predictions as pairs,
        sum(tied_failure_count * of_failures) / failures as auroc,
        sum(tied_failure_count * of_failures ** 2) as failures_square_sum,
        sum((tied - tied_failure_count) * of_correct ** 2) as correct_square_sum
    from shares
    group by evaluation_id, corruption, severity, score, stratum, failures, correct_predictions
),

variances as (
    select
        evaluation_id,
        corruption,
        severity,
        score,
        pairs,
        auroc,
        greatest(failures_square_sum - failures * auroc ** 2, 0) / (failures - 1) / failures
        + greatest(correct_square_sum - correct_predictions * auroc ** 2, 0)
        / (correct_predictions - 1) / correct_predictions as variance
    from aurocs
),

within as (
    select
        evaluation_id,
        corruption,
        severity,
        score,
        sum(pairs)::bigint as pair_count,
        sum(pairs * auroc) / sum(pairs) as auroc_within,
        sqrt(sum(pairs ** 2 * variance)) / sum(pairs) as auroc_within_error
    from variances
    group by evaluation_id, corruption, severity, score
),

cells as (
    select
        evaluation_id,
        corruption,
        severity,
        score,
        sum(tied)::bigint as image_count,
        sum(tied_failure_count)::bigint as failure_count
    from ties
    group by evaluation_id, corruption, severity, score
)

select
    cells.evaluation_id,
    cells.corruption,
    cells.severity,
    cells.score,
    within.auroc_within, -- pairs of a failure and a right answer of one tenth; 0.5: nothing beyond confidence
    within.auroc_within_error,
    cells.image_count,
    cells.failure_count,
    coalesce(within.pair_count, 0) as pair_count -- compared
from cells
left join within
    on
        cells.evaluation_id = within.evaluation_id
        and cells.corruption = within.corruption
        and cells.severity = within.severity
        and cells.score = within.score
