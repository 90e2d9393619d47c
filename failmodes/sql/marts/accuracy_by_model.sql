-- One row per model, corruption and severity from clean (0) on: accuracy over its training runs, of one seed each.
-- Source: accuracy_by_severity, evaluation_labels.
with labeled as (
    select
        *,
        case
            when training_seed is null then training_recipe
            else regexp_replace(training_recipe, '[,\s]+seed ' || training_seed::varchar || '$', '')
        end as shared_recipe -- without the seed that a recipe in plain text ends with
    from evaluation_labels
),

counted as (
    select
        *,
        count(*) over model as run_count,
        count(distinct training_seed) over model as distinct_seed_count,
        arg_min(evaluation_id, training_seed) over model as first_run_id
    from labeled
    window model as (
        partition by
            model_name, comparable_id, architecture, variant, shared_recipe, precision, class_protocol
    )
),

runs as ( -- one model where each run states another seed
    select
        evaluation_id,
        training_seed,
        dataset_label,
        source_label,
        subset,
        precision,
        architecture,
        run_count > 1 and run_count = distinct_seed_count as is_one_model,
        case when is_one_model then first_run_id else evaluation_id end as first_evaluation_id,
        case when is_one_model then model_name else model_label end as model_name
    from counted
)

select
    cells.corruption,
    cells.severity,
    avg(cells.accuracy) as mean_accuracy, -- mean accuracy of the training runs, 0-1
    min(cells.accuracy) as lowest_accuracy, -- lowest accuracy of a training run, 0-1
    max(cells.accuracy) as highest_accuracy, -- highest accuracy of a training run, 0-1
    stddev_samp(cells.accuracy) as accuracy_deviation, -- standard deviation of accuracy between training runs, 0-1;
    -- null of a single one
    count(*) as seed_count, -- training runs, each of another seed
    runs.model_name,
    runs.source_label,
    runs.subset,
    runs.precision,
    runs.architecture,
    min(cells.image_count)::bigint as image_count, -- images of each training run
    cells.corruption_label,
    cells.corruption_order,
    cells.headline,
    runs.dataset_label,
    runs.first_evaluation_id as evaluation_id -- evaluation of the training run of the lowest seed
from runs
inner join accuracy_by_severity as cells on runs.evaluation_id = cells.evaluation_id
group by
    runs.first_evaluation_id,
    runs.model_name,
    runs.dataset_label,
    runs.source_label,
    runs.subset,
    runs.precision,
    runs.architecture,
    cells.corruption,
    cells.corruption_label,
    cells.corruption_order,
    cells.headline,
    cells.severity
