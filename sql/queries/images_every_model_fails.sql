-- Which images does every evaluation get right when clean and wrong under every corruption at some severity?
with images as (
    select
        evaluation_labels.dataset_id,
        evaluation_labels.dataset_label,
        failure_onset.image_id,
        failure_onset.label,
        count(*) as curve_count,
        bool_and(failure_onset.clean_correct) as always_right_clean,
        bool_and(failure_onset.onset_severity > 0) as always_fails,
        avg(failure_onset.onset_severity) as mean_onset_severity
    from failure_onset
    inner join evaluation_labels on failure_onset.evaluation_id = evaluation_labels.evaluation_id
    group by all
)

select
    images.dataset_label,
    images.image_id,
    classes.class_name as label_name,
    images.curve_count,
    images.mean_onset_severity
from images
left join classes on images.dataset_id = classes.dataset_id and images.label = classes.class_index
where images.always_right_clean and coalesce(images.always_fails, false)
order by images.mean_onset_severity asc, images.image_id asc
limit 50
