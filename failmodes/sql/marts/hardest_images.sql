-- One row per dataset and image: how often it fails, over the corrupted cells of all paired evaluations.
-- Source: image_onsets, evaluation_labels, classes.
with failures as ( -- few rows meet many names
    select
        evaluation_id,
        image_id,
        label,
        sum(incorrect_count - coalesce(not clean_correct, false)::integer)::bigint as incorrect_count,
        sum(length(correctness_pattern) - (clean_correct is not null)::integer)::bigint as cell_count
    from image_onsets
    group by evaluation_id, image_id, label
)

select
    failures.image_id,
    classes.class_name as label_name, -- name of the true class
    sum(failures.incorrect_count) / sum(failures.cell_count) as failure_share, -- share of the cells in which it is
    -- incorrect, 0-1
    sum(failures.incorrect_count)::bigint as incorrect_count, -- corrupted cells in which it is incorrect
    sum(failures.cell_count)::bigint as cell_count, -- corrupted cells in which it was evaluated
    count(*) as evaluation_count, -- evaluations of these cells
    failures.label,
    evaluation_labels.dataset_label,
    evaluation_labels.dataset_id
from failures
inner join evaluation_labels on failures.evaluation_id = evaluation_labels.evaluation_id
left join classes on evaluation_labels.dataset_id = classes.dataset_id and failures.label = classes.class_index
where evaluation_labels.paired -- unpaired, image_id means another image
group by
    evaluation_labels.dataset_id,
    evaluation_labels.dataset_label,
    failures.image_id,
    failures.label,
    classes.class_name
