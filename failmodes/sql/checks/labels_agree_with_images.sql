-- In paired evaluations, a row's label is the label of its image in the dataset: rows that differ.
select
    prediction_facts.evaluation_id,
    prediction_facts.corruption,
    prediction_facts.severity,
    prediction_facts.image_id,
    prediction_facts.label,
    images.label as image_label
from prediction_facts
inner join evaluations on prediction_facts.evaluation_id = evaluations.evaluation_id
inner join images on evaluations.dataset_id = images.dataset_id and prediction_facts.image_id = images.image_id
where evaluations.paired and prediction_facts.label <> images.label
