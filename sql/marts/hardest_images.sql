-- One row per data set and image: how often it fails, over the corrupted cells of all paired evaluations.
-- Source: outcomes, evaluation_labels, classes.
select
    evaluation_labels.dataset_id,
    evaluation_labels.dataset_label,
    outcomes.image_id,
    outcomes.label,
    classes.class_name as label_name,
    count(*) filter (where not outcomes.correct) as wrong_count,
    count(*) as cell_count,
    count(distinct outcomes.evaluation_id) as evaluation_count,
    wrong_count / cell_count as failure_share -- 0-1
from outcomes
inner join evaluation_labels on outcomes.evaluation_id = evaluation_labels.evaluation_id
left join classes on evaluation_labels.dataset_id = classes.dataset_id and outcomes.label = classes.class_index
where outcomes.corruption <> 'none' and evaluation_labels.paired -- unpaired, image_id means another image
group by all
