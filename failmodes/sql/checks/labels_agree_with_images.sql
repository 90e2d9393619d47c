-- In paired evaluations, a row's label is the label of its image in the data set: rows that differ.
select
    predictions.evaluation_id,
    predictions.corruption,
    predictions.severity,
    predictions.image_id,
    predictions.label,
    images.label as image_label
from predictions
inner join evaluations on predictions.evaluation_id = evaluations.evaluation_id
inner join images on evaluations.dataset_id = images.dataset_id and predictions.image_id = images.image_id
where evaluations.paired and predictions.label <> images.label
