-- One row per evaluation: clean accuracy and the mean over its headline corruptions, extras apart; over all corruptions
-- of a published dataset that has names of its own.
-- Source: corruption_error_by_model, cell_metrics.
with corruptions_of_model as (
    select
        *,
        headline or bool_or(corruption_group = 'other') over (partition by evaluation_id) as is_averaged
    from corruption_error_by_model
),

errors as (
    select
        evaluation_id,
        avg(mean_error) filter (where is_averaged) as mean_corruption_error,
        1 - avg(mean_error) filter (where is_averaged) as mean_corrupted_accuracy,
        avg(mean_error) filter (where not is_averaged) as mean_extra_corruption_error,
        count(*) filter (where is_averaged) as corruption_count,
        count(*) filter (where not is_averaged) as extra_corruption_count,
        max(severity_count) as severity_count,
        arg_max(severities, severity_count) as severities
    from corruptions_of_model
    group by evaluation_id
)

select
    evaluation_labels.model_label,
    clean.value as clean_accuracy, -- accuracy of the clean images, 0-1
    errors.mean_corrupted_accuracy, -- mean accuracy over the headline corruptions and their severities, 0-1
    errors.mean_corruption_error, -- plain mean corruption error: mean over headline corruptions of the mean error over
    -- severities, 0-1, not divided by a baseline's as mce_by_baseline is
    errors.mean_extra_corruption_error, -- mean error over corruptions outside the headline 15, 0-1
    errors.severity_count, -- severities averaged over, of the corruption that has most
    errors.severities, -- these severities: those that all evaluations of the images share
    coalesce(errors.corruption_count, 0) as corruption_count, -- headline corruptions averaged over
    coalesce(errors.extra_corruption_count, 0) as extra_corruption_count, -- corruptions outside the headline 15
    evaluation_labels.dataset_label,
    evaluation_labels.evaluation_id
from evaluation_labels
left join cell_metrics as clean
    on
        evaluation_labels.evaluation_id = clean.evaluation_id
        and clean.corruption = 'none'
        and clean.metric = 'accuracy'
left join errors on evaluation_labels.evaluation_id = errors.evaluation_id
