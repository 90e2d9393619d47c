-- Labels and predictions are classes of the dataset: rows that break it.
select
    prediction_facts.evaluation_id,
    prediction_facts.corruption,
    prediction_facts.severity,
    prediction_facts.image_id,
    prediction_facts.label,
    prediction_facts.predicted,
    datasets.class_count
from prediction_facts
inner join evaluations on prediction_facts.evaluation_id = evaluations.evaluation_id
inner join datasets on evaluations.dataset_id = datasets.dataset_id
where
    prediction_facts.label not between 0 and datasets.class_count - 1
    or prediction_facts.predicted not between 0 and datasets.class_count - 1
