-- Which images does every model fail? Correct for all when clean, incorrect for all at some severity; by corruptions.
-- Parameter corruption: only these corruptions, by name.
-- Parameter rows: maximum number of rows; default: 50.
with failed as (
    select
        evaluation_labels.dataset_id,
        evaluation_labels.dataset_label,
        image_onsets.corruption,
        image_onsets.image_id,
        image_onsets.label,
        count(*) as evaluation_count,
        avg(image_onsets.onset_severity) as mean_onset_severity
    from image_onsets
    inner join evaluation_labels on image_onsets.evaluation_id = evaluation_labels.evaluation_id
    where coalesce(list_contains(getvariable('corruption'), image_onsets.corruption), true)
    group by all
    having bool_and(image_onsets.clean_correct and image_onsets.onset_severity is not null)
)

select
    failed.image_id,
    any_value(images.file) as file,
    classes.class_name as label_name,
    count(*) as corruption_count,
    string_agg(failed.corruption, ', ' order by failed.corruption) as corruptions,
    min(failed.evaluation_count) as evaluation_count,
    avg(failed.mean_onset_severity) as mean_onset_severity,
    failed.dataset_label
from failed
left join images on failed.dataset_id = images.dataset_id and failed.image_id = images.image_id
left join classes on failed.dataset_id = classes.dataset_id and failed.label = classes.class_index
group by failed.dataset_id, failed.dataset_label, failed.image_id, classes.class_name
order by corruption_count desc, mean_onset_severity asc, failed.image_id asc
limit coalesce(getvariable('rows'), 50)
