-- One row per data set and image: how often it fails, over the corrupted cells of all paired evaluations.
-- Source: outcomes, evaluation_labels, classes.
with counts as (
    select
        evaluation_labels.dataset_id,
        evaluation_labels.dataset_label,
        outcomes.image_id,
        outcomes.label,
        count(*) filter (where not outcomes.correct) as wrong_count,
        count(*) as cell_count,
        count(distinct outcomes.evaluation_id) as evaluation_count
    from outcomes
    inner join evaluation_labels on outcomes.evaluation_id = evaluation_labels.evaluation_id
    where outcomes.corruption <> 'none' and evaluation_labels.paired -- unpaired, image_id means another image
    group by all
)

select
    counts.dataset_id,
    counts.dataset_label,
    counts.image_id,
    counts.label,
    classes.class_name as label_name,
    counts.wrong_count,
    counts.cell_count,
    counts.evaluation_count,
    counts.wrong_count / counts.cell_count as failure_share -- 0-1
from counts
left join classes on counts.dataset_id = classes.dataset_id and counts.label = classes.class_index
