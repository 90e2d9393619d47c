-- One row per corrupted cell of paired evaluations: drift of attention where the answer stays, and where it changes.
-- Source: attention, outcomes, evaluations.
with predicted as (
    select
        evaluation_id,
        corruption,
        severity,
        image_id,
        coalesce(predicted_output, predicted, -1) as prediction
    from outcomes
),

drifts as (
    select
        attention.evaluation_id,
        attention.corruption,
        attention.severity,
        attention.centroid_shift,
        attention.null_class_centroid_shift,
        predicted.prediction <> clean.prediction as is_changed
    from attention
    inner join evaluations on attention.evaluation_id = evaluations.evaluation_id and evaluations.paired
    inner join predicted
        on
            attention.evaluation_id = predicted.evaluation_id
            and attention.corruption = predicted.corruption
            and attention.severity = predicted.severity
            and attention.image_id = predicted.image_id
    inner join predicted as clean
        on
            attention.evaluation_id = clean.evaluation_id
            and clean.corruption = 'none'
            and attention.image_id = clean.image_id
    where
        attention.target = 'clean' and attention.corruption <> 'none'
        and attention.centroid_shift is not null and not isnan(attention.centroid_shift)
),

of_changed as ( -- Mann and Whitney's count, by ranks
    select
        evaluation_id,
        corruption,
        severity,
        is_changed,
        rank() over by_drift + (count(*) over tied - 1) / 2 as drift_rank
    from drifts
    window
        by_drift as (partition by evaluation_id, corruption, severity order by centroid_shift),
        tied as (partition by evaluation_id, corruption, severity, centroid_shift)
),

ranks as (
    select
        evaluation_id,
        corruption,
        severity,
        sum(drift_rank) filter (where is_changed) as rank_sum
    from of_changed
    group by evaluation_id, corruption, severity
)

select
    drifts.evaluation_id,
    drifts.corruption,
    drifts.severity,
    count(*) filter (where not drifts.is_changed) as stayed_count,
    count(*) filter (where drifts.is_changed) as changed_count,
    median(drifts.centroid_shift) filter (where not drifts.is_changed) as stayed_median_centroid_shift, -- image widths
    median(drifts.centroid_shift) filter (where drifts.is_changed) as changed_median_centroid_shift, -- image widths
    median(drifts.null_class_centroid_shift) filter (where not isnan(drifts.null_class_centroid_shift))
        as null_class_median_centroid_shift, -- image widths
    count(*) filter (
        where not drifts.is_changed and not isnan(drifts.null_class_centroid_shift)
    ) as stayed_null_count,
    sum(
        case
            when drifts.centroid_shift < drifts.null_class_centroid_shift then 1.0
            when drifts.centroid_shift = drifts.null_class_centroid_shift then 0.5
            else 0
        end
    ) filter (where not drifts.is_changed and not isnan(drifts.null_class_centroid_shift))
    / nullif(stayed_null_count, 0) as stayed_nearer_share, -- than to another clean map of its class; ties count half
    (any_value(ranks.rank_sum) - changed_count * (changed_count + 1) / 2) / nullif(changed_count * stayed_count, 0)
        as change_auroc -- of drift, for a changed answer
from drifts
inner join ranks
    on
        drifts.evaluation_id = ranks.evaluation_id
        and drifts.corruption = ranks.corruption
        and drifts.severity = ranks.severity
group by drifts.evaluation_id, drifts.corruption, drifts.severity
