-- One row per evaluation and baseline: mean corruption error as a ratio to a baseline's, 1 where it is as large.
-- Hendrycks & Dietterich 2019: for each of the 15 headline corruptions the errors at severities 1 to 5 over those of
-- the baseline, and the mean of the ratios (published in percent). A baseline is another evaluation of the same images
-- and pixels; of ImageNet-C, AlexNet as published too. Null, with the reason, where a cell is missing; no row for
-- images of other levels, beyond 5.
-- Source: accuracy_by_severity, evaluation_labels, alexnet_errors.
with evaluated as (
    select
        evaluation_id,
        corruption,
        sum(error) as error_sum,
        avg(error) as mean_error,
        1 - min(clean_accuracy) as clean_error,
        count(*) as cell_count
    from accuracy_by_severity
    where
        headline
        and severity in (1, 2, 3, 4, 5)
        and evaluation_id not in (
            select beyond.evaluation_id
            from accuracy_by_severity as beyond
            where beyond.severity > 5
        )
    group by evaluation_id, corruption
),

baselines as (
    select
        evaluation_labels.evaluation_id as baseline_id,
        evaluation_labels.model_label as baseline_label,
        compared.evaluation_id
    from evaluation_labels
    inner join evaluation_labels as compared
        on
            evaluation_labels.comparable_id = compared.comparable_id
            and evaluation_labels.evaluation_id <> compared.evaluation_id
    union all
    select
        null as baseline_id,
        'AlexNet (published)' as baseline_label,
        evaluation_id
    from evaluation_labels
    where (recipe = 'imagenet-c' or source_kind = 'published') and class_count = 1000
),

errors as (
    select
        null as evaluation_id,
        corruption,
        mean_error,
        5 * mean_error as error_sum,
        clean_error,
        5 as cell_count
    from alexnet_errors
    union all by name
    select * from evaluated
),

ratios as (
    select
        baselines.evaluation_id,
        baselines.baseline_id,
        baselines.baseline_label,
        count(*) filter (where theirs.corruption is not null) as corruption_count,
        sum(least(mine.cell_count, coalesce(theirs.cell_count, 0)))::bigint as cell_count,
        avg(mine.error_sum / nullif(theirs.error_sum, 0)) as mean_ratio,
        count(*) filter (where theirs.error_sum = 0) as faultless_count,
        avg((mine.mean_error - mine.clean_error) / nullif(theirs.mean_error - theirs.clean_error, 0)) as relative_ratio,
        count(*) filter (where theirs.mean_error <= theirs.clean_error) as unharmed_count
    from baselines
    inner join evaluated as mine on baselines.evaluation_id = mine.evaluation_id
    left join errors as theirs
        on
            baselines.baseline_id is not distinct from theirs.evaluation_id
            and mine.corruption = theirs.corruption
    group by baselines.evaluation_id, baselines.baseline_id, baselines.baseline_label
)

select
    evaluation_labels.model_label,
    ratios.baseline_label, -- name of the baseline on charts
    case
        when ratios.cell_count = 75 and ratios.faultless_count = 0 then ratios.mean_ratio
    end as mce, -- normalized mean corruption error: mean over corruptions of the errors summed over severities over the
    -- baseline's, 0 to infinity; 1: as many errors
    case
        when ratios.cell_count = 75 and ratios.unharmed_count = 0 then ratios.relative_ratio
    end as relative_mce, -- mean corruption error above the clean error as a ratio to the baseline's, any number; 1: as
    -- many errors
    ratios.cell_count, -- of the 75 cells, those that both have
    case
        when ratios.cell_count < 75 then format('both have {} of the 75 cells', ratios.cell_count)
        when ratios.faultless_count > 0
            then format('the baseline makes no error under {} corruptions', ratios.faultless_count)
        when ratios.unharmed_count > 0
            then format('the baseline makes no more errors under {} corruptions', ratios.unharmed_count)
    end as reason, -- why one is null
    evaluation_labels.dataset_label,
    ratios.evaluation_id,
    ratios.baseline_id -- evaluation of the baseline; null: published, no evaluation of this warehouse
from ratios
inner join evaluation_labels on ratios.evaluation_id = evaluation_labels.evaluation_id
