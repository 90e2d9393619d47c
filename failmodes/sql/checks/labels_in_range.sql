-- Labels and predictions are classes of the data set: rows outside.
select
    predictions.evaluation_id,
    predictions.corruption,
    predictions.severity,
    predictions.image_id,
    predictions.label,
    predictions.predicted,
    datasets.class_count
from predictions
inner join evaluations on predictions.evaluation_id = evaluations.evaluation_id
inner join datasets on evaluations.dataset_id = datasets.dataset_id
where
    predictions.label not between 0 and datasets.class_count - 1
    or predictions.predicted not between 0 and datasets.class_count - 1
