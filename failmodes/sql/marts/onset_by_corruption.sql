-- One row per evaluation, corruption and severity, of paired evaluations: life table of images correct when clean.
-- Source: image_onsets, curve_points, cell_metrics.
with onsets as (
    select
        evaluation_id,
        corruption,
        onset_severity,
        count(*) filter (where clean_correct) as image_count,
        count(*) filter (where clean_correct and recovered) as recovered_count
    from image_onsets
    group by evaluation_id, corruption, onset_severity
),

points as (
    select
        curve_points.evaluation_id,
        curve_points.model_label,
        curve_points.dataset_label,
        curve_points.corruption,
        curve_points.corruption_label,
        curve_points.severity,
        sum(onsets.image_count) filter (
            where onsets.onset_severity is null or onsets.onset_severity >= curve_points.severity
        ) as at_risk_count,
        coalesce(sum(onsets.image_count) filter (where onsets.onset_severity = curve_points.severity), 0)::bigint
            as failed_count,
        sum(onsets.recovered_count) filter (where onsets.onset_severity = curve_points.severity) as recovered_count
    from curve_points
    inner join onsets
        on curve_points.evaluation_id = onsets.evaluation_id and curve_points.corruption = onsets.corruption
    group by all
),

shares as (
    select
        * replace (coalesce(at_risk_count, 0)::bigint as at_risk_count),
        max(at_risk_count) over (partition by evaluation_id, corruption) as clean_correct_count,
        product(coalesce(1 - failed_count / nullif(at_risk_count, 0), 1)) over (
            partition by evaluation_id, corruption
            order by severity
        ) as surviving_share,
        recovered_count / nullif(failed_count, 0) as recovered_share
    from points
),

intervals as ( -- of all images that are correct when clean none is lost at severity 0
    select
        shares.* replace (case when shares.clean_correct_count > 0 then shares.surviving_share end as surviving_share),
        case
            when shares.severity = 0 then power(0.025, 1 / nullif(shares.clean_correct_count, 0))
            else cell_metrics.low
        end as surviving_share_low,
        case
            when shares.severity = 0 and shares.clean_correct_count > 0 then 1
            else cell_metrics.high
        end as surviving_share_high
    from shares
    left join cell_metrics
        on
            shares.evaluation_id = cell_metrics.evaluation_id
            and shares.corruption = cell_metrics.corruption
            and shares.severity = cell_metrics.severity
            and cell_metrics.metric = 'surviving_share'
)

select
    corruption,
    severity,
    surviving_share, -- share of images correct when clean that stay correct up to and at this severity, 0-1
    -- (Kaplan-Meier); null if no image is correct when clean
    surviving_share_low, -- lower end of the exact 95% interval of surviving_share, 0-1: no image is lost before the
    -- last severity
    surviving_share_high, -- upper end of the exact 95% interval of surviving_share, 0-1
    at_risk_count, -- images correct at every severity below this one
    failed_count, -- images incorrect here for the first time
    recovered_share, -- share of the images that fail here that are correct again further on, 0-1; null if none fails
    model_label,
    corruption_label,
    dataset_label,
    evaluation_id
from intervals
